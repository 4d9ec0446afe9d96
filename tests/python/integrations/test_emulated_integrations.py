"""The integrations on CUDA tensors of the emulated device."""
from test_emulated_device import run_emulated


def test_where_the_module_is_present(child_environment):
    assert " passed" in run_emulated("test_integrations_on_cuda.py", environment=child_environment)
