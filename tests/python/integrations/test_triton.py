"""ModelOpt's own GPU kernels, run in Triton's interpreter."""
import os
import pathlib
import subprocess
import sys

import pytest


def test_the_triton_kernels_give_the_same_bits():
    pytest.importorskip("triton")
    folder = pathlib.Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    done = subprocess.run([sys.executable, folder / "triton_reference.py"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("equal: ") == 22, done.stdout
