"""torch tensors in, torch tensors out; the same numbers as with numpy."""
import copy
import pickle

import numpy as np
import pytest
import torch
from views import overlapping

import nvfp4cal as n

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def same(tensor, array):
    return isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu" and np.array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("dtype", FLOATS)
def test_inputs(weights, dtype):
    x = weights.to(dtype)
    expected = n.nvfp4_fp8_scale_sweep(x.float().numpy(), None)
    assert same(n.nvfp4_fp8_scale_sweep(x, None), expected)
    assert same(n.nvfp4_fp8_scale_sweep(x, x.float().abs().max()), expected)
    assert same(n.nvfp4_fp8_scale_sweep(x.t().contiguous().t(), None), expected)
    wide = torch.zeros(8, 128, 3, dtype=dtype)
    wide[:, ::2, 1] = x
    assert same(n.nvfp4_fp8_scale_sweep(wide[:, ::2, 1], None), expected)


def test_gradients(weights):
    expected = n.nvfp4_fp8_scale_sweep(weights, None)
    for x in (torch.nn.Parameter(weights), weights.clone().requires_grad_(), weights.clone().requires_grad_() * 1):
        found = n.nvfp4_fp8_scale_sweep(x, None)
        assert torch.equal(found, expected) and not found.requires_grad
        calibrator = n.MaxCalibrator(axis=0)
        calibrator.collect(x)
        assert not calibrator.compute_amax().requires_grad
    with torch.inference_mode():
        assert torch.equal(n.nvfp4_fp8_scale_sweep(weights * 1, None), expected)
    assert torch.equal(n.nvfp4_fp8_scale_sweep(torch._neg_view(-weights), None), expected)


def test_no_copy(weights):
    """The library reads the tensor's own memory: a change shows, and in-place output lands in it."""
    before = n.nvfp4_fp8_scale_sweep(weights, 8.0)
    weights[0, 0] = 7.5
    assert not torch.equal(n.nvfp4_fp8_scale_sweep(weights, 8.0), before)
    expected = n.fake_quantize(weights)
    assert n.fake_quantize(weights, out=weights) is weights and torch.equal(weights, expected)
    half = weights.to(torch.bfloat16)
    expected = n.fake_quantize(half)
    n.fake_quantize(half, out=half)
    assert torch.equal(half, expected)


def test_out_that_overlaps_x(generator):
    flat = torch.randn(1024, generator=generator)
    before = flat.clone()
    for x, out in overlapping(flat):
        with pytest.raises(ValueError, match="out overlaps the input's memory in part"):
            n.fake_quantize(x, out=out)
    assert torch.equal(flat, before)
    inner = flat.reshape(16, 64)[:2, 16:32]  # out in the gaps of x
    expected = n.fake_quantize(inner)
    assert torch.equal(n.fake_quantize(inner, out=flat[32:64].reshape(2, 16)), expected) and torch.equal(inner, before.reshape(16, 64)[:2, 16:32])


def test_quantize(weights):
    q, plain = n.quantize(weights, method="mse"), n.quantize(weights.numpy(), method="mse")
    assert same(q.packed, plain.packed) and q.packed.dtype == torch.uint8
    assert q.scale.dtype == torch.float8_e4m3fn and same(q.scale.view(torch.uint8), plain.scale)
    assert q.scale_2 == plain.scale_2 and q.scale_2.shape == () and isinstance(q.global_amax, torch.Tensor)
    for dtype in FLOATS:
        decoded = q.dequantize(dtype)
        assert decoded.dtype == dtype and torch.equal(decoded, torch.from_numpy(plain.dequantize()).to(dtype))
        assert n.fake_quantize(weights.to(dtype)).dtype == dtype
    assert same(n.dequantize(q.packed, q.scale, q.scale_2), plain.dequantize())
    assert same(n.dequantize(q.packed, q.scale.view(torch.uint8), q.scale_2), plain.dequantize())
    tiled = n.swizzle_scales(q.scale)
    assert tiled.dtype == torch.float8_e4m3fn and same(tiled.view(torch.uint8), n.swizzle_scales(plain.scale))
    assert torch.equal(n.unswizzle_scales(tiled, q.scale.shape).view(torch.uint8), q.scale.view(torch.uint8))
    assert n.quantize(weights, swizzled=True).dequantize().equal(n.quantize(weights).dequantize())
    with pytest.raises(TypeError, match="torch.int8"):
        q.dequantize(torch.int8)


def test_modelopt_layout(weights):
    """E4M3 and the decode follow torch's own float8."""
    q = n.quantize(weights)
    low, high = q.packed & 15, q.packed >> 4
    codes = torch.stack([low, high], -1).reshape(8, 64).long()
    levels = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    values = levels[codes & 7] * torch.where(codes >= 8, -1.0, 1.0)
    assert torch.equal(values * (q.scale.float() * q.scale_2).repeat_interleave(16, 1), q.dequantize())
    block_amax = weights.reshape(8, 4, 16).abs().amax(-1)
    assert torch.equal(q.scale.float(), (block_amax / (6 * q.scale_2)).clamp(2**-9, 448).to(torch.float8_e4m3fn).float())


def test_candidates():
    device = torch.device("cpu")
    assert same(n.fp8_scale_candidates(device), n.fp8_scale_candidates("cpu"))
    assert same(n.build_fp8_e4m3_scales(device), n.build_fp8_e4m3_scales())
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    assert torch.equal(n.build_fp8_e4m3_scales(device), every[(every > 0) & ~every.isnan()].unique())
    assert all(isinstance(table, torch.Tensor) for table in n.fp4_codebook(device))


def test_block_functions(weights):
    w, a = weights.reshape(-1, 16), weights.reshape(-1, 16).numpy()
    for function in (n.nvfp4_naive, n.nvfp4_optimal):
        for mine, theirs in zip(function(w, return_dequant=True), function(a, return_dequant=True)):
            assert same(mine, theirs)
    s = torch.full((32, 1), 0.5)
    assert same(n.fp4_quantize(w, s), n.fp4_quantize(a, s.numpy()))
    assert same(n.fp4_quantize(w, torch.tensor(0.5)), n.fp4_quantize(a, 0.5))
    assert same(n.fp4_dequantize(w, s.expand(32, 16)), a * np.float32(0.5))
    assert same(n.compute_block_sse(w, s), n.compute_block_sse(a, s.numpy()))
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    for function in (n.nvfp4_optimal_hessian, n.nvfp4_admm):
        for mine, theirs in zip(function(w, X=x), function(a, X=x.numpy())):
            assert same(mine, theirs)


def test_max_calibrator_keeps_dtypes(weights):
    for dtype in FLOATS:
        c = n.MaxCalibrator(axis=0)
        c.collect(weights.to(dtype))
        c.collect(weights.to(dtype) * 0.5)
        wanted = dtype if dtype in (torch.bfloat16, torch.float16) else torch.float32
        assert c.compute_amax().dtype == wanted and torch.equal(c.compute_amax(), weights.to(dtype).abs().amax(1, keepdim=True).to(wanted))
    other = n.MaxCalibrator(axis=0)
    other.merge(c)
    assert other.compute_amax().dtype == torch.bfloat16
    c.collect(weights)
    assert c.compute_amax().dtype == torch.float32
    c.reset()
    c.collect(weights.to(torch.bfloat16))
    assert pickle.loads(pickle.dumps(c)).compute_amax().dtype == torch.bfloat16


def test_other_calibrators(weights):
    a = weights.numpy()
    for make in (n.NVFP4ActMaxCalibrator, n.NVFP4ActHeadroomCalibrator):
        t, p = make(), make()
        t.collect(weights)
        p.collect(a)
        assert t.compute_amax() == p.compute_amax() and t.compute_amax().dtype == torch.float32 and t.compute_amax().shape == ()
    t, p = n.HessianAccumulator(), n.HessianAccumulator()
    t.collect(weights)
    p.collect(a)
    assert same(t.compute_hessian(), p.compute_hessian())
    assert same(n.nvfp4_fp8_scale_sweep_hessian(weights, None, t.compute_hessian()), n.nvfp4_fp8_scale_sweep_hessian(a, None, p.compute_hessian()))


def quantize_int4(x, amax):
    assert isinstance(x, torch.Tensor) and x.dtype == torch.float32 and isinstance(amax, torch.Tensor) and not torch.is_grad_enabled()
    s = 7 / amax
    return ((x * s).round().clamp(-7, 7) / s).to(torch.float32)


def test_mse_calibrator(weights):
    amax = weights.abs().amax(1, keepdim=True)
    built_in = n.MseCalibrator(amax, 0, quant_func="int4")
    own = n.MseCalibrator(amax, 0, quant_func=quantize_int4, error_func=lambda x, xq: torch.nn.functional.mse_loss(x, xq, reduction="none"))
    for c in (built_in, own):
        c.collect(torch.nn.Parameter(weights))
        c.collect(weights.to(torch.bfloat16))
        assert c.compute_amax().shape == (8, 1) and isinstance(c.losses(), torch.Tensor)
    assert torch.equal(built_in.compute_amax(), own.compute_amax())
    own.reset()
    assert own.compute_amax() is None
    scalar = n.MseCalibrator(weights.abs().max(), quant_func=quantize_int4, error_func=torch.nn.functional.mse_loss)
    scalar.collect(weights)
    reference = n.MseCalibrator(weights.abs().max(), quant_func="int4")
    reference.collect(weights)
    assert torch.equal(scalar.compute_amax(), reference.compute_amax())
    assert torch.is_grad_enabled()
    again = copy.deepcopy(n.MseCalibrator(amax, 0, quant_func=quantize_int4))
    again.collect(weights)
    assert isinstance(again.compute_amax(), torch.Tensor)


def test_functions_may_answer_in_other_dtypes(weights):
    c = n.MseCalibrator(weights.abs().max(), quant_func=lambda x, amax: quantize_int4(x, amax).to(torch.bfloat16))
    c.collect(weights)
    double = n.MseCalibrator(weights.abs().max(), quant_func=lambda x, amax: quantize_int4(x, amax).double())
    double.collect(weights)
    assert torch.allclose(c.losses(), double.losses(), rtol=0.1)


def test_sweep_calibrator(weights):
    blocks, amax = weights.reshape(-1, 16), weights.reshape(-1, 16).abs().amax(-1)
    c = n.NVFP4MSECalibrator(amax, amax.max(), 0, quantize_int4)
    c.collect(blocks)
    assert same(c.compute_amax(), n.nvfp4_fp8_scale_sweep(blocks.numpy(), amax.max().numpy()))
    calls = []

    def error(x, xq):
        calls.append(xq.shape)
        return (x - xq).abs()

    c = n.NVFP4MSECalibrator(amax, amax.max(), 0, lambda x, a: n.fake_quantize(x, a, amax.max()), error)
    c.collect(blocks)
    assert len(calls) == 126 and c.compute_amax().shape == amax.shape
    assert c.compute_codes().dtype == torch.float8_e4m3fn


def test_observers(weights):
    options = dict(num_bits=4, type="float", strategy="tensor_group", group_size=16)
    t, p = n.MemorylessMSEObserver("weight", **options), n.MemorylessMSEObserver("weight", **options)
    t(torch.nn.Parameter(weights))
    p(weights.numpy())
    for mine, theirs in zip(t.get_min_max(), p.get_min_max()):
        assert same(mine, theirs)
    mine, theirs = t.get_qparams(), p.get_qparams()
    assert mine.keys() == theirs.keys() and all(same(mine[key], theirs[key]) for key in mine)


def test_torch_save(weights, tmp_path):
    c = n.MaxCalibrator()
    c.collect(weights)
    torch.save(c, tmp_path / "c.pt")
    assert torch.load(tmp_path / "c.pt", weights_only=False).compute_amax() == c.compute_amax()


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(16, device="meta"),
        torch.zeros(16).to_sparse(),
        torch.zeros(16, dtype=torch.complex64),
        torch.quantize_per_tensor(torch.zeros(16), 1.0, 0, torch.qint8),
    ],
)
def test_tensors_that_have_no_values(x):
    with pytest.raises((TypeError, n.Error)):
        n.nvfp4_fp8_scale_sweep(x, None)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_dtypes_that_are_refused(dtype):
    with pytest.raises(n.UnsupportedError):
        n.nvfp4_fp8_scale_sweep(torch.zeros(16).to(dtype), None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_cuda_tensors_reach_the_library(weights):
    with pytest.raises(n.CudaUnavailableError):
        n.nvfp4_fp8_scale_sweep(weights.cuda(), None)


def test_ml_dtypes_and_torch_agree(weights):
    import ml_dtypes

    half = weights.to(torch.bfloat16)
    assert same(n.nvfp4_fp8_scale_sweep(half, None), n.nvfp4_fp8_scale_sweep(half.float().numpy().astype(ml_dtypes.bfloat16), None))


def test_the_negative_bit(weights):
    negated = torch.complex(torch.zeros_like(weights), weights).conj().imag
    assert negated.is_neg()
    for x in (negated, torch._neg_view(weights)):
        assert torch.equal(n.fake_quantize(x), n.fake_quantize(-weights))
    blocks, scales = torch.ones(2, 16), torch._neg_view(torch.full((2,), -2.0))
    assert torch.equal(n.nvfp4_dequantize(scales, blocks), torch.full((2, 16), 2.0))
    observed = n.MseCalibrator(torch._neg_view(torch.tensor(-4.0)), quant_func="nvfp4")
    observed.collect(weights)
    assert observed.compute_amax() > 0


def test_outputs_with_the_negative_bit_are_refused(weights):
    memory = torch.zeros_like(weights)
    with pytest.raises(ValueError, match="^out has the negative bit"):
        n.fake_quantize(weights, out=torch._neg_view(memory))
    assert not memory.any()


def test_complex_values_of_functions_are_refused(weights):
    calibrator = n.MseCalibrator(1.0, quant_func=lambda values, amax: torch.complex(values, values))
    with pytest.raises(TypeError, match="^quant_func returned complex values$"):
        calibrator.collect(weights)
