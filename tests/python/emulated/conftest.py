"""Tests on the emulated device of tests/device. They run in a process of their own (test_emulated_device.py beside this folder): a module that has been loaded stays."""
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


@pytest.fixture
def weights():
    """[8, 64] normal values of different rows' sizes."""
    rng = np.random.default_rng(7)
    return (rng.standard_normal((8, 64)) * 2.0 ** rng.integers(-4, 5, (8, 1))).astype(np.float32)
