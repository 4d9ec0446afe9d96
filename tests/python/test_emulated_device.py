"""Runs the tests of the folder emulated/ against the emulated CUDA device that the build makes for tests/device."""
import subprocess
import sys

import pytest
from paths import ROOT

FOLDER = ROOT / "build" / "release" / "tests" / "device" / "emulated"


def run_emulated(*names, environment):
    """pytest on files of emulated/, in a process that finds the emulated module."""
    folder = ROOT / "tests" / "python" / "emulated"
    if not (FOLDER / "libnvfp4cal_cuda.so").exists():
        pytest.skip("the release build has not made the emulated device")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(folder / name) for name in names)],
        env={**environment, "NVFP4CAL_CUDA_PATH": str(FOLDER)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_arrays_of_other_libraries(child_environment):
    assert " passed" in run_emulated("test_array_library.py", environment=child_environment)
