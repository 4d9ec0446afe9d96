"""Calibrators of amaxes and Hessians: maximum, activations' global amax, X^T X [ModelOpt, qwantize]."""

from __future__ import annotations

import re
import warnings
from typing import Any, List, Sequence

import numpy as np

from . import _native
from ._arrays import BF16, F16, NUMPY, Array, NumpyArray, kind_of
from ._errors import InvalidArgumentError, NotFiniteError
from ._handle import Handle
from ._options import choose
from .context import Context

__all__ = ["MaxCalibrator", "NVFP4ActMaxCalibrator", "NVFP4ActHeadroomCalibrator", "HessianAccumulator"]


class _ShapeChanged(InvalidArgumentError, RuntimeError):
    """ModelOpt's callers expect a RuntimeError."""

    def __reduce__(self) -> Any:
        return _unpickled, ("_ShapeChanged", str(self), self.status)


class _NotFinite(NotFiniteError, AssertionError):
    """ModelOpt's callers expect an AssertionError."""

    def __reduce__(self) -> Any:
        return _unpickled, ("_NotFinite", str(self), self.status)


def _unpickled(name: str, message: str, status: int) -> Any:
    return globals()[name](message, status)


# What a traceback shows is the class that programs catch.
_ShapeChanged.__name__ = _ShapeChanged.__qualname__ = InvalidArgumentError.__name__
_NotFinite.__name__ = _NotFinite.__qualname__ = NotFiniteError.__name__


# Of the messages that refuse an array because of earlier ones: collect's, and merge's with track_amax.
_SHAPE_CHANGED = re.compile(r"^x gives maxima of shape .*, earlier ones have |^maxima of shape .* cannot be merged$")


def axes_of(axis: int | Sequence[int] | None) -> List[int]:
    if axis is None:
        return []
    return [axis] if isinstance(axis, int) else [int(one) for one in axis]


class _Calibrator(Handle):
    """What ModelOpt's calibrators have in common."""

    def __init__(self, num_bits: Any, axis: Any, unsigned: Any, context: Context | None):
        super().__init__(context)
        self._num_bits = num_bits
        self._axis = axis
        self._unsigned = unsigned

    def _collect(self, x: Array, stream: int | None) -> None:
        try:
            super()._collect(x, stream)
        except NotFiniteError as error:
            raise _NotFinite(f"detected nan or inf values: {error}", error.status) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_bits={self._num_bits} axis={self._axis} unsigned={self._unsigned})"


class MaxCalibrator(_Calibrator):
    """Largest magnitude per tensor, per axis or per block, over many arrays. Merging is exact.

    Args:
        num_bits, unsigned: kept for the signature, nothing depends on them.
        axis: the axes that are kept, an int or several, negative ones count from the end; None: one amax for all.
        track_amax: keep each array's own amax in `amaxs`.
        block_size: 16 or 32: one amax per block of the last dimension; 0: off. Excludes axis.
        context: threads and CPU target.
    Source: ModelOpt ``MaxCalibrator``; C: nvfp4cal_max.
    """

    _native_class = _native.Max

    def __init__(
        self, num_bits: Any = 8, axis: int | Sequence[int] | None = None, unsigned: bool = False, track_amax: bool = False, *,
        block_size: int = 0, context: Context | None = None,
    ):  # fmt: skip
        super().__init__(num_bits, axis, unsigned, context)
        self._track_amax = track_amax
        self._block_size = block_size
        self._dtype: Any = None
        if track_amax:
            self._amaxs: List[NumpyArray] = []
        if axis is not None:
            self._handle.set_axes(axes_of(axis))
        if block_size:
            self._handle.set_block_size(block_size)

    @property
    def amaxs(self) -> List[NumpyArray]:
        """The amax of each collected array, with track_amax."""
        return self._amaxs

    def collect(self, x: Array, *, stream: int | None = None) -> None:
        """Takes the maximum of what was seen and |x|.

        Args:
            x: any shape per tensor; per axis and per block the kept extents stay the same.
        Raises: a ValueError that is also a RuntimeError if they change; NotFiniteError (also an AssertionError), the object being unchanged.
        """
        try:
            if self._track_amax:
                local = MaxCalibrator(axis=self._axis, block_size=self._block_size, context=self._context)
                local.collect(x, stream=stream)
                self.merge(local)
                self._kind = local._kind
                self._amaxs.append(np.asarray(local._handle.compute_amax(NUMPY.empty)))
            else:
                self._collect(x, stream)
        except InvalidArgumentError as error:
            if not _SHAPE_CHANGED.search(str(error)):
                raise
            raise _ShapeChanged(f"amax shape changed! {error}", error.status) from None
        self._dtype = _narrow(x) if self._dtype in (None, _narrow(x)) else False

    def compute_amax(self) -> Any:
        """The largest magnitudes, or None before the first collect.

        Returns: shape [] per tensor, x's shape with reduced extents 1 per axis, x.shape[:-1] + [cols / block] per block; of x's kind. torch
            tensors that were all of one of bfloat16 and float16 give that dtype, everything else float32; both are exact.
        """
        amax = self._result(self._handle.compute_amax)
        return amax if amax is None or not self._dtype else amax.to(self._dtype)

    def merge(self, other: Any) -> None:
        super().merge(other)
        self._dtype = other._dtype if self._dtype in (None, other._dtype) else False

    def reset(self) -> None:
        super().reset()
        self._dtype = None

    def __str__(self) -> str:
        return f"MaxCalibrator(track_amax={self._track_amax})"


def _narrow(x: Any) -> Any:
    """The 16-bit dtype of a torch tensor, or False."""
    kind = kind_of(x)
    codes = getattr(kind, "_codes", {})
    return x.dtype if codes.get(getattr(x, "dtype", None)) in (BF16, F16) else False


_TERMS = {_native.ACTMAX_TERM_B_MIN: "B_min", _native.ACTMAX_TERM_B_MAX: "B_max", _native.ACTMAX_TERM_LITERAL_MAX: "literal_max"}


class NVFP4ActMaxCalibrator(_Calibrator):
    """The global amax of an activation from the distribution of its block amaxes: max(rho * B_min, margin * B_max).

    Args:
        num_bits, axis, unsigned: kept for the signature, nothing depends on them.
        block_size: 16 or 32, along the last dimension.
        rho: 0 < rho < 28672.
        b_min_percentile, b_max_percentile: 0 to 100; 100 for the latter is the largest magnitude itself.
        margin: finite, >= 0.
        num_bins, log2_min, log2_max: the histogram over log2 of the amaxes.
        headroom: the newer form [NVFP4ActHeadroomCalibrator]: B_min ignores blocks below B_max / 1e6, and the margin is 1.
        context: threads and CPU target.
    Source: ModelOpt ``NVFP4ActMaxCalibrator``; C: nvfp4cal_actmax. Counts are int64 and exact; merging is exact in any order.
    """

    _native_class = _native.ActMax
    _state_arrays = 2

    def __init__(
        self, num_bits: Any = (2, 1), axis: Any = None, unsigned: bool = False, *, block_size: int = 16, rho: float = 16384.0,
        b_min_percentile: float = 1.0, b_max_percentile: float = 99.99, margin: float = 1.0, num_bins: int = 512, log2_min: float = -40.0,
        log2_max: float = 40.0, headroom: bool = False, context: Context | None = None,
    ):  # fmt: skip
        super().__init__(num_bits, axis, unsigned, context)
        self._block_size, self._rho, self._margin = block_size, float(rho), float(margin)
        self._b_min_percentile, self._b_max_percentile = float(b_min_percentile), float(b_max_percentile)
        self._num_bins, self._log2_min, self._log2_max = int(num_bins), float(log2_min), float(log2_max)
        self._stats: dict[str, Any] | None = None
        if not 0.0 < rho < 28672.0:
            raise InvalidArgumentError(f"rho must be in (0, 28672); got {rho}", InvalidArgumentError.status)
        handle = self._handle
        handle.set_block_size(block_size)
        handle.set_rho(rho)
        handle.set_percentiles(b_min_percentile, b_max_percentile)
        handle.set_margin(margin)
        handle.set_bins(num_bins, log2_min, log2_max)
        handle.set_headroom(1 if headroom else 0)

    def collect(self, x: Array, *, stream: int | None = None) -> None:
        """Counts the blocks of x, any shape each time; a row's last block may be short.

        Raises: UnsupportedError; NotFiniteError (also an AssertionError), the object being unchanged.
        """
        self._collect(x, stream)

    def compute_amax(self) -> Any:
        """float32 scalar of x's kind; None before the first collect and if all that was collected is zero."""
        amax = self._result(self._handle.compute_amax)
        self._stats = None if amax is None else self.compute_stats()
        return amax

    def compute_stats(self) -> dict[str, Any]:
        """What the result is made of: blocks counted, percentiles p1 and p99_99, b_min and b_max as used, literal_max, g_amax and the term
        that set it ("B_min", "B_max", "literal_max").

        Raises: NoDataError.
        """
        with self._guard:
            stats = self._handle.compute_stats()
        stats["g_amax"] = stats.pop("result")
        stats["term"] = _TERMS[stats["term"]]
        return dict(stats)

    def reset(self) -> None:
        super().reset()
        self._stats = None


class NVFP4ActHeadroomCalibrator(NVFP4ActMaxCalibrator):
    """The global amax of an activation with headroom for outliers: max(rho * anchor, upper), the newer form of NVFP4ActMaxCalibrator.

    Args:
        anchor_percentile, upper_percentile: above 0, to 100.
        The others: as for NVFP4ActMaxCalibrator.
    Source: ModelOpt ``NVFP4ActHeadroomCalibrator``.
    """

    def __init__(
        self, num_bits: Any = (2, 1), axis: Any = None, unsigned: bool = False, *, block_size: int = 16, anchor_percentile: float = 1.0,
        upper_percentile: float = 99.99, rho: float = 16384.0, num_bins: int = 512, log2_min: float = -40.0, log2_max: float = 40.0,
        context: Context | None = None,
    ):  # fmt: skip
        for name, value in (("anchor_percentile", anchor_percentile), ("upper_percentile", upper_percentile)):
            if not 0.0 < value <= 100.0:
                raise InvalidArgumentError(f"{name} must be in (0, 100]; got {value}", InvalidArgumentError.status)
        super().__init__(
            num_bits, axis, unsigned, block_size=block_size, rho=rho, b_min_percentile=anchor_percentile, b_max_percentile=upper_percentile,
            num_bins=num_bins, log2_min=log2_min, log2_max=log2_max, headroom=True, context=context,
        )  # fmt: skip
        self._anchor_percentile, self._upper_percentile = self._b_min_percentile, self._b_max_percentile

    def compute_amax(self) -> Any:
        amax = super().compute_amax()
        if self._stats is not None and self._stats["term"] == "B_max":
            span = self._stats["b_max"] / self._stats["b_min"]
            warnings.warn(f"per-block amax range {span:.1f} leaves no headroom at rho={self._rho:g}: the result is the upper end", stacklevel=2)
        return amax

    def __repr__(self) -> str:
        return (
            f"NVFP4ActHeadroomCalibrator(anchor_percentile={self._anchor_percentile}, upper_percentile={self._upper_percentile}, "
            f"rho={self._rho}, block_size={self._block_size})"
        )


_LAYOUTS = {"blocks": _native.HESSIAN_BLOCKS, "full": _native.HESSIAN_FULL, "diagonal": _native.HESSIAN_DIAGONAL}


class HessianAccumulator(Handle):
    """X^T X of activations over many arrays, in float64: what weighs the errors of a layer's weights.

    Args:
        layout: "blocks" [cols / block_size, block_size, block_size], what the Hessian search takes; "full" [cols, cols]; "diagonal" [cols].
        block_size: 16 or 32, for "blocks".
        normalize: divide the result by the number of rows [ModelOpt]; default: the sum [qwantize].
        damping: this times the mean of the diagonal is added to the diagonal of the result [GPTQ percdamp].
        context: threads and CPU target.
    Source: ModelOpt's local Hessian, qwantize ``accumulate_hessian``; C: nvfp4cal_hessian.
    """

    _native_class = _native.Hessian
    _state_arrays = 2

    def __init__(
        self, layout: str = "blocks", block_size: int = 16, *, normalize: bool = False, damping: float = 0.0, context: Context | None = None
    ):
        super().__init__(context)
        self._handle.set_layout(choose("layout", layout, _LAYOUTS))
        self._handle.set_block_size(block_size)
        self._handle.set_normalize(1 if normalize else 0)
        self._handle.set_damping(damping)

    def collect(self, x: Array, *, stream: int | None = None) -> None:
        """Adds x^T x; x is [..., cols], every leading index a row (a token).

        Raises: InvalidArgumentError (other cols than before), UnsupportedError, NotFiniteError; the object is then unchanged.
        """
        self._collect(x, stream)

    @property
    def rows(self) -> int:
        """The number of rows collected."""
        with self._guard:
            return int(self._handle.rows())

    def compute_hessian(self) -> Any:
        """float32 of x's kind, rounded once from float64; None before the first collect. Raises: NotFiniteError for a sum beyond float32."""
        return self._result(self._handle.compute_hessian)
