import os
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def weights(rng):
    """[8, 64] normal values of different rows' sizes."""
    return (rng.standard_normal((8, 64)) * 2.0 ** rng.integers(-4, 5, (8, 1))).astype(np.float32)


@pytest.fixture(scope="session")
def child_environment():
    """Environment of child processes that import the package."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR") or name.startswith("NVFP4CAL_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
