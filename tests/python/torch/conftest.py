import pathlib
import sys

import numpy as np
import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


@pytest.fixture
def weights():
    """As the fixture of the numpy tests."""
    rng = np.random.default_rng(7)
    return torch.from_numpy((rng.standard_normal((8, 64)) * 2.0 ** rng.integers(-4, 5, (8, 1))).astype(np.float32))
