"""Arrays of another library on a device: outputs are that library's, on the input's device, with the bits that the host computes."""
import fake_library
import numpy as np
import pytest

import nvfp4cal as n


def _standard(array, number=0):
    made = fake_library.on_device(array, number)
    return fake_library.Standard(made.memory, made.shape, made.dtype)


# How arrays get to the device, as CuPy's and as the array API standard's.
MAKERS = {"module": fake_library.on_device, "namespace": _standard}


def _arrays(result):
    return [result.packed, result.scale, result.scale_2] if isinstance(result, n.QuantizedTensor) else [result]


FUNCTIONS = {
    "quantize": lambda x: n.quantize(x),
    "quantize mse": lambda x: n.quantize(x, method="mse", swizzled=True),
    "fake_quantize": lambda x: n.fake_quantize(x),
    "fake_quantize to float64": lambda x: n.fake_quantize(x, dtype=np.float64),
    "sweep": lambda x: n.nvfp4_fp8_scale_sweep(x, None),
    "sweep_hessian": lambda x: n.nvfp4_fp8_scale_sweep_hessian(x, 9.0, np.tile(np.eye(16, dtype=np.float32), (4, 1, 1))),
}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(weights, name, maker, number):
    x = MAKERS[maker](weights, number)
    for found, expected in zip(_arrays(FUNCTIONS[name](x)), _arrays(FUNCTIONS[name](weights)), strict=True):
        assert type(found) is type(x) and found.memory.device == number and found.dtype == expected.dtype
        assert np.array_equal(found.get(), expected)


@pytest.mark.parametrize("maker", MAKERS)
def test_decoding(weights, maker):
    host, there = n.quantize(weights), n.quantize(MAKERS[maker](weights, 1))
    decoded = there.dequantize()
    assert decoded.memory.device == 1 and np.array_equal(decoded.get(), host.dequantize())
    tiles = n.swizzle_scales(there.scale)
    assert np.array_equal(tiles.get(), n.swizzle_scales(host.scale))
    assert np.array_equal(n.unswizzle_scales(tiles, host.scale.shape).get(), host.scale)


@pytest.mark.parametrize("maker", MAKERS)
def test_calibrators(weights, maker):
    x = MAKERS[maker](weights, 1)
    for make, compute in (
        (lambda: n.MaxCalibrator(axis=0, track_amax=True), lambda c: c.compute_amax()),
        (lambda: n.NVFP4ActMaxCalibrator(), lambda c: c.compute_amax()),
        (lambda: n.MseCalibrator(9.0, quant_func="int8"), lambda c: c.compute_amax(verbose=True)),
        (lambda: n.NVFP4MSECalibrator(None, 9.0), lambda c: c.compute_amax()),
    ):
        on_device, on_host = make(), make()
        on_device.collect(x)
        on_host.collect(weights)
        found = compute(on_device)
        assert type(found) is type(x) and found.memory.device == 1 and np.array_equal(found.get(), compute(on_host))
        if isinstance(on_host, n.MaxCalibrator):
            assert [type(one) for one in on_device.amaxs] == [np.ndarray] and np.array_equal(on_device.amaxs, on_host.amaxs)


def test_a_dtype_that_the_library_has_not(weights):
    with pytest.raises(TypeError, match="fake_library has no dtype float16 for the output"):
        n.fake_quantize(fake_library.on_device(weights), dtype=np.float16)


def test_outputs_of_the_callers(weights):
    out = fake_library.on_device(np.zeros_like(weights))
    assert n.fake_quantize(fake_library.on_device(weights), out=out) is out
    assert np.array_equal(out.get(), n.fake_quantize(weights))
    with pytest.raises(n.UnsupportedError, match="out lies in host memory, expected on CUDA device 0"):
        n.fake_quantize(fake_library.on_device(weights), out=np.zeros_like(weights))
