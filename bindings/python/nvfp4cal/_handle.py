"""What all objects with a native handle share: one thread at a time, merging, saved states, pickling."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, List, Tuple

import numpy as np

from . import _native
from ._arrays import NUMPY, Array, Kind, NumpyArray, kind_named, kind_of
from ._errors import NoDataError, UnsupportedError, WrongStateError
from .context import Context, native

_REDUCTIONS = {_native.REDUCE_SUM: "sum", _native.REDUCE_MAX: "max", _native.REDUCE_MIN: "min"}


class _Guard:
    """Lets one thread at a time use a handle; others wait. Its own callback may not use it."""

    __slots__ = ("_lock", "_thread", "_process")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = self._process = 0

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            if self._thread == threading.get_ident() and self._process == os.getpid():
                raise WrongStateError("the object is in use by the call that runs this callback")
            if self._process != os.getpid():
                raise WrongStateError("the object was in use by another thread when the process was forked")
            self._lock.acquire()
        self._thread = threading.get_ident()
        self._process = os.getpid()

    def __exit__(self, *_: object) -> None:
        self._thread = 0
        self._lock.release()


class Handle:
    """Base of calibrators and observers. An object is used by one thread at a time (a second one waits); different objects are independent.

    Objects can be pickled and copied: options, data and Python callables go along, a context does not.
    """

    _native_class: Any = None
    _state_arrays = 1

    def __init__(self, context: Context | None = None):
        self._handle = self._native_class()
        self._guard = _Guard()
        self._kind: Kind = NUMPY
        self._context: Context | None = None
        if context is not None:
            self.set_context(context)

    def set_context(self, context: Context | None) -> None:
        """Uses the context's threads and CPU target from now on; None: the process-wide default."""
        used = native(context)
        with self._guard:
            self._handle.set_context(used)
            self._context = context

    def _collect(self, x: Array, stream: int | None) -> None:
        kind = kind_of(x)
        with self._guard:
            self._handle.collect(x, kind.stream(stream))
            self._kind = kind

    def _result(self, compute: Callable[..., Any]) -> Any:
        """What a compute function gives, in the kind of the last collected array; None before the first."""
        kind = self._kind
        host = kind.on_host()
        with self._guard:
            try:
                return kind.moved(host.finish(compute(host.empty)))
            except NoDataError:
                return None

    def merge(self, other: Any) -> None:
        """Takes over what `other` collected: as if this object had seen both streams. `other` is unchanged and needs equal options.

        Raises: TypeError for another class; UnsupportedError where nothing can be added up.
        """
        if not isinstance(other, Handle) or other._native_class is not self._native_class:
            raise TypeError(f"merge() of {type(self).__name__} and {type(other).__name__}")
        if other is self:
            other = self.copy()
        # In one order, so that a.merge(b) and b.merge(a) in two threads cannot wait for each other.
        first, second = sorted((self, other), key=id)
        with first._guard, second._guard:
            self._handle.merge(other._handle)
            if self._kind is NUMPY:
                self._kind = other._kind

    def copy(self) -> Any:
        """An independent object with the same options and data."""
        return _rebuild(type(self), self.__getstate__())

    def export_state(self) -> bytes:
        """Options and data as bytes with a version and a checksum, for import_state of this or a later release."""
        with self._guard:
            return bytes(self._handle.export_state(NUMPY.empty))

    def import_state(self, state: bytes) -> None:
        """Replaces options and data by those of export_state().

        Raises: CorruptError for bytes that are damaged or of another type; the object is then unchanged.
        """
        with self._guard:
            self._handle.import_state(np.frombuffer(state, np.uint8))

    def state_arrays(self) -> List[Tuple[NumpyArray, str]]:
        """Copies of the arrays that hold the data, each with its reduction over processes: "sum", "max" or "min".

        Raises: NoDataError before the first collect; UnsupportedError where the data does not reduce.
        """
        found: List[Tuple[NumpyArray, str]] = []
        self.reduce_state(lambda array, reduction: found.append((np.array(array), reduction)))
        return found

    def reduce_state(self, reduce: Callable[[NumpyArray, str], None]) -> None:
        """All-reduces the data between processes: ``reduce(array, "sum" | "max" | "min")`` changes each array in place.

        For torch.distributed: ``lambda a, op: dist.all_reduce(torch.from_numpy(a), OPS[op])``. The array is a copy, written back afterwards.
        """
        if self._state_arrays == 0:
            raise UnsupportedError(f"{type(self).__name__} has no state that processes could reduce", UnsupportedError.status)
        changed = []
        with self._guard:
            for index in range(self._state_arrays):
                memory, reduction = self._handle.state_tensor(index)
                array = np.array(memory)
                del memory
                reduce(array, _REDUCTIONS[reduction])
                changed.append(array)
            # Only now: a reduction that fails leaves the data as it was.
            for index, array in enumerate(changed):
                memory, _ = self._handle.state_tensor(index)
                np.asarray(memory)[...] = array

    def reset(self) -> None:
        """Drops what was collected and keeps the options."""
        with self._guard:
            self._handle.reset()

    def _attach(self) -> None:
        """Gives the handle what no exported state holds: callbacks."""

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key not in ("_handle", "_guard", "_kind", "_context")}
        state["_kind"] = self._kind.name
        state["_state"] = self.export_state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        exported = state.pop("_state")
        kind = kind_named(state.pop("_kind"))
        self._handle = self._native_class()
        self._guard = _Guard()
        self._context = None
        self.__dict__.update(state)
        self._attach()
        self._handle.import_state(np.frombuffer(exported, np.uint8))
        self._kind = kind

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.copy()

    __copy__ = copy


def _rebuild(cls: Any, state: dict[str, Any]) -> Any:
    made = cls.__new__(cls)
    made.__setstate__(state)
    return made
