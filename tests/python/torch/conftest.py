import os
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


@pytest.fixture(scope="session")
def child_environment():
    """Environment of child processes that import the package."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
