"""Exceptions: one a status of the C ABI, each also of the Python class that fits."""

from __future__ import annotations

import re
from typing import Any


class Error(Exception):
    """Base of all failures of the library. ``status`` is the C ABI's negative number (``NVFP4CAL_ERROR_*``)."""

    status = 0

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        if status is not None:
            self.status = status

    def __reduce__(self) -> Any:
        return type(self), (str(self), self.status)


class InternalError(Error, RuntimeError):
    """A defect of the library."""

    status = -1


class InvalidArgumentError(Error, ValueError):
    """A value or shape that makes no sense."""

    status = -2


class UnsupportedError(Error, TypeError):
    """A dtype, layout or operation that the function does not take."""

    status = -3


class WrongStateError(Error, RuntimeError):
    """Not now: an option after data, a result before data, a second one-shot collect."""

    status = -4


class NoDataError(Error, RuntimeError):
    """Nothing has been collected."""

    status = -5


class OutOfMemoryError(Error, MemoryError):
    status = -6


class NotFiniteError(Error, ValueError):
    """NaN or infinity in the data; the message names the first one's flat index."""

    status = -7


class FileError(Error, OSError):
    """The operating system refused a file operation."""

    status = -8


class CorruptError(Error, ValueError):
    """A file or state that is damaged or not of the expected kind."""

    status = -9


class CudaUnavailableError(Error, RuntimeError):
    """A tensor on a device, without the CUDA module or a device."""

    status = -10


class CudaError(Error, RuntimeError):
    status = -11


class BackendVersionError(Error, RuntimeError):
    """A module of another release."""

    status = -12


class CancelledError(Error, RuntimeError):
    status = -13


class CallbackError(Error, RuntimeError):
    """A callback reported failure without an exception of its own (an exception of a callback is raised as itself)."""

    status = -14


_CLASSES = {
    cls.status: cls
    for cls in (
        InternalError,
        InvalidArgumentError,
        UnsupportedError,
        WrongStateError,
        NoDataError,
        OutOfMemoryError,
        NotFiniteError,
        FileError,
        CorruptError,
        CudaUnavailableError,
        CudaError,
        BackendVersionError,
        CancelledError,
        CallbackError,
    )
}


# DLPack's type codes as numpy and torch spell them.
_CODES = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
_KNOWN = "float32, float64, float16, bfloat16, float8_e4m3fn, int8, uint8, int64"


def _unknown_dtype(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    code, bits, lanes = number & 0xFF, number >> 8 & 0xFF, number >> 16
    if code not in _CODES or lanes != 1:
        return match[0]
    return f"dtype {_CODES[code]}{bits if code != 6 else ''}, which is none of {_KNOWN}"


def error_of(status: int, message: str) -> Error:
    """The exception of a status, in Python's words; a status that this release does not know is a plain Error."""
    message = re.sub(r"dtype 0x([0-9a-f]+), which is not known", _unknown_dtype, message)
    message = re.sub(r"^(\w+ is|\w+ and \w+ are both) NULL$", r"\1 None", message)
    return _CLASSES.get(status, Error)(message, status)


def rename(error: Error, names: dict[str, str]) -> None:
    """Replaces names of the C function's parameters in the message by those of the Python function."""
    error.args = (re.sub(rf"\b({'|'.join(names)})\b", lambda match: names[match[0]], str(error)),)
