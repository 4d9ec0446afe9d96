"""torch tensors on the emulated device: results are tensors there, with the bits that the host computes, on torch's current stream."""
import fake_library
import fake_torch
import pytest
import torch
from fake_torch import emulated_torch  # noqa: F401

import nvfp4cal as n
from nvfp4cal.integrations import _placement

pytestmark = pytest.mark.usefixtures("emulation")


@pytest.fixture
def w(weights):
    return torch.from_numpy(weights)


def _tensors(result):
    if isinstance(result, n.QuantizedTensor):
        return [result.packed, result.scale.view(torch.uint8), result.scale_2, result.global_amax]
    return [result]


HESSIAN = torch.eye(64) + 0.5 * torch.diag(torch.linspace(0.1, 1.0, 63), 1) + 0.5 * torch.diag(torch.linspace(0.1, 1.0, 63), -1)
FUNCTIONS = {
    "quantize": lambda x: n.quantize(x),
    "quantize with amaxes": lambda x: n.quantize(x, x.abs().reshape(8, 4, 16).amax(-1), x.abs().amax()),
    "quantize mse": lambda x: n.quantize(x, method="mse"),
    "fake_quantize": lambda x: n.fake_quantize(x, global_amax=9.0),
    "decoded": lambda x: n.quantize(x).dequantize(torch.bfloat16),
    "gptq": lambda x: n.gptq(x, HESSIAN.to(x.device), "max", global_amax=x.abs().amax()),
    "gptq with a cross term": lambda x: n.gptq(x, HESSIAN, cross=(0.9 * HESSIAN).to(x.device).T),
    "sweep": lambda x: n.nvfp4_fp8_scale_sweep(x, x.abs().amax()),
    "sweep_hessian": lambda x: n.nvfp4_fp8_scale_sweep_hessian(x, None, torch.eye(16).repeat(4, 1, 1)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(emulation, w, name, number, dtype):
    expected = _tensors(FUNCTIONS[name](w.to(dtype)))
    for found, wanted in zip(_tensors(FUNCTIONS[name](fake_torch.to_device(w.to(dtype), number))), expected, strict=True):
        assert found.device == torch.device("cuda", number) and found.dtype == wanted.dtype
        assert torch.equal(found.cpu().reshape(wanted.shape), wanted)
    assert set(emulation) == {number}


CALIBRATORS = {
    "max": lambda x: n.MaxCalibrator(axis=0),
    "actmax": lambda x: n.NVFP4ActMaxCalibrator(),
    "hessian": lambda x: n.HessianAccumulator("full"),
    "mse": lambda x: n.MseCalibrator(x.abs().amax(), quant_func="int8"),
    "observer": lambda x: n.MemorylessMSEObserver("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16),
    "nvfp4 mse": lambda x: n.NVFP4MSECalibrator(x.abs().reshape(8, 4, 16).amax(-1), x.abs().amax()),
    "nvfp4 mse with a hessian": lambda x: n.NVFP4MSECalibrator(None, x.abs().amax(), hessian=(torch.eye(16).repeat(4, 1, 1)).to(x.device)),
}
COMPUTED = {"hessian": lambda c: c.compute_hessian(), "observer": lambda c: c.get_min_max()[1]}


@pytest.mark.parametrize("name", CALIBRATORS)
def test_calibrators(emulation, w, name):
    results = []
    for x in (w, fake_torch.to_device(w, 1)):
        calibrator = CALIBRATORS[name](x)
        (calibrator if name == "observer" else calibrator.collect)(x)
        results.append(COMPUTED.get(name, lambda c: c.compute_amax())(calibrator))
    expected, found = results
    assert found.device == torch.device("cuda:1") and found.dtype == expected.dtype and found.shape == expected.shape
    assert 1 in emulation
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-6 if name == "hessian" else 0, atol=0)


def test_a_gptq_object_on_either_side(emulation, w):
    layers = n.GPTQ(HESSIAN, measure=True)
    expected, left = layers.quantize(w), layers.objectives()
    for _ in range(2):
        found = layers.quantize(fake_torch.to_device(w, 1))
        assert torch.equal(found.packed.cpu(), expected.packed) and found.packed.device == torch.device("cuda:1")
        assert layers.objectives() == pytest.approx(left, rel=1e-12)
    with pytest.raises(n.NotFiniteError, match=r"weights\[5\]"):
        layers.quantize(fake_torch.to_device(w.flatten().index_fill(0, torch.tensor([5]), float("nan")).reshape(w.shape)))


def test_collect_waits_for_nothing(w):
    calibrator, x = n.MaxCalibrator(), fake_torch.to_device(w)
    calibrator.collect(x)
    assert fake_library.pending() > 0
    assert calibrator.compute_amax() == w.abs().max() and fake_library.pending() == 0


def test_where_the_integrations_compute(monkeypatch):
    x = fake_torch.to_device(torch.ones(2, 16), 1)
    assert _placement.cuda_devices() == 2 and _placement.is_native(x)
    assert not _placement.is_native_device(torch.device("cuda:2")) and not _placement.is_native_device(torch.device("meta"))
    assert not _placement.is_native(fake_torch.to_device(torch.ones(2, 16, dtype=torch.int64)))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not _placement.is_native(x) and _placement.is_native(torch.ones(2, 16))
