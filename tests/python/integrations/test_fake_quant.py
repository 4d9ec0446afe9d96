"""The CPU fake quantization against its definition in torch, and against the library's own quantize and decode."""
import definitions
import pytest
import torch

import nvfp4cal
from nvfp4cal.integrations import _fake_quant

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def _values(shape, dtype, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * torch.exp(spread * torch.randn((*shape[:-1], 1), generator=generator))).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [8, 16, 32, 64])
@pytest.mark.parametrize("shape", [(33, 64), (2, 5, 128), (7, 70), (3, 1), (48,)])
def test_dynamic_is_the_definition(shape, block, dtype):
    x = _values(shape, dtype)
    amax = x.abs().max()
    assert definitions.same_bits(_fake_quant.fake_quantize_dynamic(x, amax, block), definitions.dynamic(x, amax, block))


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e-4, 1e-2, 0.3, 3.0, 1e3, 1e6, 1e30])
def test_dynamic_with_any_global_amax(factor):
    # Small ones clip, large ones push block scales to zero, which the kernel reads as 1.
    x = _values((64, 64), torch.float32, spread=3.0)
    amax = x.abs().max() * factor
    assert definitions.same_bits(_fake_quant.fake_quantize_dynamic(x, amax), definitions.dynamic(x, amax))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("magnitude", [3e-3, 1e-3, 1e-4, 1e-5])
def test_dynamic_of_small_tensors(magnitude, dtype):
    # Scales around 1e-5, below which the kernel takes 1 and the block becomes zero.
    x = (_values((128, 64), torch.float32, spread=2.0) * magnitude).to(dtype)
    amax = x.abs().max()
    result = _fake_quant.fake_quantize_dynamic(x, amax)
    assert definitions.same_bits(result, definitions.dynamic(x, amax))
    assert ((result == 0).view(-1, 16).all(-1) & (x.view(-1, 16).abs().amax(-1) > 0)).any()


def test_dynamic_small_and_zero_blocks():
    x = _values((64, 64), torch.float32)
    x[3] = 0.0
    x[4] = -0.0
    x[5] *= 1e-6
    x[6, 16:32] *= 1e-30
    amax = x.abs().max()
    result = _fake_quant.fake_quantize_dynamic(x, amax)
    assert definitions.same_bits(result, definitions.dynamic(x, amax))
    assert (result[5] == 0).all() and torch.signbit(result[5]).any() and not torch.signbit(result[4]).any()
    assert (result[7] != 0).any()


def test_dynamic_every_tie():
    # With a global amax of 2688 the global scale is 1: every multiple of a quarter of an E4M3 value is exact.
    x = (torch.arange(-32, 32) / 4.0).reshape(4, 16).repeat(3, 1) * torch.tensor([1.0, 2.0, 0.25]).repeat_interleave(4).unsqueeze(1)
    amax = torch.tensor(2688.0)
    assert definitions.same_bits(_fake_quant.fake_quantize_dynamic(x, amax), definitions.dynamic(x, amax))


def test_dynamic_global_amax_zero_and_several():
    x = _values((4, 32), torch.float32)
    assert definitions.same_bits(_fake_quant.fake_quantize_dynamic(x, torch.tensor(0.0)), definitions.dynamic(x, torch.tensor(0.0)))
    several = torch.tensor([[0.5], [4.0]], dtype=torch.bfloat16)
    assert torch.equal(_fake_quant.fake_quantize_dynamic(x, several), _fake_quant.fake_quantize_dynamic(x, torch.tensor(4.0)))


def test_dynamic_nan_and_infinity_stay_in_their_place():
    x = _values((4, 32), torch.float32)
    expected = _fake_quant.fake_quantize_dynamic(x, torch.tensor(5.0))
    x[1, 3], x[2, 20] = torch.nan, -torch.inf
    result = _fake_quant.fake_quantize_dynamic(x, torch.tensor(5.0))
    assert result[1, 3].isnan() and result[2, 20] == -5.0 and result.isnan().sum() == 1
    others = torch.ones(4, 2, dtype=torch.bool)
    others[1, 0] = others[2, 1] = False
    assert torch.equal(result.view(4, 2, 16)[others], expected.view(4, 2, 16)[others])


def test_dynamic_takes_any_layout():
    x = _values((64, 48), torch.bfloat16)
    amax = x.abs().max()
    columns = x.t()
    assert not columns.is_contiguous()
    assert definitions.same_bits(_fake_quant.fake_quantize_dynamic(columns, amax), definitions.dynamic(columns.contiguous(), amax))
    assert _fake_quant.fake_quantize_dynamic(torch.empty(0, 32), amax).shape == (0, 32)
    with pytest.raises(ValueError, match="block_size 0"):
        _fake_quant.fake_quantize_dynamic(x, amax, 0)


def _static_case(dtype, block, seed=1):
    x = _values((96, block), dtype, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    amax = x.float().abs().amax(-1) * (0.5 + torch.rand(96, generator=generator))
    return x, amax, amax.max() * 1.25


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", [448.0, 256.0, 300.0])
@pytest.mark.parametrize("block", [8, 16, 32])
def test_static_is_the_definition(block, normalization, dtype):
    x, amax, global_amax = _static_case(dtype, block)
    result = _fake_quant.fake_quantize_static(x, amax, global_amax, True, normalization)
    assert definitions.same_bits(result, definitions.static(x, amax, global_amax, normalization))
    raw = _fake_quant.fake_quantize_static(x, amax, global_amax, False, normalization)
    assert definitions.same_bits(raw, definitions.static(x, amax, global_amax, normalization, quantize_scales=False))


def test_static_zero_scales_make_zero_blocks():
    x, amax, global_amax = _static_case(torch.float32, 16)
    amax[3], amax[4] = 0.0, global_amax * 1e-6
    result = _fake_quant.fake_quantize_static(x, amax, global_amax)
    assert definitions.same_bits(result, definitions.static(x, amax, global_amax))
    assert (result[3:5] == 0).all() and (result[5] != 0).any()


def test_static_shapes_and_dtypes():
    x, amax, _ = _static_case(torch.bfloat16, 16)
    rows = x.reshape(24, 64)
    flat = _fake_quant.fake_quantize_static(x, amax)
    assert torch.equal(flat, definitions.static(x, amax, amax.max()))
    assert torch.equal(_fake_quant.fake_quantize_static(rows, amax.reshape(24, 4)), flat.reshape(24, 64))
    wide = _fake_quant.fake_quantize_static(x, amax, out_dtype=torch.float32)
    assert definitions.same_bits(wide, definitions.static(x.float(), amax, amax.max()))
    with pytest.raises(ValueError, match="not divisible"):
        _fake_quant.fake_quantize_static(x, amax[:-1])


def test_static_keeps_nan_where_it_is():
    x, amax, global_amax = _static_case(torch.float32, 16)
    x[2, 5] = torch.nan
    result = _fake_quant.fake_quantize_static(x, amax, global_amax)
    assert result[2, 5].isnan() and result.isnan().sum() == 1


@pytest.mark.parametrize("normalization", [448, 256])
def test_static_is_what_the_stored_codes_decode_to(normalization):
    x, amax, global_amax = _static_case(torch.float32, 16)
    packed = nvfp4cal.quantize(x, amax=amax.reshape(-1, 1), global_amax=global_amax, normalization=normalization)
    decoded = nvfp4cal.dequantize(packed.packed, packed.scale, packed.scale_2)
    assert torch.equal(_fake_quant.fake_quantize_static(x, amax, global_amax, True, normalization), decoded)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cast_takes_the_nearest_level(dtype):
    x = torch.cat([definitions.LEVELS, definitions.MIDDLES, torch.linspace(0, 9, 500)]).to(dtype)
    x = torch.cat([x, -x])
    expected = definitions.e2m1(x.float().abs())
    expected = torch.where(x >= 0, expected, -expected)
    assert definitions.same_bits(_fake_quant.cast_e2m1(x), expected.to(dtype))
    assert _fake_quant.cast_e2m1(x, torch.float32).dtype == torch.float32
