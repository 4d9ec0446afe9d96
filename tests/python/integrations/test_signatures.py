"""Classes and functions begin with the parameters of those they are named after: names, order, kinds, defaults."""
import inspect

import pytest
from compressed_tensors.quantization import QuantizationArgs
from llmcompressor.observers import mse as observers
from modelopt.torch.kernels.quantization.gemm import _fp8_scale_candidates as candidates
from modelopt.torch.quantization.calib import max as max_module
from modelopt.torch.quantization.calib import mse, nvfp4_act_headroom

import nvfp4cal

CLASSES = {
    "MaxCalibrator": max_module.MaxCalibrator,
    "MseCalibrator": mse.MseCalibrator,
    "NVFP4MSECalibrator": mse.NVFP4MSECalibrator,
    "NVFP4ActHeadroomCalibrator": nvfp4_act_headroom.NVFP4ActHeadroomCalibrator,
}
# qwantize has no release on a package index: its signatures as they are written.
QWANTIZE = {
    "build_fp8_e4m3_scales": lambda device="cpu": None,
    "fp4_quantize": lambda x, s: None,
    "fp4_dequantize": lambda quants, s: None,
    "compute_block_sse": lambda x, s: None,
    "nvfp4_naive": lambda W, dim=-1, return_dequant=False: None,
    "nvfp4_optimal": lambda W, dim=-1, return_dequant=False: None,
    "nvfp4_optimal_hessian": lambda W, dim=-1, return_dequant=False, X=None, H_blocks=None: None,
    "nvfp4_admm": lambda W, dim=-1, return_dequant=False, X=None, n_outer=3, n_inner=10: None,
    "nvfp4_dequantize": lambda scales, quants, dim=-1: None,
}
# ModelOpt's are behind an import of Triton.
SWEEPS = {
    "nvfp4_fp8_scale_sweep": lambda x, global_amax, block_size=16: None,
    "nvfp4_fp8_scale_sweep_hessian": lambda x, global_amax, hessian, block_size=16: None,
}


def _parameters(function):
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]


def _begins_as(ours, theirs):
    mine, wanted = _parameters(ours), _parameters(theirs)
    plain = [one for one in wanted if one[1] is not inspect.Parameter.KEYWORD_ONLY]
    assert mine[: len(plain)] == plain
    assert all(one in mine for one in wanted)
    assert all(one[1] is inspect.Parameter.KEYWORD_ONLY for one in mine[len(plain) :])


@pytest.mark.parametrize("name", CLASSES)
def test_calibrators(name):
    ours, theirs = getattr(nvfp4cal, name), CLASSES[name]
    _begins_as(ours.__init__, theirs.__init__)
    public = [method for method, _ in inspect.getmembers(theirs, inspect.isfunction) if not method.startswith("_")]
    assert "collect" in public and "compute_amax" in public
    for method in public:
        _begins_as(getattr(ours, method), getattr(theirs, method))


@pytest.mark.parametrize("name", [*QWANTIZE, *SWEEPS])
def test_functions(name):
    _begins_as(getattr(nvfp4cal, name), {**QWANTIZE, **SWEEPS}[name])


def test_candidates():
    _begins_as(nvfp4cal.fp8_scale_candidates, candidates.fp8_scale_candidates)


@pytest.mark.parametrize("name", ["MemorylessMSEObserver", "MovingAverageMSEObserver", "NVFP4ExpandedMSEObserver"])
def test_observers(name):
    """Constructed as llm-compressor's: base_name and args; the search's options beside those of QuantizationArgs."""
    ours, theirs = getattr(nvfp4cal, name), getattr(observers, name)
    args = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16, observer_kwargs={"maxshrink": 0.3, "grid": 50})
    theirs(base_name="weight", args=args)
    ours(base_name="weight", args=args)
    ours("weight", args)
    for option, value in {"maxshrink": 0.3, "patience": 3, "grid": 50.0, "norm": 2.4}.items():
        if name != "NVFP4ExpandedMSEObserver":
            ours("weight", num_bits=4, type="float", strategy="tensor_group", group_size=16, **{option: value})
