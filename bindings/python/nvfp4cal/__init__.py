"""Exact NVFP4 calibration and quantization on the CPU, for numpy and torch.

Arrays go in as they are, without a copy: numpy, torch, anything with ``__dlpack__``; results are of the same kind. torch is used only where
the program has imported it. Calls release the interpreter's lock while they compute.
"""

from __future__ import annotations

import atexit
import os

from . import _native
from ._arrays import unusual
from ._errors import (
    BackendVersionError,
    CallbackError,
    CancelledError,
    CorruptError,
    CudaError,
    CudaUnavailableError,
    Error,
    FileError,
    InternalError,
    InvalidArgumentError,
    NoDataError,
    NotFiniteError,
    OutOfMemoryError,
    UnsupportedError,
    WrongStateError,
    error_of,
)
from .block import *
from .block import __all__ as _block
from .calib import *
from .calib import __all__ as _calib
from .calibrate import *
from .calibrate import __all__ as _calibrate
from .checkpoint import *
from .checkpoint import __all__ as _checkpoint
from .checkpoint import cancel_all as _cancel_all
from .context import *
from .context import __all__ as _context
from .gptq import *
from .gptq import __all__ as _gptq
from .mse import *
from .mse import __all__ as _mse
from .observers import *
from .observers import __all__ as _observers
from .quantization import *
from .quantization import __all__ as _quantization
from .sweep import *
from .sweep import __all__ as _sweep

_native.set_hooks(error_of, unusual)

__version__ = library_version()

__all__ = [
    "BackendVersionError", "CallbackError", "CancelledError", "CorruptError", "CudaError", "CudaUnavailableError", "Error", "FileError",
    "InternalError", "InvalidArgumentError", "NoDataError", "NotFiniteError", "OutOfMemoryError", "UnsupportedError", "WrongStateError",
]  # fmt: skip
__all__ += _block + _calib + _calibrate + _checkpoint + _context + _gptq + _mse + _observers + _quantization + _sweep


def _close() -> None:
    # Threads that end with the interpreter must not be inside the library, or in its callbacks, when it does.
    _cancel_all()
    _native.close(5.0)


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_native.after_fork)
