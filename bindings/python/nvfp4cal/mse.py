"""Searches for the amax with the least error [ModelOpt torch.quantization.calib.mse]."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Sequence, Tuple

import numpy as np

from . import _native
from ._arrays import NUMPY, Array, as_numpy, float32, in_host_memory, kind_of
from ._callbacks import Callbacks, ScalarErrors
from ._errors import WrongStateError
from ._handle import Handle
from .calib import MaxCalibrator, _Calibrator, axes_of
from .context import Context

__all__ = ["MseCalibrator", "NVFP4MSECalibrator"]

_FLOATS = {"e4m3": _native.FLOAT_E4M3, "e5m2": _native.FLOAT_E5M2, "e2m1": _native.FLOAT_E2M1}
_INTEGERS = re.compile(r"(u?)int([2-8])(_full)?")


class MseCalibrator(_Calibrator):
    """Of the candidates amax * m, the one with the least error between x and quantize(x, amax * m), over many arrays.

    Args:
        amax: initial amax, finite and >= 0: one value or what broadcasts to x; with an axis one value a channel, [C] or [C, 1].
        axis: the axes that are kept, each position with a result of its own; None: one for all.
        step_size, start_multiplier, stop_multiplier: ceil((stop - start) / step) + 1 candidates, evenly spaced.
        quant_func: ``quant_func(x, amax) -> xq``, called once a candidate with x as float32, or a built-in's name: "int8", "int4" (int2 ..
            int8, symmetric; "int4_full" also has the lowest value), "uint8" (uint2 .. uint8), "e4m3", "e5m2", "e2m1", or "nvfp4".
        error_func: ``error_func(x, xq) -> errors``, one an element or one for all; None: squared errors; "absolute"; a number p: |x - xq|^p.
        global_amax: of the quantizer "nvfp4"; None: the largest value of amax.
        context: threads and CPU target.
    An exception of a function is raised by collect(), and nothing was collected.
    Source: ModelOpt ``MseCalibrator``; C: nvfp4cal_mse. Losses are float64 sums (there float32); NaN and infinity are refused.
    """

    _native_class: Any = _native.Mse

    def __init__(
        self, amax: Array | float, axis: int | Sequence[int] | None = None, step_size: float = 0.1, start_multiplier: float = 0.25,
        stop_multiplier: float = 4.0, quant_func: Callable[[Any, Any], Any] | str | None = None,
        error_func: Callable[[Any, Any], Any] | str | float | None = None, *, global_amax: float | None = None,
        context: Context | None = None,
    ):  # fmt: skip
        super().__init__(None, axis, None, context)
        self._initial_amax: Any = amax
        self._quant_func, self._error_func = quant_func, error_func
        self._scalar_errors = False
        if axis is not None:
            self._handle.set_axes(axes_of(axis))
        self._handle.set_multipliers(start_multiplier, stop_multiplier, step_size)
        if isinstance(quant_func, str):
            self._set_quantizer(quant_func, amax, global_amax)
        if isinstance(error_func, str):
            self._set_error(error_func)
        elif isinstance(error_func, (int, float)):
            self._handle.set_power_error(error_func)
        self._attach()
        self._handle.set_initial_amax(in_host_memory(amax))
        self._kind = kind_of(amax)

    def _set_quantizer(self, name: str, amax: Array | float, global_amax: float | None) -> None:
        integer = _INTEGERS.fullmatch(name)
        if name in _FLOATS:
            self._handle.set_float_quantizer(_FLOATS[name])
        elif name == "nvfp4":
            self._handle.set_nvfp4_quantizer(float(np.max(as_numpy(amax)) if global_amax is None else global_amax))
        elif integer and not (integer[1] and integer[3]):
            ranges = _native.INT_UNSIGNED if integer[1] else _native.INT_FULL if integer[3] else _native.INT_SYMMETRIC
            self._handle.set_int_quantizer(int(integer[2]), ranges)
        else:
            raise ValueError(f"quant_func {name!r} is not one of int2 .. int8, int2_full .. int8_full, uint2 .. uint8, e4m3, e5m2, e2m1, nvfp4")

    def _set_error(self, name: str) -> None:
        if name == "absolute":
            self._handle.set_absolute_error()
        elif name == "squared":
            self._handle.set_squared_error()
        else:
            raise ValueError(f"error_func {name!r} is not one of 'squared', 'absolute'")

    def _attach(self) -> None:
        quantize = self._quant_func if callable(self._quant_func) else None
        error = self._error_func if callable(self._error_func) else None
        self._callbacks: Any = None
        if quantize is None and error is None:
            return
        self._callbacks = Callbacks(quantize, error)
        # The native module borrows the callables.
        self._held = (self._callbacks.quantize, self._callbacks.error)
        if quantize is not None:
            self._handle.set_quantize_callback(self._held[0])
        if error is not None:
            self._callbacks.scalar = self._scalar_errors
            self._handle.set_error_callback((self._held[1], _native.ERRORS_SCALAR if self._scalar_errors else _native.ERRORS_ELEMENTS))

    def _run(self, x: Array, stream: int | None) -> None:
        """Collects, with the functions if there are any."""
        if self._callbacks is None:
            super()._collect(x, stream)
        else:
            kind = kind_of(x)
            stream = kind.stream(stream)
            with self._guard:
                # The library borrows the functions until the call returns, also where one of them initialises this object anew.
                handle, callbacks, held = self._handle, self._callbacks, self._held
                try:
                    callbacks.run(x, lambda: handle.collect(x, stream))
                except ScalarErrors:
                    callbacks.scalar = True
                    handle.set_error_callback((held[1], _native.ERRORS_SCALAR))
                    if callbacks is self._callbacks:
                        self._scalar_errors = True
                    callbacks.run(x, lambda: handle.collect(x, stream))
                self._kind = kind

    def collect(self, x: Array, *, stream: int | None = None) -> None:
        """Adds the errors of x at every candidate.

        Args:
            x: float32, bfloat16, float16 or float64, any strides; kept extents stay the same.
        Raises: WrongStateError (a RuntimeError) without a quant_func or after reset(), InvalidArgumentError, UnsupportedError,
            NotFiniteError; whatever a function raised.
        """
        if self._quant_func is None:
            message = "Quantization function not set: give quant_func=, a function or the name of a format (MseCalibrator(amax, quant_func=\"int8\"))"
            raise WrongStateError(message, WrongStateError.status)
        self._run(x, stream)

    def compute_amax(self, verbose: bool = False) -> Any:
        """The best amax, float32 in the shape of the initial one and of x's kind; None before the first collect.

        Args:
            verbose: print the ratio of the result to the initial amax.
        """
        amax = self._result(self._handle.compute_amax)
        if verbose and amax is not None:
            with self._guard:
                ratio = np.asarray(self._handle.compute_multipliers(NUMPY.empty))
            if ratio.ndim == 0:
                print(f"MSE Calibrator: best_amax/initial_amax ratio = {ratio.item():.4f}")
            else:
                print(
                    f"MSE Calibrator: best_amax/initial_amax ratio - mean: {ratio.mean():.4f}, min: {ratio.min():.4f}, max: {ratio.max():.4f}"
                )
        return amax

    def compute_multipliers(self) -> Any:
        """The best multipliers, shaped as the amax; None before the first collect."""
        return self._result(self._handle.compute_multipliers)

    def candidates(self) -> Any:
        """The multipliers that are tried, float32 [n]."""
        return self._result(self._handle.candidates)

    def losses(self) -> Any:
        """The sums of errors, float64 [n] + kept extents; None before the first collect."""
        return self._result(self._handle.losses)

    def reset(self) -> None:
        """Drops the losses and the initial amax, which set_initial_amax() gives anew; keeps the options."""
        super().reset()
        self._initial_amax = None

    def set_initial_amax(self, amax: Array | float) -> None:
        """The amax that the candidates multiply, after reset(). Raises: WrongStateError after data, InvalidArgumentError, NotFiniteError."""
        with self._guard:
            self._handle.set_initial_amax(in_host_memory(amax))
        self._initial_amax = amax

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_callbacks", None)
        state.pop("_held", None)
        return state


class NVFP4MSECalibrator(MseCalibrator):
    """The exact search for block scales as a calibrator: one collect() between resets, the result is kept.

    Args:
        amax: per-block amaxes, whose shape the result gets; the values decide nothing. None: the result's shape follows from x.
        global_amax: one value, or one per slice of x's first dimension; or a MaxCalibrator that holds it (read now, not kept).
        axis: kept for the signature; errors are summed per block.
        quant_func: ``quant_func(x, amax) -> xq``, called for each of the 126 candidates with x as float32, but only beside error_func: it is
            meant to be NVFP4 quantization, which the search knows itself.
        error_func: ``error_func(x, xq) -> errors``, one an element; None: squared errors. Not called where there is a hessian.
        hessian: float32 [cols / block, block, block]: the least r^T H r decides.
        normalization, weights, code_window: as for nvfp4_fp8_scale_sweep.
        block_size: 16 or 32; None: elements of x divided by those of amax.
        context: threads and CPU target.
    Source: ModelOpt ``NVFP4MSECalibrator``; C: nvfp4cal_sweep.
    """

    _native_class = _native.Sweep
    _state_arrays = 0

    def __init__(
        self, amax: Array | None, global_amax: Array | float | MaxCalibrator, axis: int | Sequence[int] | None = None,
        quant_func: Callable[[Any, Any], Any] | None = None, error_func: Callable[[Any, Any], Any] | None = None,
        hessian: Array | None = None, *, normalization: int = 448, weights: Array | None = None, code_window: Tuple[int, int] | None = None,
        block_size: int | None = None, context: Context | None = None,
    ):  # fmt: skip
        _Calibrator.__init__(self, None, axis, None, context)
        self._initial_amax, self._hessian = amax, hessian
        self._global_amax = None if isinstance(global_amax, MaxCalibrator) else global_amax
        self._quant_func, self._error_func = quant_func, error_func
        self._scalar_errors = False
        self._block_size = block_size
        self._handle.set_normalization(normalization)
        if isinstance(global_amax, MaxCalibrator):
            with global_amax._guard:
                self._handle.set_global_amax_from(global_amax._handle)
        else:
            self._handle.set_global_amax(in_host_memory(float32(global_amax)))
        if block_size is not None:
            self._handle.set_block_size(block_size)
        if code_window is not None:
            self._handle.set_code_window(*code_window)
        if weights is not None:
            self._handle.set_weights(in_host_memory(weights))
        if hessian is not None:
            self._handle.set_hessian(in_host_memory(hessian))
        if amax is not None:
            self._handle.set_initial_amax(in_host_memory(amax))
        self._attach()

    def _attach(self) -> None:
        self._callbacks = None
        if self._error_func is None or self._hessian is not None:
            return
        super()._attach()
        # One value for all could not tell blocks apart.
        self._callbacks.needs_elements = True

    def collect(self, x: Array, *, stream: int | None = None) -> None:
        """Searches x now, and on a device waits for the result: other calibrators' collect returns before that.

        Args:
            x: any shape; blocks are consecutive in row-major order. With a hessian [..., cols], or [blocks, block] over (rows, cols / block).
            stream: a CUDA stream's address, for device tensors.
        Raises: WrongStateError (a RuntimeError) for a second collect before reset(), InvalidArgumentError, UnsupportedError, NotFiniteError;
            whatever a function raised.
        """
        if self._block_size is None and self._initial_amax is not None:
            blocks = int(np.prod(np.shape(self._initial_amax)))
            with self._guard, contextlib.suppress(WrongStateError):  # after data: what collect says is to the point
                self._handle.set_block_size(32 if int(np.prod(np.shape(x))) == 32 * blocks else 16)
        self._run(x, stream)

    def compute_amax(self, verbose: bool = False) -> Any:
        """The block amaxes, float32 in the shape of the initial ones and of x's kind; None before collect()."""
        return self._result(self._handle.compute_amax)

    def initial_amax(self) -> Any:
        """The initial amax as float32, which saved states hold too; None without one."""
        return self._result(self._handle.initial_amax)

    def compute_codes(self) -> Any:
        """The chosen E4M3 scale codes 1 .. 126, shaped the same; None before collect()."""
        return self._result(self._handle.compute_codes)

    def reset(self) -> None:
        """Drops the result, keeps options, global amax and initial amax."""
        Handle.reset(self)
