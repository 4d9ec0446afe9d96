"""CUDA tensors of torch, made without a GPU: what is told of them is torch's own, the memory is nowhere."""
import pytest
import torch

import nvfp4cal as n
from devices import without_cuda_module  # noqa: F401
from devices_torch import OnCuda
from nvfp4cal import _arrays


@pytest.fixture
def streams(monkeypatch):
    """What torch says of its current stream, and the streams that the package asked for."""
    asked = []

    class Current:
        cuda_stream = 0x1230

    def current_stream(device):
        asked.append(device)
        return Current

    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    return asked


CALLS = {
    "quantize": lambda x: n.quantize(x),
    "fake_quantize": lambda x: n.fake_quantize(x),
    "sweep": lambda x: n.nvfp4_fp8_scale_sweep(x, None),
    "nvfp4_optimal": lambda x: n.nvfp4_optimal(x, dim=0),
    "max": lambda x: n.MaxCalibrator().collect(x),
    "hessian": lambda x: n.HessianAccumulator().collect(x),
    "mse": lambda x: n.MseCalibrator(1.0, quant_func="int8").collect(x),
    "nvfp4 mse": lambda x: n.NVFP4MSECalibrator(None, 1.0).collect(x),
    "observer": lambda x: n.MemorylessMSEObserver("weight", num_bits=8)(x),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CALLS)
def test_cuda_tensors_reach_the_library_as_such(streams, name, dtype):
    with pytest.raises(n.CudaUnavailableError, match="lies on device type 2: no CUDA module"):
        CALLS[name](OnCuda((32, 64), dtype))
    assert streams == [torch.device("cuda:0")]


def test_streams(streams):
    on_cuda, on_cpu = _arrays.kind_of(OnCuda((2, 16))), _arrays.kind_of(torch.zeros(2, 16))
    assert on_cuda.stream(None) == 0x1230 and on_cuda.stream(0) == 0 and on_cuda.stream(7) == 7
    assert len(streams) == 1
    assert on_cpu.stream(None) is None and on_cpu.stream(7) == 7 and _arrays.NUMPY.stream(None) is None


def test_results_of_calibrators_come_from_the_host():
    """Calibrators keep their data in host memory, whatever device it came from."""
    calibrators = n.MaxCalibrator(axis=0), n.NVFP4MSECalibrator(None, 1.0), n.HessianAccumulator()
    for calibrator in calibrators:
        calibrator.collect(torch.ones(4, 32))
        calibrator._kind = _arrays.torch_kind(torch.device("meta"))
    results = calibrators[0].compute_amax(), calibrators[1].compute_amax(), calibrators[1].compute_codes(), calibrators[2].compute_hessian()
    assert all(result.is_meta for result in results)
    assert [tuple(result.shape) for result in results] == [(4, 1), (4, 2), (4, 2), (2, 16, 16)] and results[2].dtype == torch.float8_e4m3fn
    observer = n.MemorylessMSEObserver("weight", num_bits=8)
    observer(torch.ones(4, 32))
    observer._kind = _arrays.torch_kind(torch.device("meta"))
    assert all(bound.is_meta for bound in observer.get_min_max())


def test_tables_are_made_on_a_device_by_torch():
    meta = torch.device("meta")
    for table, shape in ((n.fp8_scale_candidates(meta), (126,)), (n.build_fp8_e4m3_scales(meta), (126,)), (n.fp4_codebook(meta)[1], (7,))):
        assert table.device == meta and table.shape == shape and table.dtype == torch.float32
