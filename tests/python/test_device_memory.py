"""The caller's device allocator and device status, on the emulated device of the C++ tests (tests/device), in a process of its own."""
import os
import pathlib
import subprocess
import sys

import pytest

import nvfp4cal as n
from paths import ROOT

EMULATED = ROOT / "build/release/tests/device/emulated"
PROGRAM = """
import ctypes, gc, pathlib, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
import nvfp4cal as n
from devices import DLTensor, OnDevice

module = ctypes.CDLL(sys.argv[1] + "/libnvfp4cal_cuda.so")
class Queue(ctypes.Structure):
    _fields_ = [("device", ctypes.c_int32), ("stream", ctypes.c_void_p)]
module.nvfp4cal_device_ops.restype = ctypes.POINTER(ctypes.c_void_p)
table = module.nvfp4cal_device_ops()
kind = ctypes.CFUNCTYPE
allocate_there = kind(ctypes.c_int32, ctypes.POINTER(Queue), ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p)(table[2])
release_there = kind(ctypes.c_int32, ctypes.POINTER(Queue), ctypes.c_void_p, ctypes.c_char_p)(table[3])
copy = kind(ctypes.c_int32, ctypes.POINTER(Queue), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p)
to_device, to_host = copy(table[5]), copy(table[6])
text = ctypes.create_string_buffer(512)

live, wrong, calls = {}, [], []
def allocate(size, device, stream):
    address = ctypes.c_void_p()
    assert allocate_there(ctypes.byref(Queue(device, stream or None)), size, ctypes.byref(address), text) == 0, text.value
    live[address.value] = size, device, stream
    calls.append(size)
    return address.value
def free(address, *asked):
    if live.pop(address, None) != asked:
        wrong.append((address, asked))
    release_there(ctypes.byref(Queue(asked[1], asked[2] or None)), address, text)

def there(array):
    address = ctypes.c_void_p()
    assert allocate_there(ctypes.byref(Queue(0, None)), array.nbytes, ctypes.byref(address), text) == 0
    to_device(ctypes.byref(Queue(0, None)), address, array.ctypes.data, array.nbytes, text)
    return OnDevice(array.shape, dtype=array.dtype.name, data=address.value)
def back(tensor, like):
    to_host(ctypes.byref(Queue(0, None)), like.ctypes.data, tensor._tensor.data, like.nbytes, text)
    return like

x = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
y, out = there(x), there(np.zeros_like(x))
context = n.Context(device_allocator=(allocate, free))
n.fake_quantize(y, out=out, context=context)
assert calls and not live and not wrong, (calls, live, wrong)
assert np.array_equal(back(out, np.empty_like(x)), n.fake_quantize(x))

calibrator = n.MaxCalibrator(context=context)
calibrator.collect(y)
assert live
calibrator.set_context(None)
del context
gc.collect()
assert calibrator.compute_amax() == np.abs(x).max()
assert not live and not wrong, (live, wrong)
calibrator.set_context(n.Context(device_allocator=(allocate, free)))
calibrator.reset()
calibrator.collect(y)
assert live
del calibrator
gc.collect()
assert not live and not wrong, (live, wrong)

def broken(*_):
    raise MemoryError("nothing left")
try:
    n.fake_quantize(y, out=out, context=n.Context(device_allocator=(broken, free)))
    raise AssertionError("no error")
except MemoryError as error:
    assert str(error) == "nothing left"

context = n.Context()
status = there(np.zeros(4, np.int64))
context.set_device_status(status)
n.fake_quantize(y, out=out, context=context)
context.check_device_status()
bad = x.copy()
bad[1, 3] = np.nan
n.fake_quantize(there(bad), out=out, context=context)
try:
    context.check_device_status()
    raise AssertionError("no error")
except n.NotFiniteError as error:
    assert str(error) == "x[67] is NaN"
context.check_device_status()
print("done")
"""


@pytest.mark.skipif(not (EMULATED / "libnvfp4cal_cuda.so").is_file(), reason="the emulated device was not built")
def test_allocator_and_status_on_the_emulated_device():
    environment = {**os.environ, "NVFP4CAL_CUDA_PATH": str(EMULATED)}
    command = [sys.executable, "-c", PROGRAM, str(EMULATED), str(pathlib.Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stdout + done.stderr


def test_what_is_no_allocator_or_status(weights):
    with pytest.raises(TypeError, match="a device allocator is a pair of functions"):
        n.Context(device_allocator=(lambda *_: 0, 3))
    context = n.Context(device_allocator=(lambda *_: 0, lambda *_: None))
    assert n.fake_quantize(weights, context=context).shape == weights.shape  # host tensors need no device memory
    context.set_device_allocator(None)
    with pytest.raises(n.UnsupportedError, match="status lies in host memory, expected on a CUDA device"):
        context.set_device_status(weights)
    with pytest.raises(n.WrongStateError, match="the context has no device status"):
        context.check_device_status()
