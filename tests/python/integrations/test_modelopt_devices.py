"""Tensors on a GPU go to the library where its CUDA module is present, else to the frameworks' own code, untouched."""
import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from devices_torch import OnCuda
from modelopt.torch.quantization import tensor_quant
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
from modelopt.torch.quantization.utils import core_utils

import nvfp4cal
from nvfp4cal.integrations import _llmcompressor_observers, _modelopt_calibrators, _placement


class Reached(Exception):
    """The framework's own code has the tensor."""


def _observer(cls):
    return cls(base_name="weight", args=QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16))


ours, theirs = _modelopt_calibrators, _llmcompressor_observers
CALIBRATORS = {
    "MaxCalibrator": (ours.MaxCalibrator, "collect", lambda cls: cls()),
    "MseCalibrator": (ours.MseCalibrator, "collect", lambda cls: cls(torch.ones(()), quant_func=lambda x, amax: x)),
    "NVFP4MSECalibrator": (ours.NVFP4MSECalibrator, "collect", lambda cls: cls(torch.ones(4, 1), torch.ones(()))),
    "NVFP4ActHeadroomCalibrator": (ours.NVFP4ActHeadroomCalibrator, "collect", lambda cls: cls()),
    "local Hessian": (ours._LocalHessianAccumulator, "accumulate", lambda cls: cls(4, 16, 16)),
    "memoryless_mse": (theirs.MemorylessMSEObserver, "update_statistics_from_observed", _observer),
    "mse": (theirs.MovingAverageMSEObserver, "update_statistics_from_observed", _observer),
    "nvfp4_expanded_mse": (theirs.NVFP4ExpandedMSEObserver, "update_statistics_from_observed", _observer),
}


@pytest.mark.parametrize("name", CALIBRATORS)
def test_calibrators_and_observers(monkeypatch, name):
    cls, method, make = CALIBRATORS[name]
    x = OnCuda((1, 4, 16) if "mse" in name else (4, 16))

    def reached(self, given):
        assert given is x
        raise Reached

    parent = next(base for base in cls.__mro__ if not base.__module__.startswith("nvfp4cal") and method in vars(base))
    monkeypatch.setattr(parent, method, reached)
    with pytest.raises(Reached):
        getattr(make(cls), method)(x)


def test_the_decision(monkeypatch):
    monkeypatch.setattr(nvfp4cal, "cuda_devices", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    x = OnCuda((4, 16))
    assert _placement.is_native(x) and not _placement.is_native_device(torch.device("cuda:1"))
    assert not _placement.is_native(OnCuda((4, 16), torch.int32)) and not _placement.is_native(OnCuda((0, 16)))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not _placement.is_native(x) and _placement.is_native(torch.ones(4, 16))
    for error in (nvfp4cal.CudaUnavailableError, nvfp4cal.BackendVersionError):

        def fail(error=error):
            raise error("no", error.status)

        monkeypatch.setattr(nvfp4cal, "cuda_devices", fail)
        assert _placement.cuda_devices() == 0


def test_functions(monkeypatch):
    import nvfp4cal.integrations.modelopt as integration

    x = OnCuda((4, 16))

    def reached(*arguments):
        assert any(argument is x for argument in arguments)
        raise Reached

    for function in (tensor_quant.StaticBlockwiseFP4FakeQuantFunction, tensor_quant.FP4CastSTEFunction):
        monkeypatch.setattr(function, "forward", staticmethod(reached))
    monkeypatch.setattr(NVFP4QTensor, "quantize", classmethod(reached))
    monkeypatch.setattr(core_utils, "reduce_block_amax", reached)
    integration.install()
    try:
        for call in (
            lambda: tensor_quant.StaticBlockwiseFP4FakeQuantFunction.forward(None, x, torch.ones(4)),
            lambda: tensor_quant.FP4CastSTEFunction.forward(None, x),
            lambda: NVFP4QTensor.quantize(x, 16, torch.ones(4, 1).to(torch.float8_e4m3fn), torch.ones(())),
            lambda: core_utils.reduce_block_amax(x, {-1: 16}),
        ):
            with pytest.raises(Reached):
                call()
    finally:
        integration.uninstall()
