"""DLPack tensors of devices that are not here, made by hand. Their addresses are of no memory: whoever reads them crashes."""
import ctypes
import pathlib

import pytest

import nvfp4cal


@pytest.fixture(autouse=True)
def without_cuda_module(monkeypatch):
    """For tests that import it: a module that is here would look at those addresses."""
    monkeypatch.delenv("NVFP4CAL_CUDA_PATH", raising=False)
    if list(pathlib.Path(nvfp4cal.__file__).parent.glob("libnvfp4cal_cuda.so*")):
        pytest.skip("the package carries a CUDA module")


CUDA, PINNED, MANAGED, ROCM, ONEAPI = 2, 3, 13, 10, 14
NOWHERE = 4096

_CODES = {"float32": (2, 32), "float64": (2, 64), "float16": (2, 16), "bfloat16": (4, 16), "uint8": (1, 8), "int64": (0, 64)}


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64), ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    ]  # fmt: skip


class OnDevice:
    """A contiguous array at an address of a device."""

    def __init__(self, shape, device=CUDA, dtype="float32", data=NOWHERE, device_id=0):
        self.shape, self.ndim, self.device = tuple(shape), len(shape), device
        self._extents = (ctypes.c_int64 * max(1, len(shape)))(*shape)
        code, bits = _CODES[dtype]
        self._tensor = DLTensor(data, device, device_id, len(shape), code, bits, 1, self._extents, None, 0, None, None)

    def __dlpack_device__(self):
        return self.device, 0

    def __dlpack__(self, **_):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self._tensor), b"dltensor", None)
