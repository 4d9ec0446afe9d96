"""What the integrations replace, on CUDA tensors where the module is present: results on the tensors' device, with the bits that the host computes."""
import functools

import fake_torch
import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from fake_torch import emulated_torch  # noqa: F401
from llmcompressor.observers import mse as observers
from modelopt.torch.quantization import model_calib, tensor_quant
from modelopt.torch.quantization.calib import max as max_module
from modelopt.torch.quantization.calib import mse, nvfp4_act_headroom
from modelopt.torch.quantization.config import QuantizerAttributeConfig
from modelopt.torch.quantization.nn import TensorQuantizer
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor

import nvfp4cal
from nvfp4cal.integrations import _fake_quant, _llmcompressor_observers, _modelopt_calibrators, _modelopt_export, _modelopt_functions

pytestmark = pytest.mark.usefixtures("emulation")
ours = _modelopt_calibrators


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(12, 16, generator=generator) * torch.exp(torch.randn(12, 1, generator=generator))


@pytest.fixture(autouse=True)
def without_the_parents(monkeypatch):
    """ModelOpt's own collect is not what gives a result here."""

    def reached(*arguments, **named):
        raise AssertionError("the framework's own code has the tensor")

    for cls in (max_module.MaxCalibrator, mse.MseCalibrator, mse.NVFP4MSECalibrator, nvfp4_act_headroom.NVFP4ActHeadroomCalibrator):
        monkeypatch.setattr(cls, "collect", reached)
    monkeypatch.setattr(model_calib._LocalHessianAccumulator, "accumulate", reached)


def _on_both(function, x):
    """The result for x on the host, and for x on the device, brought back."""
    expected, found = function(x), function(fake_torch.to_device(x, 1))
    assert found.device == torch.device("cuda:1") and found.dtype == expected.dtype and found.shape == expected.shape
    return expected, found.cpu()


def _int8():
    quantizer = TensorQuantizer(QuantizerAttributeConfig(num_bits=8))
    return functools.partial(model_calib._mse_quant_func, quantizer=quantizer)


CALIBRATORS = {
    "max": lambda x: ours.MaxCalibrator(axis=0, track_amax=True),
    "mse": lambda x: ours.MseCalibrator(x.abs().amax(), quant_func=_int8()),
    "sweep": lambda x: ours.NVFP4MSECalibrator(x.abs().amax(-1), x.abs().amax()),
    "local Hessian sweep": lambda x: ours.NVFP4MSECalibrator(x.abs().amax(-1), x.abs().amax(), hessian=torch.eye(16).repeat(3, 1, 1).to(x.device)),
    "headroom": lambda x: ours.NVFP4ActHeadroomCalibrator(),
}


@pytest.mark.parametrize("name", CALIBRATORS)
def test_calibrators(x, name):
    def run(x):
        calibrator = CALIBRATORS[name](x)
        calibrator.collect(x)
        return calibrator.compute_amax()

    expected, found = _on_both(run, x)
    assert torch.equal(found, expected)


def test_local_hessian(x):
    def run(x):
        sums = ours._LocalHessianAccumulator(4, 16, 16)
        for rows in (x, 2 * x):
            sums.accumulate(rows)
        assert sums.num_samples == 24
        return sums.normalized_hessian()

    expected, found = _on_both(run, x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_fake_quantization(x):
    block_amax = x.abs().amax(-1) * 0.9
    for function in (
        lambda x: _fake_quant.fake_quantize_dynamic(x, x.abs().amax()),
        lambda x: _fake_quant.fake_quantize_dynamic(x * 1e-9, torch.ones(()).to(x.device)),  # block scales that count as 1
        lambda x: _fake_quant.fake_quantize_static(x, block_amax.to(x.device)),
        lambda x: _fake_quant.fake_quantize_static(x, block_amax.to(x.device), block_amax.amax() * 2, normalization=256.0, out_dtype=torch.bfloat16),
        lambda x: _modelopt_functions._dynamic_kernel(x, 16, x.abs().amax(), 4, 2, 8, 4),
        lambda x: _fake_quant.cast_e2m1(x),
    ):
        expected, found = _on_both(function, x)
        assert torch.equal(found, expected)


def test_static_forward_is_ours_on_the_device(x, monkeypatch):
    monkeypatch.setattr(tensor_quant, "_save_for_backward_if_needed", lambda *_: None)

    def original(*_):
        raise AssertionError("the framework's own code has the tensor")

    forward, cast = _modelopt_functions._static_forward(original), _modelopt_functions._cast_forward(original)
    monkeypatch.setattr(_modelopt_functions, "_static_op", _fake_quant.fake_quantize_static)
    monkeypatch.setattr(_modelopt_functions, "_cast_op", _fake_quant.cast_e2m1)

    class Context:
        save_for_backward = staticmethod(lambda *_: None)

    for function in (lambda x: forward(None, x, x.abs().amax(-1)), lambda x: cast(Context, x)):
        expected, found = _on_both(function, x)
        assert torch.equal(found, expected)


def test_packed_weights(x):
    def original(*_):
        raise AssertionError("the framework's own code has the tensor")

    quantize = _modelopt_export._quantize(original).__func__
    scale_2 = x.abs().amax() / 2688
    scales = (x.abs().amax(-1, keepdim=True) / 6 / scale_2).to(torch.float8_e4m3fn)
    for given in (x, x.bfloat16()):
        expected, found = _on_both(lambda x: quantize(NVFP4QTensor, x, 16, scales.to(x.device), scale_2.to(x.device))[0]._quantized_data, given)
        assert torch.equal(found, expected)


OBSERVERS = {
    "memoryless_mse": _llmcompressor_observers.MemorylessMSEObserver,
    "mse": _llmcompressor_observers.MovingAverageMSEObserver,
    "nvfp4_expanded_mse": _llmcompressor_observers.NVFP4ExpandedMSEObserver,
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_observers(x, name, monkeypatch):
    def reached(*_):
        raise AssertionError("the framework's own code has the tensor")

    for cls in (observers.MemorylessMSEObserver, observers.MovingAverageMSEObserver):
        monkeypatch.setattr(cls, "update_statistics_from_observed", reached)

    def run(x):
        observer = OBSERVERS[name](base_name="weight", args=QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16))
        observer.update_statistics_from_observed(x.reshape(1, 3, 4, 16))
        return observer.max_vals

    expected, found = _on_both(run, x)
    assert found.shape == (3, 4) and torch.equal(found, expected)


def test_what_the_library_cannot_do_is_the_frameworks(x, monkeypatch):
    class Reached(Exception):
        pass

    def reached(*_):
        raise Reached

    def unsupported(*_, **__):
        raise nvfp4cal.UnsupportedError("no path there", nvfp4cal.UnsupportedError.status)

    monkeypatch.setattr(mse.NVFP4MSECalibrator, "collect", reached)
    monkeypatch.setattr(nvfp4cal, "nvfp4_fp8_scale_sweep", unsupported)
    there = fake_torch.to_device(x)
    with pytest.raises(Reached):
        ours.NVFP4MSECalibrator(there.abs().amax(-1), there.abs().amax()).collect(there)
    monkeypatch.setattr(observers.MemorylessMSEObserver, "update_statistics_from_observed", reached)
    monkeypatch.setattr(nvfp4cal.MemorylessMSEObserver, "__call__", unsupported)
    with pytest.raises(Reached):
        OBSERVERS["memoryless_mse"](
            base_name="weight", args=QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16)
        ).update_statistics_from_observed(fake_torch.to_device(x.reshape(1, 12, 16)))
