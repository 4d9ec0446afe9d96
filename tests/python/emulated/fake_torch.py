"""CUDA tensors of torch over the emulated device: the memory is there, torch's own operations run on copies on the host."""
import ctypes

import fake_library
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from devices import OnDevice

# Views of the same contiguous memory.
_VIEWS = {"aten::view", "aten::view.dtype", "aten::_unsafe_view", "aten::detach", "aten::alias", "aten::unsqueeze", "aten::squeeze", "aten::squeeze.dim"}


class OnCuda(torch.Tensor):
    """A contiguous tensor in the device's memory."""

    @staticmethod
    def __new__(cls, memory, shape, dtype):
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=f"cuda:{memory.device}")
        made.memory = memory
        return made

    def __dlpack__(self, **_):
        if self.dtype == torch.float8_e4m3fn:
            raise BufferError("float8 types are not supported by dlpack")
        self.exported = OnDevice(self.shape, dtype=str(self.dtype)[6:], data=self.memory.address, device_id=self.memory.device)
        return self.exported.__dlpack__()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def to_device(tensor, number=0):
    """A copy of a tensor on the device."""
    host = tensor.detach().contiguous()
    memory = fake_library.Memory(host.numel() * host.element_size(), number)
    made = OnCuda(memory, host.shape, host.dtype)
    _write(made, host)
    return made


def to_host(tensor):
    found = torch.from_numpy(tensor.memory.read())
    return found[: tensor.numel() * tensor.element_size()].view(tensor.dtype).reshape(tuple(tensor.shape))


def _write(tensor, host):
    host = host.contiguous()
    tensor.memory.write(np.ctypeslib.as_array(ctypes.cast(host.data_ptr(), ctypes.POINTER(ctypes.c_uint8)), (tensor.memory.size,)) if host.numel() else np.empty(0, np.uint8))


def _device_of(value):
    """The emulated device that a value names, or None."""
    if isinstance(value, (str, torch.device)) and not (isinstance(value, str) and not value.startswith("cuda")):
        device = torch.device(value)
        return (device.index or 0) if device.type == "cuda" else None
    return None


def _run(function, args, kwargs):
    tensors, lowered = [], {}

    def lower(value):
        if isinstance(value, OnCuda):
            tensors.append(value)
            return lowered.setdefault(id(value), to_host(value))
        return torch.device("cpu") if isinstance(value, torch.device) else value

    wanted = kwargs.get("device")
    found = function(*tree_map(lower, args), **tree_map(lower, kwargs))
    for argument, value in zip(function._schema.arguments, args):
        if isinstance(value, OnCuda) and argument.alias_info is not None and argument.alias_info.is_write:
            _write(value, lowered[id(value)])
            return value
    if function._schema.name in ("aten::copy_",) or (wanted is not None and wanted.type == "cpu"):
        return found
    number = tensors[0].memory.device if wanted is None else _device_of(wanted)
    name = function._schema.name + (f".{function._schema.overload_name}" if function._schema.overload_name else "")

    def lift(value):
        if not isinstance(value, torch.Tensor):
            return value
        if name in _VIEWS and value.numel() * value.element_size() == tensors[0].memory.size:
            return OnCuda(tensors[0].memory, value.shape, value.dtype)
        return to_device(value, number)

    return tree_map(lift, found)


# Methods that ask CUDA's driver before they dispatch.
_WITH_A_DRIVER = {"__getitem__", "__setitem__", "__int__", "__float__", "where"}


def _on_host(function, args):
    tensor = args[0]
    lowered = tree_map(lambda value: to_host(value) if isinstance(value, OnCuda) else value, args)
    found = function(*lowered)
    if function.__name__ == "__setitem__":
        _write(tensor, lowered[0])
    return to_device(found, tensor.memory.device) if isinstance(found, torch.Tensor) else found


class Emulation(TorchFunctionMode):
    """Within it torch makes tensors on "cuda" devices, and moves them there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") in _WITH_A_DRIVER and isinstance(args[0], OnCuda):
            return _on_host(function, args)
        wanted = _device_of(kwargs.get("device"))
        moves = getattr(function, "__name__", "") == "to" and isinstance(args[0], torch.Tensor)
        if wanted is None and moves and len(args) > 1:
            wanted = _device_of(args[1])
            if wanted is not None:
                args = (args[0], *args[2:])
        if wanted is None:
            return function(*args, **kwargs)
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
        if moves:
            here = args[0].cpu() if isinstance(args[0], OnCuda) and args[0].memory.device != wanted else args[0]
            moved = function(here, *args[1:], **kwargs) if len(args) > 1 or kwargs else here
            return moved if isinstance(moved, OnCuda) else to_device(moved, wanted)
        return to_device(function(*args, **kwargs, device="cpu"), wanted)


@pytest.fixture(name="emulation")
def emulated_torch(monkeypatch):
    """torch with CUDA tensors; its current stream of each device is one of the emulated device's. The streams that were asked for, by device."""
    streams = {}

    def current_stream(device):
        class Stream:
            cuda_stream = streams.setdefault(device.index, fake_library.make_stream(device.index))

        return Stream

    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    with Emulation():
        yield streams
