"""Quantize, decode, fake quantization and the order of scales, in one call each."""

from __future__ import annotations

import sys
from typing import Any, Tuple

import numpy as np

from . import _native
from ._arrays import NUMPY, Array, E4M3, Kind, U8, float32, kind_of
from ._errors import Error, NoDataError, rename
from ._options import ORDERS, choose, options
from .context import Context, native

__all__ = ["QuantizedTensor", "quantize", "dequantize", "fake_quantize", "swizzle_scales", "unswizzle_scales"]


class QuantizedTensor:
    """What quantize() returns.

    Attributes:
        packed: uint8 [..., cols / 2]; element 2i in the low nibble, 2i + 1 in the high nibble.
        scale: E4M3 block scales [..., cols / block_size], or their 128x4 tiles if `swizzled`. torch: float8_e4m3fn; numpy: the codes as uint8
            (``scale.view(ml_dtypes.float8_e4m3fn)`` shows the values).
        scale_2: float32, global_amax / (6 * normalization) [ModelOpt weight_scale_2].
        global_amax: float32, one value or one per slice.
        shape, block_size, swizzled: of the quantized array.
    """

    __slots__ = ("packed", "scale", "scale_2", "global_amax", "shape", "block_size", "swizzled")

    def __init__(self, packed: Any, scale: Any, scale_2: Any, global_amax: Any, shape: Tuple[int, ...], block_size: int, swizzled: bool):
        self.packed, self.scale, self.scale_2, self.global_amax = packed, scale, scale_2, global_amax
        self.shape, self.block_size, self.swizzled = shape, block_size, swizzled

    def dequantize(self, dtype: Any = None, *, context: Context | None = None) -> Any:
        """The decoded array, in `dtype` (default float32)."""
        scale = self.scale
        if self.swizzled:
            scale = unswizzle_scales(scale, (*self.shape[:-1], self.shape[-1] // self.block_size), context=context)
        return dequantize(self.packed, scale, self.scale_2, dtype, context=context)

    def __repr__(self) -> str:
        return f"QuantizedTensor(shape={tuple(self.shape)}, block_size={self.block_size}, global_amax={self.global_amax})"


def _tell(error: Error) -> None:
    """Says what quantize and fake_quantize were refused for in the names of their arguments."""
    rename(error, {"block_amax": "amax"})
    if str(error).startswith("amax has 1 elements"):
        error.args = (f"{error}; one value for the whole array goes to global_amax=",)


def _scalar(value: Any) -> Any:
    return value.reshape(()) if value.ndim == 1 and value.shape[0] == 1 else value


def quantize(
    x: Array,
    amax: Array | None = None,
    global_amax: Array | float | None = None,
    method: str = "max",
    block_size: int = 16,
    *,
    normalization: int = 448,
    weights: Array | None = None,
    code_window: Tuple[int, int] | None = None,
    swizzled: bool = False,
    context: Context | None = None,
    stream: int | None = None,
) -> QuantizedTensor:
    """Quantizes x to packed E2M1 nibbles and E4M3 block scales.

    Args:
        x: [..., cols], float32, bfloat16, float16 or float64, any strides; cols is a multiple of the block size.
        amax: calibrated block amaxes, float32, one a block (from a calibrator); None: found here by `method`.
        global_amax: one value, or one per slice of the first dimension (rounded to float32); None: the largest magnitude of x. Values beyond one
            that is given are clipped to it; comparing it with ``MaxCalibrator().collect(x)``'s amax tells (nothing here does: it is another pass over x).
        method: "max" (scale from the block's largest magnitude) or "mse" (the best of all 126 codes); not read where amax is given.
        block_size, normalization, weights, code_window: as for nvfp4_fp8_scale_sweep; the last two are read by "mse".
        swizzled: scales as 128x4 tiles, as tensor-core kernels read them. Checkpoints store them linear.
    Returns: a QuantizedTensor whose arrays are of x's kind.
    Raises: InvalidArgumentError, UnsupportedError, NotFiniteError, CudaUnavailableError.
    Source: ModelOpt ``NVFP4QTensor.quantize``; C: nvfp4cal_quantize.
    """
    kind = kind_of(x)
    stream = kind.stream(stream)
    if global_amax is None:
        largest = _native.Max()
        largest.set_context(native(context))
        largest.collect(x, stream)
        try:
            found = largest.compute_amax(NUMPY.empty)
        except NoDataError:  # x has no elements
            found = np.zeros((), np.float32)
        global_amax = kind.from_numpy(found)
    global_amax, amax = float32(global_amax), float32(amax)
    chosen = options(method, block_size, normalization, weights, code_window, swizzled)
    try:
        packed, scale, scale_2 = _native.quantize(native(context), x, global_amax, amax, chosen, kind.empty, kind.empty, kind.empty, stream)
    except Error as error:
        _tell(error)
        raise
    packed, scale, scale_2 = kind.finish((packed, scale, scale_2))
    shape = (*packed.shape[:-1], 2 * packed.shape[-1])  # x's, which buffers without numpy do not say
    return QuantizedTensor(packed, scale, _scalar(scale_2), global_amax, shape, block_size, swizzled)


def dequantize(
    packed: Array | QuantizedTensor,
    scale: Array | None = None,
    scale_2: Array | float | None = None,
    dtype: Any = None,
    *,
    order: str = "modelopt",
    context: Context | None = None,
    stream: int | None = None,
) -> Any:
    """Decodes packed nibbles.

    Args:
        packed: uint8 [..., cols / 2]; or a QuantizedTensor, which has the next two.
        scale: E4M3 (or uint8 codes) [..., cols / block], linear; the block size follows from the shapes.
        scale_2: float32 global scale, one or one per slice: ModelOpt's weight_scale_2; for order "compressed-tensors" weight_global_scale.
        dtype: of the result: float32 (default), bfloat16, float16 or float64 of the input's library.
        order: of the two float32 operations: "modelopt", E2M1 * (v * s2), or "compressed-tensors", E2M1 * (v / g).
    Returns: [..., cols], of the input's kind.
    Raises: InvalidArgumentError, UnsupportedError, NotFiniteError (a scale byte 0x7F or 0xFF).
    Source: ModelOpt ``NVFP4QTensor.dequantize``, compressed-tensors ``NVFP4PackedCompressor``; C: nvfp4cal_dequantize.
    """
    if isinstance(packed, QuantizedTensor):
        return packed.dequantize(dtype, context=context)
    if scale is None or scale_2 is None:
        raise TypeError("dequantize() needs packed, scale and scale_2")
    kind = kind_of(packed)
    number = choose("order", order, ORDERS)
    wanted = (kind.empty, kind.dtype(dtype))
    try:
        return kind.finish(_native.dequantize(native(context), packed, scale, float32(scale_2), number, wanted, kind.stream(stream)))
    except Error as error:
        rename(error, {"scales": "scale", "global_scale": "scale_2"})
        raise


def fake_quantize(
    x: Array,
    amax: Array | None = None,
    global_amax: Array | float | None = None,
    method: str = "max",
    block_size: int = 16,
    *,
    normalization: int = 448,
    weights: Array | None = None,
    code_window: Tuple[int, int] | None = None,
    dtype: Any = None,
    out: Array | None = None,
    context: Context | None = None,
    stream: int | None = None,
) -> Any:
    """What x becomes when it is quantized and decoded.

    Args:
        x, amax, global_amax, method, block_size, normalization, weights, code_window: as for quantize.
        dtype: of the result; None: x's.
        out: contiguous array to write to, of x's shape; may be x itself, but not overlap it in part.
    Returns: an array of x's shape and kind, or out.
    Raises: as quantize.
    Source: ModelOpt's fake quantization, in its decode order; C: nvfp4cal_fake_quantize.
    """
    kind = kind_of(x)
    global_amax, amax = float32(global_amax), float32(amax)
    chosen = options(method, block_size, normalization, weights, code_window)
    if callable(out) or isinstance(out, tuple):  # what the native module takes besides arrays
        raise TypeError(f"out is no array but {type(out).__name__}")
    wanted = (kind.empty, kind.dtype(getattr(x, "dtype", None) if dtype is None else dtype)) if out is None else out
    try:
        made = _native.fake_quantize(native(context), x, global_amax, amax, chosen, wanted, kind.stream(stream))
    except Error as error:
        _tell(error)
        raise
    return kind.finish(made) if out is None else out


def swizzle_scales(scale: Array, *, context: Context | None = None, stream: int | None = None) -> Any:
    """Linear block scales to 128x4 tiles.

    Args:
        scale: E4M3 or uint8 [rows, k] or [stack, rows, k].
    Returns: the same dtype, [rows padded to 128 * k padded to 4] or [stack, that]; padding is zero.
    Source: FlashInfer, TensorRT-LLM ``block_scale_interleave``, vLLM ``swizzle_blockscale``; C: nvfp4cal_swizzle_scales.
    """
    kind = kind_of(scale)
    try:
        return kind.finish(_native.swizzle_scales(native(context), scale, kind.empty, kind.stream(stream)))
    except Error as error:
        rename(error, {"scales": "scale"})
        raise


def unswizzle_scales(tiles: Array, shape: Tuple[int, ...], *, context: Context | None = None, stream: int | None = None) -> Any:
    """128x4 tiles back to linear block scales.

    Args:
        tiles: as swizzle_scales gives them.
        shape: (rows, k) or (stack, rows, k), which cannot be told from the tiles.
    Returns: array of that shape, of the tiles' dtype. C: nvfp4cal_unswizzle_scales.
    """
    kind = kind_of(tiles)
    memory, result = _made(kind, tuple(shape), U8 if _is_u8(tiles) else E4M3)
    _native.unswizzle_scales(native(context), tiles, memory, kind.stream(stream))
    return kind.finish(result)


def _is_u8(array: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is None or not isinstance(array, torch.Tensor) or array.dtype == torch.uint8


def _made(kind: Kind, shape: Tuple[int, ...], dtype: int) -> Tuple[Any, Any]:
    made = kind.empty(shape, dtype)
    memory, result = made if isinstance(made, tuple) else (made, made)
    return (memory, dtype), result
