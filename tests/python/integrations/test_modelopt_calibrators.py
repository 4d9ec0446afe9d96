"""Each calibrator against the one of the released modelopt that it stands for."""
import copy
import functools
import pickle
import warnings

import definitions
import pytest
import torch
from modelopt.torch.quantization import model_calib
from modelopt.torch.quantization.calib import max as original_max
from modelopt.torch.quantization.calib import mse as original_mse
from modelopt.torch.quantization.calib import nvfp4_act_headroom as original_headroom
from modelopt.torch.quantization.config import QuantizerAttributeConfig
from modelopt.torch.quantization.nn import NVFP4StaticQuantizer, TensorQuantizer

import nvfp4cal
from nvfp4cal.integrations import _modelopt_calibrators as ours

# The released classes, taken before any install().
Max, Mse, Sweep, Headroom = original_max.MaxCalibrator, original_mse.MseCalibrator, original_mse.NVFP4MSECalibrator, original_headroom.NVFP4ActHeadroomCalibrator
Accumulator = model_calib._LocalHessianAccumulator


def _weights(blocks, block=16, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(blocks, block, generator=generator) * torch.exp(0.5 * torch.randn(blocks, 1, generator=generator))).to(dtype)


def _static(global_amax):
    return lambda x, amax: definitions.static(x, amax.reshape(-1), global_amax)


def _errors(x, amax, global_amax, hessian=None):
    """float64 error of every block with ModelOpt's scale for a candidate amax."""
    scales = definitions.e4m3((amax.float() / 6.0) * 448.0 / (global_amax / 6.0)) * (global_amax / 2688.0)
    r = (x.float() - definitions.quantize_with(x.float(), scales.reshape(-1, 1))).double()
    if hessian is None:
        return (r * r).sum(-1)
    return torch.einsum("nb,nbd,nd->n", r, hessian.double().repeat(len(x) // len(hessian), 1, 1), r)


def _assert_equal_or_better(x, found, reference, global_amax, hessian=None, share=0.999):
    """The same amax for nearly all blocks; where it differs, at most ModelOpt's error."""
    assert found.shape == reference.shape and found.dtype == torch.float32
    same = found == reference
    assert same.float().mean() >= share
    e_found, e_reference = (_errors(x, a.reshape(-1), global_amax, hessian) for a in (found, reference))
    assert (e_found <= e_reference * (1 + 1e-5) + 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block", [16, 32])
@pytest.mark.parametrize("column", [False, True])
def test_sweep_finds_the_reference_sweeps_scales(dtype, block, column):
    x = _weights(512, block, dtype)
    amax = x.float().abs().amax(-1, keepdim=column)
    global_amax = amax.max()
    results = []
    for cls in (ours.NVFP4MSECalibrator, Sweep):
        calibrator = cls(amax, global_amax, axis=0, quant_func=_static(global_amax))
        assert calibrator.compute_amax() is None
        calibrator.collect(x)
        results.append(calibrator.compute_amax())
    assert results[0].shape == amax.shape
    _assert_equal_or_better(x, *results, global_amax)


def test_hessian_sweep_finds_the_reference_sweeps_scales():
    cout, cin = 64, 128
    x = _weights(cout * cin // 16)
    activations = torch.randn(512, cin, generator=torch.Generator().manual_seed(3)) * torch.linspace(0.1, 4, cin)
    amax = x.abs().amax(-1)
    global_amax = amax.max()
    results = []
    for cls, accumulator in ((ours.NVFP4MSECalibrator, ours._LocalHessianAccumulator), (Sweep, Accumulator)):
        sums = accumulator(cout, cin, 16)
        for batch in activations.split(200):
            sums.accumulate(batch)
        assert sums.num_samples == 512 and sums.hessian_per_block.dtype == torch.float32
        error_func = sums.build_error_func()
        hessian = sums.normalized_hessian()
        calibrator = cls(amax, global_amax, axis=0, quant_func=_static(global_amax), error_func=error_func, hessian=hessian)
        calibrator.collect(x)
        results.append(calibrator.compute_amax())
    _assert_equal_or_better(x, *results, global_amax, hessian, share=0.99)


def test_hessian_of_activations_is_exact():
    x = torch.randn(300, 64, dtype=torch.bfloat16)
    sums = ours._LocalHessianAccumulator(8, 64, 16)
    for batch in (x[:7], x[7:].reshape(-1, 1, 64)):
        sums.accumulate(batch)
    blocks = x.double().reshape(-1, 4, 16)
    expected = torch.einsum("tnb,tnd->nbd", blocks, blocks)
    assert torch.equal(sums.hessian_per_block, expected.float())
    assert torch.equal(sums.normalized_hessian(), expected.float() / 300)
    assert sums.build_error_func() is not None and sums.hessian_per_block is None
    odd = ours._LocalHessianAccumulator(8, 40, 16)
    odd.accumulate(torch.randn(3, 40))
    assert odd.normalized_hessian() is None


def test_sweep_is_one_shot_until_reset():
    x = _weights(64)
    amax = x.abs().amax(-1)
    calibrator = ours.NVFP4MSECalibrator(amax, amax.max())
    calibrator.collect(x)
    first = calibrator.compute_amax()
    with pytest.raises(RuntimeError, match="multi-collect"):
        calibrator.collect(x)
    calibrator.reset()
    assert calibrator.compute_amax() is None
    calibrator.collect(x)
    assert torch.equal(calibrator.compute_amax(), first)


def test_sweep_leaves_to_the_parent_what_is_not_its_own(monkeypatch):
    x = _weights(32)
    amax = x.abs().amax(-1)
    calls = []

    def quant_func(x, candidate):
        calls.append(candidate)
        return definitions.static(x, candidate, amax.max())

    def collected(**changes):
        calls.clear()
        calibrator = ours.NVFP4MSECalibrator(**{"amax": amax, "global_amax": amax.max(), "axis": 0, "quant_func": quant_func, **changes})
        calibrator.collect(changes.pop("x", x) if "x" in changes else x)
        return len(calls), calibrator.compute_amax()

    plain = collected()
    assert plain[0] == 0
    assert not ours.NVFP4MSECalibrator(amax, amax.max())._can_use_triton_fast_path(x)  # that answer is about CUDA tensors
    steps, absolute = collected(error_func=lambda x, xq: (x - xq).abs())
    assert steps == 126 and not torch.equal(absolute, plain[1])
    monkeypatch.setenv("MODELOPT_NVFP4_TRITON_SWEEP", "0")
    assert collected()[0] == 126


def test_sweep_of_small_blocks_is_the_parents():
    x = _weights(32, 8)
    amax = x.abs().amax(-1)
    calibrator = ours.NVFP4MSECalibrator(amax, amax.max(), axis=0, quant_func=_static(amax.max()))
    calibrator.collect(x)
    reference = Sweep(amax, amax.max(), axis=0, quant_func=_static(amax.max()))
    reference.collect(x)
    assert torch.equal(calibrator.compute_amax(), reference.compute_amax())


def test_sweep_of_bfloat16_amaxes_gives_float32():
    x = _weights(16, dtype=torch.bfloat16)
    amax = x.abs().amax(-1)
    calibrator = ours.NVFP4MSECalibrator(amax, amax.max())
    calibrator.collect(x)
    assert calibrator.compute_amax().dtype == torch.float32
    assert (calibrator.compute_amax() > 0).all()
    zero = ours.NVFP4MSECalibrator(torch.zeros(2), torch.tensor(0.0))
    zero.collect(torch.zeros(2, 16))
    assert torch.equal(zero.compute_amax(), torch.zeros(2))


def test_sweep_names_what_is_not_finite():
    x = _weights(4)
    x[2, 3] = torch.nan
    with pytest.raises(nvfp4cal.NotFiniteError, match="35"):
        ours.NVFP4MSECalibrator(torch.ones(4), torch.tensor(1.0)).collect(x)


def test_hierarchy_pickling_and_copies():
    for cls, parent in ((ours.MseCalibrator, Mse), (ours.NVFP4MSECalibrator, Sweep), (ours.NVFP4MSECalibrator, ours.MseCalibrator), (ours.MaxCalibrator, Max)):
        assert issubclass(cls, parent)
    x = _weights(32)
    amax = x.abs().amax(-1)
    calibrator = ours.NVFP4MSECalibrator(amax, amax.max())
    calibrator.collect(x)
    for other in (pickle.loads(pickle.dumps(calibrator)), copy.deepcopy(calibrator)):
        assert type(other) is ours.NVFP4MSECalibrator and torch.equal(other.compute_amax(), calibrator.compute_amax())


def _quantizer(num_bits, axis=None, amax=None, **attributes):
    return TensorQuantizer(QuantizerAttributeConfig(num_bits=num_bits, axis=axis, **attributes), amax=amax)


@pytest.mark.parametrize(
    "num_bits,axis,attributes", [(8, None, {}), (8, 0, {}), (4, 0, {}), (8, 0, {"narrow_range": True}), ((4, 3), None, {}), ((4, 3), 0, {})]
)
def test_multiplier_search_of_built_in_formats(num_bits, axis, attributes):
    batches = [_weights(24, 100, seed=seed) for seed in (0, 1)]
    amax = torch.stack([b.abs().amax() if axis is None else b.abs().amax(1, keepdim=True) for b in batches]).amax(0)
    results = []
    for cls in (ours.MseCalibrator, Mse):
        quantizer = _quantizer(num_bits, axis, amax.clone(), **attributes)
        calibrator = cls(amax, axis=axis, quant_func=functools.partial(model_calib._mse_quant_func, quantizer=quantizer))
        for batch in batches:
            calibrator.collect(batch)
        results.append((calibrator.compute_amax(), torch.stack(calibrator._losses_sum)))
        assert torch.equal(quantizer._amax, amax)
    assert results[0][1].dtype == torch.float64  # the library's
    torch.testing.assert_close(results[0][1], results[1][1].double(), rtol=1e-4, atol=1e-7)
    assert results[0][0].shape == amax.shape and torch.equal(results[0][0], results[1][0])


@pytest.mark.parametrize("four_over_six", [False, True])
def test_multiplier_search_of_static_nvfp4(on_cpu, four_over_six):
    x = _weights(512)
    amax = x.abs().amax(-1, keepdim=True)
    results = []
    for cls in (ours.MseCalibrator, Mse):
        sizes = {-1: 16, "type": "static", "scale_bits": (4, 3), **({"four_over_six": True} if four_over_six else {})}
        quantizer = NVFP4StaticQuantizer(QuantizerAttributeConfig(num_bits=(2, 1), block_sizes=sizes))
        quantizer.amax, quantizer.global_amax = amax, amax.max()
        quantizer(x)  # sets the block layout up
        quant_func = functools.partial(model_calib._mse_quant_func, quantizer=quantizer)
        calibrator = cls(amax, axis=(0,), start_multiplier=1.0, stop_multiplier=1.5, step_size=0.125, quant_func=quant_func)
        calibrator.collect(x)
        results.append(calibrator.compute_amax())
    assert (results[0] == results[1]).float().mean() > 0.995
    assert results[0].unique().numel() > 4


def test_multiplier_search_with_the_callers_functions_is_the_parents():
    x = _weights(16, 64)
    amax = x.abs().max()
    for error_func in (None, lambda a, b: (a - b).abs(), lambda a, b: (a - b).abs().mean()):
        results = []
        for cls in (ours.MseCalibrator, Mse):
            calibrator = cls(amax, step_size=0.2, quant_func=lambda x, a: (x / a * 7).round().clamp(-7, 7) * a / 7, error_func=error_func)
            calibrator.collect(x)
            calibrator.collect(2 * x)
            results.append(calibrator.compute_amax())
            calibrator.reset()
            assert calibrator.compute_amax() is None
        assert torch.equal(*results)
    with pytest.raises(RuntimeError, match="Quantization function not set"):
        ours.MseCalibrator(amax).collect(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("axis", [None, 0, -1, (0,), (0, 2)])
def test_max_is_the_parents(axis, dtype):
    found, reference = ours.MaxCalibrator(8, axis, False, track_amax=True), Max(8, axis, False, track_amax=dtype != torch.bfloat16)
    for seed in (0, 1):
        x = torch.randn(6, 5, 32, generator=torch.Generator().manual_seed(seed)).to(dtype)
        for calibrator in (found, reference):
            calibrator.collect(x)
    assert found.compute_amax().dtype == dtype and torch.equal(found.compute_amax(), reference.compute_amax())
    assert len(found.amaxs) == 2
    found.reset()
    assert found.compute_amax() is None


@pytest.mark.parametrize("axis", [(0, 0), 7, (1, 5)])
def test_max_of_axes_that_the_library_refuses(axis):
    x = torch.randn(6, 5, 32, generator=torch.Generator().manual_seed(0))
    found, reference = ours.MaxCalibrator(8, axis, False), Max(8, axis, False)
    found.collect(x), reference.collect(x)
    assert torch.equal(found.compute_amax(), reference.compute_amax())


def test_max_refuses_what_the_parent_refuses():
    for bad, word in ((torch.nan, "nan"), (torch.inf, "inf")):
        x = torch.randn(4, 16)
        x[1, 2] = bad
        with pytest.raises(AssertionError, match=f"detected {word} values in amax"):
            ours.MaxCalibrator(axis=0).collect(x)
    calibrator = ours.MaxCalibrator(axis=0)
    calibrator.collect(torch.randn(4, 16))
    with pytest.raises(RuntimeError, match="shape changed"):
        calibrator.collect(torch.randn(5, 16))
    meta = ours.MaxCalibrator()
    meta.collect(torch.empty(4, 4, device="meta"))
    assert meta.compute_amax().is_meta


CASES = {
    "normal": lambda g: torch.randn(512, 256, generator=g),
    "sparse": lambda g: torch.randn(512, 256, generator=g) * (torch.rand(512, 256, generator=g) > 0.95),
    "wide": lambda g: torch.randn(1024, 128, generator=g) * torch.logspace(-4, 2, 1024).unsqueeze(1),
    "outlier": lambda g: torch.cat([torch.full((1, 64), 3e7), torch.randn(4096, 64, generator=g)]),
    "ragged": lambda g: torch.randn(64, 3, 70, generator=g),
    "constant": lambda g: torch.full((256, 64), 0.5),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("options", [{}, {"upper_percentile": 100.0}, {"anchor_percentile": 50.0, "rho": 1.0}])
def test_headroom_is_the_parents(name, options):
    x = CASES[name](torch.Generator().manual_seed(5))
    results = []
    for cls in (ours.NVFP4ActHeadroomCalibrator, Headroom):
        calibrator = cls(**options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for part in x.split(300):
                calibrator.collect(part)
            results.append((calibrator.compute_amax(), calibrator._hist, calibrator._running_max, [str(w.message) for w in caught]))
    assert torch.equal(results[0][0], results[1][0]) and results[0][3] == results[1][3]
    assert torch.equal(results[0][1], results[1][1]) and torch.equal(results[0][2], results[1][2])


def test_headroom_edges():
    calibrator = ours.NVFP4ActHeadroomCalibrator()
    calibrator.collect(torch.zeros(8, 32))
    assert calibrator.compute_amax() is None
    calibrator.collect(torch.ones(8, 32))
    assert calibrator.compute_amax() > 1
    calibrator.reset()
    assert calibrator.compute_amax() is None
    for bad, word in ((torch.nan, "nan"), (torch.inf, "inf")):
        x = torch.ones(4, 16)
        x[1, 2] = bad
        with pytest.raises(AssertionError, match=word):
            calibrator.collect(x)
    with pytest.raises(ValueError, match="anchor_percentile"):
        ours.NVFP4ActHeadroomCalibrator(anchor_percentile=0.0)


def test_headroom_percentiles_of_many_blocks_are_exact():
    calibrator = ours.NVFP4ActHeadroomCalibrator()
    # 2^25 + 1 blocks: float32 sums of these counts are off by one, and the median is at that one.
    counts = torch.zeros(512, dtype=torch.long)
    counts[100], counts[200] = 2**24, 2**24 + 1
    calibrator._hist, calibrator._running_max = counts, torch.tensor(1.0)
    assert calibrator._percentile(50.0) == 2.0 ** (-40 + 200.5 / 512 * 80)
    assert Headroom._percentile(calibrator, 50.0) == 2.0 ** (-40 + 100.5 / 512 * 80)
    assert calibrator._percentile(49.9) == 2.0 ** (-40 + 100.5 / 512 * 80)
    assert calibrator._percentile(1.0, floor_value=2.0 ** (-40 + 150 / 512 * 80)) == 2.0 ** (-40 + 200.5 / 512 * 80)
