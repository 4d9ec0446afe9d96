"""The exact search for block scales in one call [ModelOpt kernels.quantization.gemm.nvfp4_fp8_sweep]."""

from __future__ import annotations

from typing import Any, Tuple

from . import _native
from ._arrays import NUMPY, Array, float32, kind_for_device, kind_of
from ._options import options
from .context import Context, native

__all__ = ["fp8_scale_candidates", "nvfp4_fp8_scale_sweep", "nvfp4_fp8_scale_sweep_hessian"]


def fp8_scale_candidates(device: Any = "cpu", *, normalization: int = 448) -> Any:
    """The 126 positive finite E4M3 values divided by the normalization, ascending: the scale candidates of a search.

    Args:
        device: "cpu" gives a numpy array, a ``torch.device`` (or another device's name, where torch is imported) a tensor on it.
        normalization: 448, or 256 for "four over six".
    Returns: float32 [126].
    Source: ModelOpt ``fp8_scale_candidates``.
    """
    kind = kind_for_device(device)
    return kind.from_numpy(_native.scale_candidates(None, normalization, NUMPY.empty))


def nvfp4_fp8_scale_sweep(
    x: Array,
    global_amax: Array | float | None,
    block_size: int = 16,
    *,
    normalization: int = 448,
    weights: Array | None = None,
    code_window: Tuple[int, int] | None = None,
    context: Context | None = None,
    stream: int | None = None,
) -> Any:
    """For every block the amax whose E4M3 scale code has the least squared error of all 126.

    Args:
        x: float32, bfloat16, float16 or float64 of any shape and strides; blocks are consecutive in row-major order.
        global_amax: one value, or one per slice of x's first dimension (a stack of experts); None: the largest magnitude of x.
        block_size: 16 or 32; divides the number of elements.
        normalization: 448, or 256 for "four over six".
        weights: positive weights of the squared errors, [last dimension of x] or x's shape.
        code_window: (lo, hi): search only the codes n + lo .. n + hi around the code n of plain max scaling. An approximation.
        context: threads and CPU target.
        stream: a CUDA stream's address, for device tensors.
    Returns: float32 [blocks], of x's kind. Equal to trying all codes; the smallest wins ties.
    Raises: InvalidArgumentError, UnsupportedError, NotFiniteError (names the flat index), CudaUnavailableError.
    Source: ModelOpt ``nvfp4_fp8_scale_sweep``; C: nvfp4cal_scale_sweep.
    """
    kind = kind_of(x)
    chosen = options("mse", block_size, normalization, weights, code_window)
    return kind.finish(_native.scale_sweep(native(context), x, float32(global_amax), chosen, kind.empty, kind.stream(stream))).reshape(-1)


def nvfp4_fp8_scale_sweep_hessian(
    x: Array,
    global_amax: Array | float | None,
    hessian: Array,
    block_size: int = 16,
    *,
    normalization: int = 448,
    code_window: Tuple[int, int] | None = None,
    context: Context | None = None,
    stream: int | None = None,
) -> Any:
    """For every block the amax whose E4M3 scale code has the least r^T H r, r = x - decoded x.

    Args:
        x: [..., cols], or [blocks, block_size] row-major over (rows, cols / block_size), or flat.
        global_amax: as for nvfp4_fp8_scale_sweep.
        hessian: float32 [cols / block_size, block_size, block_size], symmetric; flat block b is weighed by number b mod (cols / block_size).
        block_size, normalization, code_window, context, stream: as for nvfp4_fp8_scale_sweep.
    Returns: float32 [blocks], of x's kind.
    Raises: InvalidArgumentError, UnsupportedError, NotFiniteError (of x by flat index, of hessian by [block, row, column]).
    Source: ModelOpt ``nvfp4_fp8_scale_sweep_hessian``; C: nvfp4cal_scale_sweep_hessian.
    """
    kind = kind_of(x)
    chosen = options("mse", block_size, normalization, None, code_window)
    stream = kind.stream(stream)
    return kind.finish(_native.scale_sweep_hessian(native(context), x, float32(global_amax), hessian, chosen, kind.empty, stream)).reshape(-1)
