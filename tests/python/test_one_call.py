"""Functions of one call against plain numpy in float64."""
import ml_dtypes
import numpy as np
import oracle
import pytest
from views import overlapping

import nvfp4cal as n


def test_scale_candidates():
    for normalization in (448, 256):
        expected = (oracle.E4M3.astype(np.float32) / np.float32(normalization)).astype(np.float32)
        assert np.array_equal(n.fp8_scale_candidates(normalization=normalization), expected)
    assert n.fp8_scale_candidates("cpu").dtype == np.float32
    with pytest.raises(TypeError, match="torch has not been imported"):
        n.fp8_scale_candidates("cuda")
    with pytest.raises(n.InvalidArgumentError, match="normalization 100"):
        n.fp8_scale_candidates(normalization=100)


@pytest.mark.parametrize("normalization", [448, 256])
@pytest.mark.parametrize("block", [16, 32])
def test_sweep_is_the_exhaustive_minimum(weights, block, normalization):
    amax = np.abs(weights).max()
    found = n.nvfp4_fp8_scale_sweep(weights, amax, block, normalization=normalization)
    assert found.shape == (weights.size // block,) and found.dtype == np.float32
    errors, amaxes = oracle.sweep_errors(weights, amax, normalization, block)
    codes = np.array([np.flatnonzero(amaxes == value)[0] for value in found])
    chosen = errors[np.arange(len(codes)), codes]
    assert (chosen <= errors.min(1) * (1 + 1e-6)).all()
    assert (errors.argmin(1) == codes).mean() > 0.9
    assert np.array_equal(found, n.nvfp4_fp8_scale_sweep(weights, None, block, normalization=normalization))


def test_sweep_weights_and_window(weights):
    heavy = np.ones(64, np.float32)
    heavy[::16] = 1e6
    found = n.nvfp4_fp8_scale_sweep(weights, None, weights=heavy)
    errors, amaxes = oracle.sweep_errors(weights[:, ::16].reshape(-1, 1), np.abs(weights).max(), block=1)
    codes = np.array([np.flatnonzero(amaxes == value)[0] for value in found])
    # Almost nothing but the first element of each block counts: it is left with next to no error.
    assert np.allclose(errors[np.arange(len(codes)), codes], 0, atol=1e-4 * np.abs(weights).max() ** 2)
    full = n.nvfp4_fp8_scale_sweep(weights, None, code_window=(-126, 126))
    assert np.array_equal(full, n.nvfp4_fp8_scale_sweep(weights, None))
    codes = n.quantize(weights, n.nvfp4_fp8_scale_sweep(weights, None, code_window=(0, 0))).scale
    assert np.array_equal(codes, n.quantize(weights).scale)
    with pytest.raises(n.InvalidArgumentError):
        n.nvfp4_fp8_scale_sweep(weights, None, code_window=(5, 3))


def test_sweep_of_a_stack(weights):
    stack = weights.reshape(2, 4, 64)
    amaxes = np.abs(stack).max((1, 2))
    both = n.nvfp4_fp8_scale_sweep(stack, amaxes)
    each = [n.nvfp4_fp8_scale_sweep(one, amax) for one, amax in zip(stack, amaxes)]
    assert np.array_equal(both, np.concatenate(each))


@pytest.mark.parametrize("method", ["max", "mse"])
def test_values_beyond_a_given_global_amax_are_clipped_to_it(weights, method):
    largest = np.abs(weights).max()
    clipped = n.fake_quantize(weights, global_amax=largest / 4, method=method)
    beyond = np.abs(weights) > largest / 4
    assert beyond.any() and np.array_equal(np.abs(clipped[beyond]), np.full(beyond.sum(), largest / 4, np.float32))
    assert np.array_equal(np.sign(clipped[beyond]), np.sign(weights[beyond])) and np.abs(clipped).max() == largest / 4


def test_hessian_sweep(weights, rng):
    flat = n.nvfp4_fp8_scale_sweep(weights, None)
    identity = np.tile(np.eye(16, dtype=np.float32), (4, 1, 1))
    assert np.array_equal(n.nvfp4_fp8_scale_sweep_hessian(weights, None, identity), flat)
    x = rng.standard_normal((256, 64))
    h = np.stack([x[:, b : b + 16].T @ x[:, b : b + 16] for b in range(0, 64, 16)]).astype(np.float32)
    found = n.nvfp4_fp8_scale_sweep_hessian(weights.reshape(-1, 16), np.abs(weights).max(), h)
    _, amaxes = oracle.sweep_errors(weights, np.abs(weights).max())
    blocks = weights.reshape(-1, 16).astype(np.float64)
    scales = (amaxes / np.float32(6)).astype(np.float64)[:, None, None]
    r = np.sign(blocks) * (np.abs(blocks) - scales * oracle.LEVELS[oracle.nearest_level(np.abs(blocks) / scales)])
    errors = np.einsum("cbi,bij,cbj->bc", r, np.tile(h.astype(np.float64), (8, 1, 1)), r)
    codes = np.array([np.flatnonzero(amaxes == value)[0] for value in found])
    assert (errors[np.arange(len(codes)), codes] <= errors.min(1) * (1 + 1e-5)).all()
    assert not np.array_equal(found, flat)


@pytest.mark.parametrize("method", ["max", "mse"])
def test_quantize(weights, method):
    q = n.quantize(weights, method=method)
    amax = np.float32(np.abs(weights).max())
    assert q.global_amax == amax and q.scale_2 == amax / np.float32(2688) and q.scale_2.shape == ()
    assert q.packed.shape == (8, 32) and q.packed.dtype == np.uint8 and q.scale.shape == (8, 4)
    if method == "max":
        block_amax = np.abs(weights.reshape(8, 4, 16)).max(-1)
        assert np.array_equal(q.scale, oracle.nearest_e4m3(block_amax / np.float64(q.scale_2) / 6))
    decoded = oracle.decode(q.packed, q.scale, q.scale_2)
    assert np.array_equal(q.dequantize(), decoded) and np.array_equal(n.dequantize(q), decoded)
    assert np.array_equal(n.dequantize(q.packed, q.scale, q.scale_2), decoded)
    assert np.array_equal(n.fake_quantize(weights, method=method), decoded)
    # Every element is the level nearest to it.
    table = np.concatenate([[0.0], oracle.E4M3])
    step = np.repeat((table[q.scale].astype(np.float32) * q.scale_2).astype(np.float64), 16, axis=1)
    nearest = step * oracle.LEVELS[oracle.nearest_level(np.abs(weights) / step)]
    assert np.allclose(np.abs(decoded), nearest, rtol=1e-6)


def test_quantize_options(weights):
    amax = n.nvfp4_fp8_scale_sweep(weights, None)
    assert np.array_equal(n.quantize(weights, amax).packed, n.quantize(weights, method="mse").packed)
    q = n.quantize(weights, block_size=32, normalization=256)
    assert q.scale.shape == (8, 2) and q.scale_2 == np.float32(np.abs(weights).max()) / np.float32(6 * 256)
    assert n.dequantize(q).shape == (8, 64)
    stack = n.quantize(weights.reshape(2, 4, 64), global_amax=np.array([64.0, 128.0], np.float32))
    assert stack.scale_2.shape == (2,) and stack.scale_2[1] == 2 * stack.scale_2[0]
    tiled = n.quantize(weights, swizzled=True)
    plain = n.quantize(weights)
    assert np.array_equal(tiled.scale, n.swizzle_scales(plain.scale)) and tiled.scale.shape == (512,)
    assert np.array_equal(n.unswizzle_scales(tiled.scale, (8, 4)), plain.scale)
    assert np.array_equal(tiled.dequantize(), plain.dequantize())
    assert "shape=(8, 64)" in repr(tiled)
    with pytest.raises(ValueError, match="method 'best' is not one of 'max', 'mse'"):
        n.quantize(weights, method="best")
    with pytest.raises(n.InvalidArgumentError, match="block size 8|block_size 8"):
        n.quantize(weights, block_size=8)


def test_dtypes_of_results(weights):
    q = n.quantize(weights)
    full = q.dequantize()
    for dtype in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        out = q.dequantize(dtype)
        assert out.dtype == dtype and np.array_equal(out, full.astype(dtype))
        assert n.fake_quantize(weights.astype(dtype)).dtype == dtype
        assert n.fake_quantize(weights, dtype=dtype).dtype == dtype
    with pytest.raises(TypeError, match="int8"):
        q.dequantize(np.int8)
    with pytest.raises(ValueError, match="order 'other'"):
        n.dequantize(q.packed, q.scale, q.scale_2, order="other")
    with pytest.raises(TypeError, match="needs packed, scale and scale_2"):
        n.dequantize(q.packed, q.scale)


def test_compressed_tensors_order(weights):
    q = n.quantize(weights)
    g = np.float32(1) / q.scale_2
    table = np.concatenate([[0.0], oracle.E4M3]).astype(np.float32)
    codes = oracle.unpack(q.packed)
    values = (np.where(codes & 8, -1, 1) * oracle.LEVELS[codes & 7]).astype(np.float32)
    expected = values * np.repeat(table[q.scale] / g, 16, axis=1)
    assert np.array_equal(n.dequantize(q.packed, q.scale, g, order="compressed-tensors"), expected)


def test_fake_quantize_in_place(weights):
    expected = n.fake_quantize(weights)
    x = weights.copy()
    assert n.fake_quantize(x, out=x) is x and np.array_equal(x, expected)
    assert not np.array_equal(weights, expected)


def test_out_that_overlaps_x(rng):
    flat = rng.standard_normal(1024).astype(np.float32)
    before = flat.copy()
    for x, out in overlapping(flat):
        assert np.shares_memory(x, out)
        with pytest.raises(ValueError, match="out overlaps the input's memory in part"):
            n.fake_quantize(x, out=out)
    with pytest.raises(ValueError, match="out overlaps"):  # the same place, read as another dtype
        n.fake_quantize(flat.view(np.float16)[:1024], out=flat)
    assert np.array_equal(flat, before)
    n.fake_quantize(flat[:512], out=flat[512:])
    assert np.array_equal(flat[512:], n.fake_quantize(before[:512]))


def test_swizzle_of_a_stack(rng):
    scales = rng.integers(0, 126, (2, 130, 5)).astype(np.uint8)
    tiles = n.swizzle_scales(scales)
    assert tiles.shape == (2, 256 * 8)
    m, k = np.indices((256, 8))
    offset = (m // 128) * 2 * 512 + (k // 4) * 512 + (m % 32) * 16 + ((m % 128) // 32) * 4 + k % 4
    padded = np.zeros((2, 256, 8), np.uint8)
    padded[:, :130, :5] = scales
    expected = np.zeros((2, 2048), np.uint8)
    expected[:, offset.ravel()] = padded.reshape(2, -1)
    assert np.array_equal(tiles, expected)
    assert np.array_equal(n.unswizzle_scales(tiles, (2, 130, 5)), scales)


def test_zeros():
    q = n.quantize(np.zeros((2, 16), np.float32))
    assert (q.scale == 0x38).all() and (q.packed == 0).all() and q.scale_2 == 1
    assert (n.nvfp4_fp8_scale_sweep(np.zeros((2, 16), np.float32), None) == 0).all()


def test_global_amaxes_of_other_float_dtypes_are_rounded_to_float32():
    x = np.linspace(-1, 1, 64).reshape(4, 16)
    wanted = n.quantize(x, global_amax=1.0, method="mse")
    for amax in (np.float64(1.0), np.array(1.0), np.array([1.0], np.float16), x.max()):
        q = n.quantize(x, global_amax=amax, method="mse")
        assert np.array_equal(q.packed, wanted.packed) and np.array_equal(q.scale, wanted.scale)
        assert np.array_equal(n.nvfp4_fp8_scale_sweep(x, amax), n.nvfp4_fp8_scale_sweep(x, 1.0))
        assert np.array_equal(n.fake_quantize(x, global_amax=amax), n.fake_quantize(x, global_amax=1.0))
    assert np.array_equal(n.dequantize(wanted.packed, wanted.scale, np.float64(0.5)), n.dequantize(wanted.packed, wanted.scale, 0.5))
