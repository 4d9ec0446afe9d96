"""Python functions in the place of a calibrator's quantization and errors."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any, Callable

import numpy as np

from ._arrays import Array, Kind, NUMPY, Torch, kind_of


class ScalarErrors(Exception):
    """error_func gave one value for the whole array: the search begins again and adds that."""


class Callbacks:
    """quant_func(x, amax) -> xq and error_func(x, xq) -> errors as the native module calls them.

    Arrays that the functions get are their own: the library's memory is copied, since it is gone after the call.
    """

    def __init__(self, quant_func: Callable[..., Any] | None, error_func: Callable[..., Any] | None):
        self.quant_func, self.error_func = quant_func, error_func
        self.scalar = self.needs_elements = False
        self._x: Any = None
        self._xq: Any = None
        self._kind: Kind = NUMPY

    def run(self, x: Array, collect: Callable[[], None]) -> None:
        """Runs collect() with x as float32 for the functions, without gradients."""
        self._kind = kind_of(x)
        gradients: Any = nullcontext()
        if isinstance(self._kind, Torch):
            torch = sys.modules["torch"]
            gradients = torch.no_grad()
            if x.is_floating_point():
                x = x.detach().to(torch.float32)
        elif isinstance(x, np.ndarray) and x.dtype.name in ("float64", "float16", "bfloat16"):
            x = x.astype(np.float32)
        self._x = x
        try:
            with gradients:
                collect()
        finally:
            self._x = self._xq = None

    def quantize(self, amax_memory: Any, out_memory: Any) -> None:
        assert self.quant_func is not None
        xq = self.quant_func(self._x, self._kind.from_numpy(np.array(amax_memory)))
        _fill(out_memory, xq, "quant_func")
        self._xq = xq

    def error(self, xq_memory: Any, out_memory: Any) -> None:
        assert self.error_func is not None
        xq = self._kind.from_numpy(np.array(xq_memory)) if self._xq is None else self._xq
        errors = self.error_func(self._x, xq)
        if not (self.scalar or self.needs_elements) and np.prod(np.shape(errors)) == 1 and np.prod(np.shape(self._x)) != 1:
            raise ScalarErrors
        _fill(out_memory, errors, "error_func")


def _fill(memory: Any, values: Any, name: str) -> None:
    out = np.asarray(memory)
    shape = tuple(getattr(values, "shape", np.shape(values)))
    if shape != out.shape and (out.size != 1 or np.prod(shape) != 1):
        raise ValueError(f"{name} returned an array of shape {shape}, not {out.shape}")
    torch = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(values, torch.Tensor)
    if values.is_complex() if is_tensor else np.iscomplexobj(values):
        raise TypeError(f"{name} returned complex values")
    if torch is not None and is_tensor:
        torch.from_numpy(out).copy_(values.detach().reshape(out.shape))
    else:
        np.copyto(out, np.asarray(values).reshape(out.shape), casting="unsafe")
