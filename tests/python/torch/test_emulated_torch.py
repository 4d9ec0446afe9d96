"""torch tensors on the emulated CUDA device."""
from test_emulated_device import run_emulated


def test_torch_tensors(child_environment):
    assert " passed" in run_emulated("test_torch_on_cuda.py", environment=child_environment)
