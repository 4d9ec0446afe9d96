"""Observers of ranges [llm-compressor], with the arguments of compressed-tensors."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Iterable, Sequence, Tuple

from . import _native
from ._arrays import Array, as_numpy
from ._errors import NoDataError
from ._handle import Handle
from ._options import choose, shown
from .context import Context

__all__ = [
    "MemorylessMSEObserver", "MovingAverageMSEObserver", "NVFP4ExpandedMSEObserver", "MemorylessMinMaxObserver", "MinMaxObserver",
    "StaticMinMaxObserver", "QuantizationArgs", "fuse_observers",
]  # fmt: skip

_FORMATS = {
    ("int", 8): _native.OBSERVER_FORMAT_INT8,
    ("int", 4): _native.OBSERVER_FORMAT_INT4,
    ("float", 8): _native.OBSERVER_FORMAT_FP8,
    ("float", 4): _native.OBSERVER_FORMAT_FP4,
}
_STRATEGIES = {
    "tensor": _native.OBSERVER_STRATEGY_TENSOR,
    "channel": _native.OBSERVER_STRATEGY_CHANNEL,
    "group": _native.OBSERVER_STRATEGY_GROUP,
    "block": _native.OBSERVER_STRATEGY_BLOCK,
    "tensor_group": _native.OBSERVER_STRATEGY_TENSOR_GROUP,
    "token": _native.OBSERVER_STRATEGY_TOKEN,
}
# What a module is observed for [llm-compressor]; q, k and v are attention's.
_BASE_NAMES = ("weight", "input", "output", "q", "k", "v")
_ARGUMENTS = ("num_bits", "type", "symmetric", "strategy", "group_size", "block_structure")


class QuantizationArgs:
    """The fields of compressed-tensors' QuantizationArgs that an observer reads.

    Args:
        num_bits, type: 8 or 4, "int" or "float".
        symmetric: zero point 0.
        strategy: "tensor", "channel", "group", "block", "tensor_group" (NVFP4) or "token"; None: by group_size (-1: channel).
        group_size: columns of a group.
        block_structure: (rows, columns) of a block.
    """

    def __init__(
        self, num_bits: int = 8, type: str = "int", symmetric: bool = True, strategy: str | None = None, group_size: int | None = None,
        block_structure: Sequence[int] | None = None,
    ):  # fmt: skip
        if strategy is None:
            strategy = "tensor" if group_size is None else "channel" if group_size == -1 else "group"
        self.num_bits, self.type, self.symmetric = num_bits, type, symmetric
        self.strategy, self.group_size, self.block_structure = strategy, group_size, block_structure
        self.observer_kwargs: dict[str, Any] = {}


def _text(value: Any) -> Any:
    """The text of a string or of an enum of strings."""
    return getattr(value, "value", value)


class _Observer(Handle):
    _native_class = _native.Observer
    _observer_kind = 0
    _state_arrays = 2

    def __init__(self, base_name: str, args: Any = None, module: Any = None, *, context: Context | None = None, **options: Any):
        super().__init__(context)
        if not isinstance(base_name, str) or base_name not in _BASE_NAMES:
            raise ValueError(f"base_name {shown(base_name)} is not one of {', '.join(_BASE_NAMES)}")
        self.base_name = base_name
        fields = {name: options.pop(name) for name in _ARGUMENTS if name in options}
        if args is not None and fields:
            raise TypeError(f"{', '.join(fields)} given beside args")
        self.args = QuantizationArgs(**fields) if args is None else args
        missing = [name for name in _ARGUMENTS if not hasattr(self.args, name)]
        if missing:
            raise TypeError(f"args is no QuantizationArgs but {type(args).__name__}, without {', '.join(missing)}")
        # compressed-tensors' args carry options of the observer; those given here win.
        options = {**(getattr(self.args, "observer_kwargs", None) or {}), **options}
        if module is not None:
            options.setdefault("global_scale", getattr(module, f"{base_name}_global_scale", None))
            options.setdefault("g_idx", getattr(module, f"{base_name}_g_idx", None))
        self._set_arguments()
        self._set_options(options)

    def _set_arguments(self) -> None:
        args, handle = self.args, self._handle
        handle.set_kind(self._observer_kind)
        handle.set_observed(_native.OBSERVED_WEIGHT if self.is_weight_obs else _native.OBSERVED_ACTIVATION)
        handle.set_format(choose("(type, num_bits)", (_text(args.type), args.num_bits), _FORMATS))  # type: ignore[arg-type]
        handle.set_symmetric(1 if args.symmetric else 0)
        handle.set_strategy(choose("strategy", _text(args.strategy), _STRATEGIES))
        if args.group_size is not None and args.group_size > 0:
            handle.set_group_size(args.group_size)
        if args.block_structure is not None:
            height, width = args.block_structure
            handle.set_block_structure(height, width)

    def _set_options(self, options: dict[str, Any]) -> None:
        handle = self._handle
        if (g_idx := options.pop("g_idx", None)) is not None:
            handle.set_g_idx(g_idx.tolist() if hasattr(g_idx, "tolist") else list(g_idx))
        if (global_scale := options.pop("global_scale", None)) is not None:
            handle.set_global_scale(as_numpy(global_scale).item())
        if options.pop("optimize_global_scale", False):
            handle.set_optimize_global_scale(1)
        if options:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(map(repr, options))}")

    @property
    def is_weight_obs(self) -> bool:
        return self.base_name == "weight"

    def __call__(self, observed: Array, *, stream: int | None = None) -> Any:
        """Observes an array: a weight [rows, cols] (base_name "weight") or an activation [.., tokens, hidden].

        A weight that has been observed is not observed again until get_qparams() or reset(); an array without elements is left out.
        Returns: the observer. Raises: InvalidArgumentError, UnsupportedError, NotFiniteError (nothing was observed then).
        """
        if 0 in tuple(getattr(observed, "shape", ())) or (self.is_weight_obs and self.has_statistics):
            return self
        self._collect(observed, stream)
        return self

    @property
    def has_statistics(self) -> bool:
        return self._result(lambda empty: self._handle.compute_range(empty, empty)) is not None

    def get_min_max(self) -> Tuple[Any, Any]:
        """The ranges found: (min, max), float32, one a group ([1], [rows, 1], [rows, groups], ...).

        Raises: NoDataError before the first call with an array.
        """
        lo, hi = self._known(lambda empty: self._handle.compute_range(empty, empty))
        return lo, hi

    @property
    def min_vals(self) -> Any:
        return self.get_min_max()[0]

    @property
    def max_vals(self) -> Any:
        return self.get_min_max()[1]

    def get_global_scale(self) -> Any:
        """float32 [1], 2688 / amax, of the widest of fused observers; None unless the strategy is "tensor_group". Raises: NoDataError."""
        if _text(self.args.strategy) != "tensor_group":
            return None
        return self._known(self._handle.compute_global_scale)

    def get_global_min_max(self) -> Tuple[Any, Any]:
        """The range that this array's own global scale comes from, float32 [1] each. Raises: UnsupportedError unless "tensor_group"."""
        lo, hi = self._known(lambda empty: self._handle.compute_global_range(empty, empty))
        return lo, hi

    def get_qparams(self) -> dict[str, Any]:
        """What to quantize with, and forgets what was observed.

        Returns: ``{"scale": float32, "zero_point": int8, "global_scale": float32 [1] or None}``; scales of "tensor_group" are E4M3 values.
        Raises: NoDataError before the first call with an array.
        """
        scale, zero_point = self._known(lambda empty: self._handle.compute_scale(empty, empty))
        global_scale = self.get_global_scale()
        self.reset()
        return {"scale": scale, "zero_point": zero_point, "global_scale": global_scale}

    def _known(self, compute: Any) -> Any:
        found = self._result(compute)
        if found is None:
            raise NoDataError("No statistics available. Call observer(value) first.", NoDataError.status)
        return found


class _MSEObserver(_Observer):
    _defaults = {"maxshrink": 0.2, "patience": 5, "grid": 100.0, "norm": 2.4, "expand": 1.0}

    def _set_options(self, options: dict[str, Any]) -> None:
        handle = self._handle
        setters = {
            "maxshrink": handle.set_maxshrink,
            "patience": handle.set_patience,
            "grid": handle.set_grid,
            "norm": handle.set_norm,
            "expand": handle.set_expand,
        }
        for name, default in self._defaults.items():
            value = options.pop(name, default)
            if name == "expand" and value < 1.0:
                raise ValueError(f"expand value must be at least 1.0, got {value}")
            setattr(self, name, value)
            setters[name](value)
        fp4 = (_text(self.args.type), self.args.num_bits) == ("float", 4)
        # Of llm-compressor's CUDA search, which ends groups one by one; this one has no use for it.
        self.triton_error_buffer = options.pop("triton_error_buffer", 1.0 if fp4 else 0.3)
        super()._set_options(options)


class MemorylessMSEObserver(_MSEObserver):
    """For every group the shrunken range with the least sum |fake(x) - x|^norm; the last array counts.

    Args:
        base_name: "weight", or "input", "output", ... for an activation.
        args: compressed-tensors' QuantizationArgs, or its fields as keywords: num_bits, type, symmetric, strategy, group_size, block_structure.
        module: its ``<base_name>_global_scale`` and ``<base_name>_g_idx`` are used where it has them.
        maxshrink, patience, grid, norm, expand: (int)(maxshrink * grid) ranges, factors expand * (1 - i / grid), until `patience` in a row
            improve nothing.
        global_scale: 2688 / amax, with E4M3 scales inside the search ("tensor_group"). optimize_global_scale: search for it first.
        g_idx: the group of each column of a weight.
        context: threads and CPU target.
    Source: llm-compressor ``MemorylessMSEObserver``; C: nvfp4cal_observer. Errors are float64 sums.
    """

    _observer_kind = _native.OBSERVER_MEMORYLESS_MSE


class NVFP4ExpandedMSEObserver(MemorylessMSEObserver):
    """MemorylessMSEObserver with a search from 1.8 to 0.8 times the range. Source: llm-compressor ``nvfp4_expanded_mse``."""

    _defaults = {"maxshrink": 1 - 0.8 / 1.8, "patience": 1000, "grid": 200.0, "norm": 2.4, "expand": 1.8}


class _Averaging(_Observer):
    def _set_options(self, options: dict[str, Any]) -> None:
        self.avg_constant = options.pop("averaging_constant", 0.01)
        self._handle.set_averaging_constant(self.avg_constant)
        super()._set_options(options)


class MovingAverageMSEObserver(_Averaging, _MSEObserver):
    """MemorylessMSEObserver with a moving average over arrays, old * (1 - c) + new * c.

    Args:
        averaging_constant: c, default 0.01.
        The others: as for MemorylessMSEObserver.
    Source: llm-compressor ``MovingAverageMSEObserver`` ("mse"); C: nvfp4cal_observer.
    """

    _observer_kind = _native.OBSERVER_MSE


class MemorylessMinMaxObserver(_Observer):
    """Smallest and largest element of each group of the last array. Source: llm-compressor ``MemorylessMinMaxObserver``."""

    _observer_kind = _native.OBSERVER_MEMORYLESS_MINMAX


class MinMaxObserver(_Averaging):
    """Moving average of the smallest and largest elements. Source: llm-compressor ``MinMaxObserver``."""

    _observer_kind = _native.OBSERVER_MINMAX


class StaticMinMaxObserver(_Observer):
    """Smallest and largest element over all arrays; merge() is exact. Source: llm-compressor ``StaticMinMaxObserver``."""

    _observer_kind = _native.OBSERVER_STATIC_MINMAX


def fuse_observers(observers: Iterable[_Observer]) -> None:
    """Gives observers of layers that are multiplied as one (query, key and value; gate and up) the global scale of the widest of them, until
    the next array, merge or reset.

    Args:
        observers: all "tensor_group" and with an observed array.
    Raises: InvalidArgumentError, UnsupportedError, WrongStateError (a given global scale), NoDataError.
    """
    group = list(observers)
    for one in group:
        if not isinstance(one, _Observer):
            raise TypeError(f"fuse_observers() of {type(one).__name__}, which is no observer")
    with ExitStack() as held:
        for one in sorted(set(group), key=id):
            held.enter_context(one._guard)
        _native.Observer.fuse([one._handle for one in group])
