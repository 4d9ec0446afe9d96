"""examples/python/modelopt_on_cpu.py on one layer of MiniLM: every row of its tables is there, equal and faster."""
import os
import subprocess
import sys

from paths import ROOT


def test_the_example(minilm_folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1", "NVFP4CAL_NUM_THREADS": "1"}
    command = [sys.executable, ROOT / "examples" / "python" / "modelopt_on_cpu.py", minilm_folder, "1"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    for recipe in ("NVFP4_DEFAULT_CFG", "NVFP4_FOUR_OVER_SIX_CFG"):
        assert 0.9 < float(rows[recipe][-1]) <= 1, done.stdout
    searches = ["NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG", "NVFP4_W4A4_WEIGHT_LOCAL_HESSIAN_CFG", "memoryless_mse", "mse", "nvfp4_expanded_mse"]
    for search in searches:
        seconds, _, own, _, equal, *_ = rows[search]
        assert float(seconds) < float(own) and float(equal.rstrip("%")) > 99.9, done.stdout
