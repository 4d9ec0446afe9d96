"""nvfp4cal_options as the tuple that the native module reads."""

from __future__ import annotations

from typing import Any, Tuple

from . import _native
from ._arrays import Array

_METHODS = {"max": _native.METHOD_MAX, "mse": _native.METHOD_MSE}
CHECKPOINT_METHODS = {**_METHODS, "four-over-six": _native.METHOD_FOUR_OVER_SIX, "gptq": _native.METHOD_GPTQ}
EFFORTS = {"fast": _native.GPTQ_FAST, "default": _native.GPTQ_DEFAULT, "max": _native.GPTQ_MAX}
FORMATS = {"modelopt": _native.FORMAT_MODELOPT, "compressed-tensors": _native.FORMAT_COMPRESSED_TENSORS}
ORDERS = {"modelopt": _native.DECODE_MODELOPT, "compressed-tensors": _native.DECODE_COMPRESSED_TENSORS}


def choose(name: str, value: Any, choices: dict[str, int]) -> int:
    """The number of a named choice."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise ValueError(f"{name} {shown(value)} is not one of {', '.join(map(repr, choices))}") from None


def shown(value: Any) -> str:
    """A wrong value in a message of one line."""
    text = repr(value)
    return text if len(text) < 80 and text.isprintable() else f"of type {type(value).__name__}"


def options(
    method: str = "mse",
    block_size: int = 16,
    normalization: int = 448,
    weights: Array | None = None,
    code_window: Tuple[int, int] | None = None,
    swizzled: bool = False,
) -> Any:
    lo, hi = code_window if code_window is not None else (0, 0)
    return (
        _native.OPTION_CODE_WINDOW if code_window is not None else 0,
        choose("method", method, _METHODS),
        block_size,
        normalization,
        lo,
        hi,
        _native.SCALES_SWIZZLED if swizzled else _native.SCALES_LINEAR,
        weights,
    )
