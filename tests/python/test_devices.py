"""Device memory reaches the library as such, from every argument of every function, and is never read as host memory."""
import numpy as np
import pytest

import nvfp4cal as n
from devices import CUDA, MANAGED, ONEAPI, PINNED, ROCM, OnDevice, without_cuda_module  # noqa: F401

INPUTS = {
    "quantize": lambda at, w: n.quantize(at(8, 64)),
    "quantize with a global amax": lambda at, w: n.quantize(at(8, 64), global_amax=1.0),
    "fake_quantize": lambda at, w: n.fake_quantize(at(8, 64), dtype=np.float32),
    "dequantize": lambda at, w: n.dequantize(at(8, 32, dtype="uint8"), at(8, 4, dtype="uint8"), 1.0),
    "swizzle_scales": lambda at, w: n.swizzle_scales(at(8, 4, dtype="uint8")),
    "unswizzle_scales": lambda at, w: n.unswizzle_scales(at(512, dtype="uint8"), (8, 4)),
    "sweep": lambda at, w: n.nvfp4_fp8_scale_sweep(at(8, 64), None),
    "sweep of bfloat16": lambda at, w: n.nvfp4_fp8_scale_sweep(at(8, 64, dtype="bfloat16"), None),
    "sweep_hessian": lambda at, w: n.nvfp4_fp8_scale_sweep_hessian(at(8, 64), 1.0, np.tile(np.eye(16, dtype=np.float32), (4, 1, 1))),
    "fp4_quantize": lambda at, w: n.fp4_quantize(at(8, 16), 1.0),
    "fp4_dequantize": lambda at, w: n.fp4_dequantize(at(8, 16), 1.0),
    "compute_block_sse": lambda at, w: n.compute_block_sse(at(8, 16), np.ones(8, np.float32)),
    "nvfp4_naive": lambda at, w: n.nvfp4_naive(at(8, 16)),
    "nvfp4_optimal": lambda at, w: n.nvfp4_optimal(at(8, 16)),
    "nvfp4_optimal_hessian": lambda at, w: n.nvfp4_optimal_hessian(at(8, 16), X=np.ones((2, 16), np.float32)),
    "nvfp4_admm": lambda at, w: n.nvfp4_admm(at(8, 16), X=np.ones((2, 16), np.float32)),
    "nvfp4_dequantize": lambda at, w: n.nvfp4_dequantize(np.ones(8, np.float32), at(8, 16)),
    "MaxCalibrator": lambda at, w: n.MaxCalibrator().collect(at(8, 64)),
    "MaxCalibrator with track_amax": lambda at, w: n.MaxCalibrator(track_amax=True).collect(at(8, 64)),
    "NVFP4ActMaxCalibrator": lambda at, w: n.NVFP4ActMaxCalibrator().collect(at(8, 64)),
    "HessianAccumulator": lambda at, w: n.HessianAccumulator().collect(at(8, 64)),
    "MemorylessMSEObserver": lambda at, w: n.MemorylessMSEObserver("weight", num_bits=8)(at(8, 64)),
    "MseCalibrator": lambda at, w: n.MseCalibrator(1.0, quant_func="int8").collect(at(8, 64)),
    "MseCalibrator with a function": lambda at, w: n.MseCalibrator(1.0, quant_func=lambda x, amax: 1 / 0).collect(at(8, 64)),
    "NVFP4MSECalibrator": lambda at, w: n.NVFP4MSECalibrator(None, 1.0).collect(at(8, 64)),
    "NVFP4MSECalibrator with a function": lambda at, w: n.NVFP4MSECalibrator(None, 1.0, error_func=lambda x, xq: 1 / 0).collect(at(8, 64)),
}
SECOND = {
    "global_amax": lambda at, w: n.nvfp4_fp8_scale_sweep(w, at()),
    "amax": lambda at, w: n.quantize(w, at(8, 4), 1.0),
    "weights": lambda at, w: n.quantize(w, method="mse", weights=at(64)),
    "hessian": lambda at, w: n.nvfp4_fp8_scale_sweep_hessian(w, 1.0, at(4, 16, 16)),
    "scale": lambda at, w: n.dequantize(n.quantize(w).packed, at(8, 4, dtype="uint8"), 1.0),
    "scale_2": lambda at, w: n.dequantize(n.quantize(w).packed, n.quantize(w).scale, at()),
    "X": lambda at, w: n.nvfp4_optimal_hessian(w.reshape(-1, 16), X=at(2, 16)),
    "H_blocks": lambda at, w: n.nvfp4_admm(w.reshape(-1, 16), H_blocks=at(1, 16, 16)),
    "out": lambda at, w: n.fake_quantize(w, out=at(8, 64)),
    "initial amax": lambda at, w: n.MseCalibrator(at(), quant_func="int8"),
    "set_initial_amax": lambda at, w: n.MseCalibrator(1.0, quant_func="int8").set_initial_amax(at()),
    "sweep's initial amax": lambda at, w: n.NVFP4MSECalibrator(at(8, 4), 1.0),
    "sweep's global amax": lambda at, w: n.NVFP4MSECalibrator(None, at()),
    "sweep's hessian": lambda at, w: n.NVFP4MSECalibrator(None, 1.0, hessian=at(4, 16, 16)),
    "sweep's weights": lambda at, w: n.NVFP4MSECalibrator(None, 1.0, weights=at(64)),
    "state": lambda at, w: n.MaxCalibrator()._handle.import_state(at(64, dtype="uint8")),
}


@pytest.mark.parametrize("device", [CUDA, MANAGED, ROCM, ONEAPI])
@pytest.mark.parametrize("name", [*INPUTS, *SECOND])
def test_device_memory_is_refused(weights, name, device):
    call = INPUTS.get(name) or SECOND[name]
    with pytest.raises(n.CudaUnavailableError) as caught:
        call(lambda *shape, **named: OnDevice(shape, device, **named), weights)
    assert caught.value.status == -10 and isinstance(caught.value, RuntimeError)
    why = ": no CUDA module (libnvfp4cal_cuda.so)" if device in (CUDA, MANAGED) else ", which is neither the host nor CUDA"
    assert f" lies on device type {device}{why}" in str(caught.value)


def test_the_handle_is_as_before(weights):
    calibrator = n.MaxCalibrator()
    calibrator.collect(weights)
    with pytest.raises(n.CudaUnavailableError):
        calibrator.collect(OnDevice((8, 64)))
    assert calibrator.compute_amax() == np.abs(weights).max() and isinstance(calibrator.compute_amax(), np.ndarray)


def test_page_locked_host_memory_is_host_memory(weights):
    pinned = OnDevice((8, 64), PINNED, data=weights.ctypes.data)
    assert np.array_equal(n.nvfp4_fp8_scale_sweep(pinned, None), n.nvfp4_fp8_scale_sweep(weights, None))
