"""Memory of the emulated device of tests/device, and a little array library over it, as CuPy is one over CUDA's."""
import ctypes
import os
import pathlib
import types

import numpy as np

from devices import CUDA, OnDevice

_library = ctypes.CDLL(str(pathlib.Path(os.environ["NVFP4CAL_CUDA_PATH"]) / "libnvfp4cal_cuda.so"))
_library.fake_cuda_allocate.restype = ctypes.c_void_p
_library.fake_cuda_allocate.argtypes = [ctypes.c_int64, ctypes.c_int32]
_library.fake_cuda_release.argtypes = [ctypes.c_void_p]
for _name in ("fake_cuda_write", "fake_cuda_read"):
    getattr(_library, _name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
_library.fake_cuda_stream_create.restype = ctypes.c_void_p
_library.fake_cuda_stream_create.argtypes = [ctypes.c_int32]


def make_stream(device=0):
    return _library.fake_cuda_stream_create(device)


def pending():
    """Pieces of work that wait in streams."""
    return _library.fake_cuda_pending()


class Memory:
    """Bytes on a device, which the host cannot read where they are."""

    def __init__(self, size, device=0):
        self.size, self.device = size, device
        self.address = _library.fake_cuda_allocate(max(1, size), device)

    def write(self, array):
        array = np.ascontiguousarray(array)
        assert array.nbytes == self.size
        _library.fake_cuda_write(self.address, array.ctypes.data, self.size)

    def read(self):
        found = np.empty(self.size, np.uint8)
        _library.fake_cuda_read(found.ctypes.data, self.address, self.size)
        return found

    def __del__(self):
        _library.fake_cuda_release(self.address)


class Array:
    """A contiguous array on a device."""

    def __init__(self, memory, shape, dtype):
        self.memory, self.shape, self.dtype = memory, tuple(shape), np.dtype(dtype)
        self.ndim, self.device = len(self.shape), Device(memory.device)

    def __dlpack_device__(self):
        return CUDA, self.memory.device

    def __dlpack__(self, **_):
        self.view = OnDevice(self.shape, dtype=self.dtype.name, data=self.memory.address, device_id=self.memory.device)
        return self.view.__dlpack__()

    def reshape(self, *shape):
        return Array(self.memory, np.empty(self.shape, np.uint8).reshape(*shape).shape, self.dtype)

    def get(self):
        return self.memory.read().view(self.dtype).reshape(self.shape)


class Device:
    """CuPy's kind of device: the arrays that functions make inside of it lie there."""

    current = 0

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        self.before, Device.current = Device.current, self.number

    def __exit__(self, *_):
        Device.current = self.before


def empty(shape, dtype):
    dtype = np.dtype(dtype)
    return Array(Memory(int(np.prod(shape)) * dtype.itemsize, Device.current), shape, dtype)


def asarray(array):
    made = empty(array.shape, array.dtype)
    made.memory.write(array)
    return made


def from_dlpack(array):
    raise AssertionError("nothing comes from the host by itself")


def on_device(array, number=0):
    with Device(number):
        return asarray(array)


class Standard(Array):
    """The same with the array API's way of making arrays: functions know the device, and an array its library."""

    def __init__(self, memory, shape, dtype):
        super().__init__(memory, shape, dtype)
        self.device = f"emulated:{memory.device}"

    def __array_namespace__(self):
        def made(make, argument, device, **named):
            with Device(int(device.partition(":")[2])):
                found = make(argument, **named)
            return Standard(found.memory, found.shape, found.dtype)

        return types.SimpleNamespace(
            float32=np.float32, float64=np.float64, uint8=np.uint8, from_dlpack=from_dlpack,
            empty=lambda shape, dtype, device: made(empty, shape, device, dtype=dtype),
            asarray=lambda array, device: made(asarray, array, device),
        )  # fmt: skip

    def reshape(self, *shape):
        found = super().reshape(*shape)
        return Standard(found.memory, found.shape, found.dtype)


# What the module of a class offers, as CuPy's does.
float32, float64, uint8 = np.float32, np.float64, np.uint8
