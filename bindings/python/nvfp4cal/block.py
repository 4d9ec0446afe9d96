"""Single-level block quantization: one E4M3 scale a block of 16 or 32, no global scale [qwantize]."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np

from . import _native
from ._arrays import NUMPY, Array, Kind, kind_for_device, kind_of, require_shape
from ._errors import Error, rename
from .context import Context, native

__all__ = [
    "build_fp8_e4m3_scales", "fp4_codebook", "fp4_quantize", "fp4_dequantize", "compute_block_sse", "nvfp4_naive", "nvfp4_optimal",
    "nvfp4_optimal_hessian", "nvfp4_admm", "nvfp4_dequantize",
]  # fmt: skip


def build_fp8_e4m3_scales(device: Any = "cpu") -> Any:
    """The 126 positive finite E4M3 values, ascending: float32 [126]. `device` as for fp8_scale_candidates. Source: qwantize."""
    kind = kind_for_device(device)
    return kind.from_numpy(_native.block_scale_table(None, NUMPY.empty))


def fp4_codebook(device: Any = "cpu") -> Tuple[Any, Any]:
    """The eight E2M1 magnitudes and the seven boundaries between them (one equal to a boundary rounds down), float32.

    Source: qwantize ``FP4_CODEBOOK``, ``FP4_BOUNDARIES``.
    """
    kind = kind_for_device(device)
    codebook, boundaries = _native.block_codebook(None, NUMPY.empty, NUMPY.empty)
    return kind.from_numpy(codebook), kind.from_numpy(boundaries)


def _with_scale(x: Any, s: Any) -> Tuple[Any, Any, Tuple[int, ...]]:
    """x, s and the result's shape such that s is x without its last dimension, or one value: what the library takes."""
    require_shape("x", x)
    if isinstance(s, (int, float)):
        return x, s, tuple(x.shape)
    require_shape("s", s)
    shape = tuple(x.shape)
    if s.ndim == 0:
        return x, s, shape
    if s.ndim == x.ndim and s.shape[-1] == 1 and tuple(s.shape[:-1]) == shape[:-1]:
        return x, s[..., 0], shape
    # Any other broadcast: where s varies along the last dimension, each element is a block of its own.
    shape = np.broadcast_shapes(shape, tuple(s.shape))
    x = _broadcast(x, shape)
    if s.shape[-1] == 1:
        return x, _broadcast(s, (*shape[:-1], 1))[..., 0], shape
    return x[..., None], _broadcast(s, shape), shape


def _broadcast(x: Any, shape: Tuple[int, ...]) -> Any:
    return x.expand(shape) if hasattr(x, "expand") else np.broadcast_to(x, shape)


def fp4_quantize(x: Array, s: Array | float, *, context: Context | None = None, stream: int | None = None) -> Any:
    """The nearest of 0 .5 1 1.5 2 3 4 6 to each |x / s|, with x's sign; a tie goes toward zero.

    Args:
        x: [..., block].
        s: scales >= 0 that broadcast to x, [..., 1] or one value. A scale of 0 gives 6 for every element but 0.
    Returns: float32, the broadcast shape, of x's kind.
    Raises: InvalidArgumentError, UnsupportedError, NotFiniteError.
    Source: qwantize ``fp4_quantize``; C: nvfp4cal_block_quantize.
    """
    kind = kind_of(x)
    x, s, shape = _with_scale(x, s)
    return kind.finish(_native.block_quantize(native(context), x, s, -1, kind.empty, kind.stream(stream))).reshape(shape)


def fp4_dequantize(quants: Array, s: Array | float, *, context: Context | None = None, stream: int | None = None) -> Any:
    """quants * s in float32; shapes as for fp4_quantize. Source: qwantize ``fp4_dequantize``; C: nvfp4cal_block_dequantize."""
    kind = kind_of(quants)
    quants, s, shape = _with_scale(quants, s)
    return kind.finish(_native.block_dequantize(native(context), quants, s, -1, kind.empty, kind.stream(stream))).reshape(shape)


def compute_block_sse(x: Array, s: Array, *, dtype: Any = None, context: Context | None = None, stream: int | None = None) -> Any:
    """Sum of squared errors of each block, added in float64.

    Args:
        x: [..., block]; one-dimensional s: x is [blocks, block].
        s: [...] or [..., 1].
        dtype: of the result: float32 (default) or float64.
    Returns: [...], of x's kind. Source: qwantize ``compute_block_sse``; C: nvfp4cal_block_sse.
    """
    kind = kind_of(x)
    require_shape("x", x)
    require_shape("s", s)
    if s.ndim == x.ndim and s.ndim > 0 and s.shape[-1] == 1:
        s = s[..., 0]
    return kind.finish(_native.block_sse(native(context), x, s, -1, (kind.empty, kind.dtype(dtype)), kind.stream(stream)))


def _outputs(kind: Kind, return_dequant: bool) -> Tuple[Any, Any, Any]:
    return kind.empty, kind.empty, kind.empty if return_dequant else None


def nvfp4_naive(
    W: Array, dim: int = -1, return_dequant: bool = False, *, context: Context | None = None, stream: int | None = None
) -> Tuple[Any, ...]:
    """The plain scale of each block, E4M3(max|w| / 6), and the levels.

    Args:
        W: any shape whose extent along `dim` is the block size, 16 or 32.
        return_dequant: also return quants * scales.
    Returns: (scales, quants) or (scales, quants, dequant), float32 of W's kind: scales have W's shape without dimension dim, the others W's.
    Raises: InvalidArgumentError, UnsupportedError, NotFiniteError.
    Source: qwantize ``nvfp4_naive`` (here scales above 448 saturate); C: nvfp4cal_block_naive.
    """
    kind = kind_of(W)
    return tuple(kind.finish(_native.block_naive(native(context), W, dim, *_outputs(kind, return_dequant), kind.stream(stream))))


def nvfp4_optimal(
    W: Array, dim: int = -1, return_dequant: bool = False, *, search_noise: bool = False, context: Context | None = None,
    stream: int | None = None,
) -> Tuple[Any, ...]:  # fmt: skip
    """The scale of each block with the least squared error of the plain one and all 126.

    Args:
        search_noise: also search blocks whose plain scale is no better than zeros; qwantize leaves them that scale.
        W, dim, return_dequant: as for nvfp4_naive, as are the result and what is raised.
    Source: qwantize ``nvfp4_optimal``; C: nvfp4cal_block_optimal.
    """
    kind = kind_of(W)
    options = (_native.BLOCK_SEARCH_NOISE if search_noise else 0, 0, 0)
    return tuple(kind.finish(_native.block_optimal(native(context), W, dim, options, *_outputs(kind, return_dequant), kind.stream(stream))))


# Parameters of the C functions that have other names here.
_HESSIAN_NAMES = {"w": "W", "hessians": "H_blocks", "activations": "X"}


def nvfp4_optimal_hessian(
    W: Array, dim: int = -1, return_dequant: bool = False, X: Array | None = None, H_blocks: Array | None = None, *,
    context: Context | None = None, stream: int | None = None,
) -> Tuple[Any, ...]:  # fmt: skip
    """The scale of each block with the least r^T H r, r = w - s q. Block number i uses matrix i mod columns.

    Args:
        X: activations [rows, columns * block]; H_j = X_j^T X_j, added in float64. Not read where H_blocks is given.
        H_blocks: [columns, block, block], symmetric. columns divides the number of blocks; fewer than a row has are used in turn.
        W, dim, return_dequant: as for nvfp4_naive, as are the result and what is raised.
    Source: qwantize ``nvfp4_optimal_hessian`` (whose pruning misses some optima); C: nvfp4cal_block_optimal_hessian.
    """
    kind = kind_of(W)
    wanted = _outputs(kind, return_dequant)
    try:
        found = _native.block_optimal_hessian(native(context), W, dim, H_blocks, X, None, *wanted, kind.stream(stream))
        return tuple(kind.finish(found))
    except Error as error:
        rename(error, _HESSIAN_NAMES)
        raise


def nvfp4_admm(
    W: Array, dim: int = -1, return_dequant: bool = False, X: Array | None = None, n_outer: int = 3, n_inner: int = 10, *,
    H_blocks: Array | None = None, from_optimal: bool = False, context: Context | None = None, stream: int | None = None,
) -> Tuple[Any, ...]:  # fmt: skip
    """Levels and scale found in turns by ADMM.

    Args:
        n_outer, n_inner: scale updates and steps between them, 1 .. 1000.
        from_optimal: start from nvfp4_optimal_hessian's scale and keep its result where ADMM ends with a larger error.
        W, dim, return_dequant, X, H_blocks: as for nvfp4_optimal_hessian, as are the result and what is raised.
    Source: qwantize ``nvfp4_admm``, here in float64; C: nvfp4cal_block_admm.
    """
    if n_outer < 1 or n_inner < 1:
        raise ValueError(f"n_outer {n_outer} and n_inner {n_inner} must be at least 1")
    kind = kind_of(W)
    options = (_native.BLOCK_ADMM_FROM_OPTIMAL if from_optimal else 0, n_outer, n_inner)
    wanted = _outputs(kind, return_dequant)
    try:
        return tuple(kind.finish(_native.block_admm(native(context), W, dim, H_blocks, X, options, *wanted, kind.stream(stream))))
    except Error as error:
        rename(error, _HESSIAN_NAMES)
        raise


def nvfp4_dequantize(scales: Array, quants: Array, dim: int = -1, *, context: Context | None = None, stream: int | None = None) -> Any:
    """quants * scales in float32.

    Args:
        scales: the shape of quants without dimension dim.
    Returns: the shape of quants, of its kind. Source: qwantize ``nvfp4_dequantize``; C: nvfp4cal_block_dequantize.
    """
    kind = kind_of(quants)
    return kind.finish(_native.block_dequantize(native(context), quants, scales, dim, kind.empty, kind.stream(stream)))
