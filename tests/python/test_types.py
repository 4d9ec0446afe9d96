"""The type hints agree with the code: mypy in its strict mode, as pyproject.toml says."""
import subprocess
import sys

from paths import ROOT


def test_mypy(tmp_path):
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_user_sees_types(tmp_path):
    (tmp_path / "user.py").write_text(
        "import numpy as np\nimport nvfp4cal\n"
        "q: nvfp4cal.QuantizedTensor = nvfp4cal.quantize(np.zeros((2, 16)), block_size=16)\n"
        "nvfp4cal.MaxCalibrator(axis=0, block_size='sixteen')\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports", "silent", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    done = subprocess.run(command, cwd=tmp_path, env={"MYPYPATH": str(ROOT / "bindings" / "python")}, capture_output=True, text=True)
    assert 'user.py:4: error: Argument "block_size"' in done.stdout and "Found 1 error" in done.stdout, done.stdout
