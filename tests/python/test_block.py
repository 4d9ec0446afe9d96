"""Single-level functions against plain numpy."""
import numpy as np
import oracle
import pytest

import nvfp4cal as n


def levels_toward_zero(y):
    """Ties between two levels go toward zero, as torch.bucketize has them."""
    boundaries = (oracle.LEVELS[1:] + oracle.LEVELS[:-1]) / 2
    return oracle.LEVELS[np.searchsorted(boundaries, y, side="left")]


def quants_of(x, s):
    return (np.sign(x) * levels_toward_zero(np.abs(x) / s)).astype(np.float32)


def test_tables():
    assert np.array_equal(n.build_fp8_e4m3_scales(), oracle.E4M3.astype(np.float32))
    codebook, boundaries = n.fp4_codebook()
    assert np.array_equal(codebook, oracle.LEVELS.astype(np.float32))
    assert np.array_equal(boundaries, ((oracle.LEVELS[1:] + oracle.LEVELS[:-1]) / 2).astype(np.float32))


@pytest.mark.parametrize("shape", [(4, 1), (1, 1), (1,), (), (4, 16), (16,), (3, 4, 1)])
def test_scales_broadcast(rng, shape):
    x = rng.standard_normal((4, 16)).astype(np.float32)
    s = rng.uniform(0.1, 0.5, shape).astype(np.float32)
    quants = n.fp4_quantize(x, s)
    expected = quants_of(x, s)
    assert quants.shape == expected.shape and np.array_equal(quants, expected)
    assert np.array_equal(n.fp4_dequantize(quants, s), expected * s)


def test_scale_as_a_number(rng):
    x = rng.standard_normal((4, 16)).astype(np.float32)
    assert np.array_equal(n.fp4_quantize(x, 0.25), quants_of(x, np.float32(0.25)))
    assert np.array_equal(n.fp4_dequantize(np.ones((2, 3), np.float32), 0.5), np.full((2, 3), 0.5, np.float32))


def test_block_sse(rng):
    x, s = rng.standard_normal((6, 16)).astype(np.float32), rng.uniform(0.1, 0.5, 6).astype(np.float32)
    dequantized = quants_of(x, s[:, None]).astype(np.float64) * s[:, None]
    expected = ((x.astype(np.float64) - dequantized) ** 2).sum(-1)
    assert np.allclose(n.compute_block_sse(x, s), expected, rtol=1e-6)
    exact = n.compute_block_sse(x, s[:, None], dtype=np.float64)
    assert exact.dtype == np.float64 and np.allclose(exact, expected, rtol=1e-12)


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_naive_and_optimal(rng, dim):
    w = np.moveaxis(rng.standard_normal((5, 3, 16)).astype(np.float32) * 4, -1, dim)
    blocks = np.moveaxis(w, dim, -1).reshape(-1, 16).astype(np.float64)
    scales, quants, dequant = n.nvfp4_naive(w, dim, return_dequant=True)
    assert scales.shape == (5, 3) and quants.shape == dequant.shape == w.shape
    naive = oracle.E4M3[oracle.nearest_e4m3(np.abs(blocks).max(-1) / 6) - 1]
    assert np.array_equal(scales.ravel(), naive)
    assert np.array_equal(np.moveaxis(quants, dim, -1).reshape(-1, 16), quants_of(blocks.astype(np.float32), scales.reshape(-1, 1)))
    assert np.array_equal(dequant, n.nvfp4_dequantize(scales, quants, dim))
    assert len(n.nvfp4_naive(w, dim)) == 2
    best, quants = n.nvfp4_optimal(w, dim)
    all_errors = np.stack([((blocks - np.sign(blocks) * s * levels_toward_zero(np.abs(blocks) / s)) ** 2).sum(-1) for s in oracle.E4M3], -1)
    found = n.compute_block_sse(np.moveaxis(w, dim, -1), best, dtype=np.float64).ravel()
    assert (found <= all_errors.min(-1) * (1 + 1e-6)).all()
    assert not np.array_equal(best.ravel(), naive)


def test_noise_blocks():
    w = np.full((1, 16), 1e-4, np.float32)
    assert n.nvfp4_optimal(w)[0] == 0
    assert n.nvfp4_optimal(w, search_noise=True)[0] >= 0


def test_hessian_and_admm(rng):
    w = rng.standard_normal((8, 4, 16)).astype(np.float32)
    x = (rng.standard_normal((128, 64)) @ (np.eye(64) + 0.3 * rng.standard_normal((64, 64)))).astype(np.float32)
    h = np.stack([x[:, b : b + 16].astype(np.float64).T @ x[:, b : b + 16].astype(np.float64) for b in range(0, 64, 16)])

    def error(scales, quants):
        r = w.astype(np.float64) - quants.astype(np.float64) * scales[..., None]
        return np.einsum("mji,jik,mjk->mj", r, h, r)

    plain = error(*n.nvfp4_naive(w))
    scales, quants, dequant = n.nvfp4_optimal_hessian(w, X=x, return_dequant=True)
    best = error(scales, quants)
    assert (best <= plain * (1 + 1e-9)).all() and best.sum() < 0.9 * plain.sum()
    assert np.array_equal(dequant, quants * scales[..., None])
    given = n.nvfp4_optimal_hessian(w, H_blocks=h.astype(np.float32))
    assert np.allclose(error(*given), best, rtol=1e-4)
    # Fewer matrices than a row has blocks are used in turn; a width that is no multiple of the block is refused.
    narrow, tiled = n.nvfp4_optimal_hessian(w, X=x[:, :32]), n.nvfp4_optimal_hessian(w, X=np.tile(x[:, :32], (1, 2)))
    assert all(np.array_equal(a, b) for a, b in zip(narrow, tiled))
    for cols, message in ((48, "32 blocks, not a multiple of the 3 blocks of X"), (40, r"X of shape \[128, 40\], expected \[rows, a multiple of 16\]")):
        with pytest.raises(n.InvalidArgumentError, match=message):
            n.nvfp4_optimal_hessian(w, X=x[:, :cols])
    guarded = error(*n.nvfp4_admm(w, X=x, from_optimal=True))
    assert (guarded <= best * (1 + 1e-9)).all() and guarded.sum() < error(*n.nvfp4_admm(w, X=x)).sum()
    short = error(*n.nvfp4_admm(w, X=x, n_outer=1, n_inner=1))
    assert not np.array_equal(short, error(*n.nvfp4_admm(w, X=x)))
    with pytest.raises(ValueError, match="n_outer 0"):
        n.nvfp4_admm(w, X=x, n_outer=0)
    with pytest.raises(n.InvalidArgumentError):
        n.nvfp4_optimal_hessian(w)
    with pytest.raises(n.Error, match="17"):
        n.nvfp4_naive(np.zeros((2, 17), np.float32))
