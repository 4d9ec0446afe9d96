"""Arrays of any library as inputs, and outputs of the same kind.

The native module reads what has the buffer protocol (numpy) or ``__dlpack__`` (torch and others) without a copy. What neither can say is
said here: dtypes of ml_dtypes, torch tensors that record gradients, float8, Python numbers.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Tuple

import numpy as np

Array = Any
"""numpy array, torch tensor, or anything else with ``__dlpack__`` or the buffer protocol."""

NumpyArray = np.ndarray[Any, Any]

# DLPack's code | bits << 8 | lanes << 16, as in nvfp4cal.h.
I8, U8, F16, F32, F64, BF16, E4M3, I64 = 0x10800, 0x10801, 0x11002, 0x12002, 0x14002, 0x11004, 0x1080A, 0x14000

_NUMPY: dict[int, np.dtype[Any]] = {
    I8: np.dtype(np.int8),
    U8: np.dtype(np.uint8),
    F16: np.dtype(np.float16),
    F32: np.dtype(np.float32),
    F64: np.dtype(np.float64),
    BF16: np.dtype(np.uint16),
    E4M3: np.dtype(np.uint8),  # the codes
    I64: np.dtype(np.int64),
}

# Names of dtypes that the buffer protocol cannot say: bytes to read instead, and what they are.
_BY_NAME = {"bfloat16": (np.uint16, BF16), "float8_e4m3fn": (np.uint8, E4M3)}


class Kind:
    """numpy: the kind of everything that no other kind knows. E4M3 scales are uint8 codes; bfloat16 needs ml_dtypes."""

    name = "numpy"

    def empty(self, shape: Tuple[int, ...], dtype: int) -> Any:
        if dtype == BF16:
            memory = np.empty(shape, np.uint16)
            return memory, memory.view(_bfloat16())
        return np.empty(shape, _NUMPY[dtype])

    def from_numpy(self, array: NumpyArray) -> Any:
        return array

    def finish(self, result: Any) -> Any:
        """What the caller gets for what empty() made, once it is filled."""
        return result

    def on_host(self) -> Kind:
        """The kind of what calibrators compute: they keep their data in host memory."""
        return self

    def moved(self, result: Any) -> Any:
        """A finished result of on_host() as one of this kind."""
        return result

    def stream(self, stream: Any) -> Any:
        """The CUDA stream that a call uses if the caller named `stream`, or none."""
        return stream

    def dtype(self, dtype: Any) -> int:
        """The ABI's number of a dtype of this kind."""
        if dtype is None or dtype == np.float32:
            return F32
        try:
            name = np.dtype(dtype).name
        except TypeError:  # a dtype object of another library: "array_api_strict.float32"
            name = str(dtype).rpartition(".")[2]
        code = {"float32": F32, "float64": F64, "float16": F16, "bfloat16": BF16}.get(name)
        if code is None:
            raise TypeError(f"dtype {name} is not one of float32, float64, float16, bfloat16")
        return code


def _bfloat16() -> Any:
    try:
        import ml_dtypes
    except ImportError as error:
        raise TypeError("bfloat16 output as a numpy array needs the package ml_dtypes") from error
    return ml_dtypes.bfloat16


class Torch(Kind):
    """Tensors of torch on one device. Memory of CPU outputs is numpy's, which torch shares."""

    name = "torch"

    def __init__(self, torch: Any, device: Any):
        self._torch = torch
        self.device = device
        self._dtypes = {
            I8: torch.int8, U8: torch.uint8, F16: torch.float16, F32: torch.float32, F64: torch.float64,
            BF16: torch.bfloat16, E4M3: torch.float8_e4m3fn, I64: torch.int64,
        }  # fmt: skip
        self._codes = {value: key for key, value in self._dtypes.items()}

    def empty(self, shape: Tuple[int, ...], dtype: int) -> Any:
        if self.device.type == "cpu":
            carrier: np.dtype[Any] = np.dtype(np.int16) if dtype == BF16 else _NUMPY[dtype]
            memory = np.empty(shape, carrier)
            tensor = self._torch.from_numpy(memory)
        else:
            memory = tensor = self._torch.empty(shape, dtype=self._torch.uint8 if dtype == E4M3 else self._dtypes[dtype], device=self.device)
        if dtype == BF16 or dtype == E4M3:
            tensor = tensor.view(self._dtypes[dtype])
        return memory, tensor

    def from_numpy(self, array: NumpyArray) -> Any:
        tensor = self._torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.to(self.device)

    def on_host(self) -> Kind:
        return self if self.device.type == "cpu" else torch_kind(self._torch.device("cpu"))

    def moved(self, result: Any) -> Any:
        if self.device.type == "cpu":
            return result
        return tuple(one.to(self.device) for one in result) if isinstance(result, tuple) else result.to(self.device)

    def stream(self, stream: Any) -> Any:
        """torch's current stream, where the tensors were made and outputs will be used."""
        if stream is not None or self.device.type != "cuda":
            return stream
        return self._torch.cuda.current_stream(self.device).cuda_stream

    def dtype(self, dtype: Any) -> int:
        code = F32 if dtype is None else self._codes.get(dtype)
        if code not in (F32, F64, F16, BF16):
            raise TypeError(f"dtype {dtype} is not one of torch.float32, torch.float64, torch.float16, torch.bfloat16")
        return code


class ArrayApi(Kind):
    """Host arrays of another library, through its from_dlpack."""

    def __init__(self, from_dlpack: Callable[[Any], Any]):
        self._from_dlpack = from_dlpack

    def from_numpy(self, array: NumpyArray) -> Any:
        return self._from_dlpack(array)

    def finish(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(self._from_dlpack(one) for one in result)
        return self._from_dlpack(result)


# What a library's own functions call the dtypes of outputs. E4M3 scales are uint8 codes, as in numpy.
_DTYPE_NAMES = {U8: "uint8", F16: "float16", F32: "float32", F64: "float64", BF16: "bfloat16", E4M3: "uint8", I64: "int64"}


class DeviceArrayApi(Kind):
    """Arrays of another library on one device. It makes the outputs there: empty() and asarray() of the array API standard, or of CuPy."""

    def __init__(self, namespace: Any, device: Any):
        self._namespace, self._device = namespace, device

    def _made(self, make: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if hasattr(self._device, "__enter__"):  # CuPy: the device is a context, and its functions know no device
            with self._device:
                return make(*arguments, **named)
        return make(*arguments, device=self._device, **named)

    def empty(self, shape: Tuple[int, ...], dtype: int) -> Any:
        name = _DTYPE_NAMES[dtype]
        if not hasattr(self._namespace, name):
            raise TypeError(f"{getattr(self._namespace, '__name__', 'the library of the input')} has no dtype {name} for the output")
        return self._made(self._namespace.empty, shape, dtype=getattr(self._namespace, name))

    def from_numpy(self, array: NumpyArray) -> Any:
        return self._made(self._namespace.asarray, array)

    def on_host(self) -> Kind:
        return NUMPY

    def moved(self, result: Any) -> Any:
        return tuple(self.from_numpy(one) for one in result) if isinstance(result, tuple) else self.from_numpy(result)


NUMPY = Kind()
_torch_kinds: dict[Any, Torch] = {}


def torch_kind(device: Any) -> Torch:
    kind = _torch_kinds.get(device)
    if kind is None:
        import torch  # the caller has it already

        kind = _torch_kinds[device] = Torch(torch, torch.device(device))
    return kind


def kind_of(x: Any) -> Kind:
    """The kind of an input, which outputs get too. torch is looked for only where it has been imported."""
    if isinstance(x, np.ndarray):
        return NUMPY
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return torch_kind(x.device)
    if isinstance(x, (int, float, np.generic)) or not hasattr(x, "__dlpack__"):
        return NUMPY
    namespace = _namespace_of(x)
    if namespace is None:
        return NUMPY
    where = getattr(x, "__dlpack_device__", None)
    if where is None or where()[0] in _HOST_DEVICES:
        return ArrayApi(namespace.from_dlpack)
    return DeviceArrayApi(namespace, x.device)


_HOST_DEVICES = (1, 3, 11)  # DLPack's CPU, and page-locked memory of CUDA and ROCm


def _namespace_of(x: Any) -> Any:
    """The functions of the library that x is of, or None where it says nothing: those of the array API standard, else the module of its class."""
    if hasattr(x, "__array_namespace__"):
        return x.__array_namespace__()
    module = sys.modules.get(type(x).__module__.partition(".")[0])
    return module if all(hasattr(module, name) for name in ("from_dlpack", "empty", "asarray")) else None


def kind_named(name: str) -> Kind:
    """The kind of a result whose input is not at hand (unpickled objects)."""
    if name == "torch":
        import torch

        return torch_kind(torch.device("cpu"))
    return NUMPY


def kind_for_device(device: Any) -> Kind:
    """numpy for None and "cpu"; torch for a torch.device or the name of another one."""
    if device is None or device == "cpu":
        return NUMPY
    torch = sys.modules.get("torch")
    if torch is None:
        raise TypeError(f"device {device!r}: torch has not been imported")
    return torch_kind(torch.device(device))


def unusual(name: str, x: Any, cause: BaseException | None) -> Any:
    """What the native module reads instead of x: an array, or (array, dtype). Called where it could not read x itself."""
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.name in _BY_NAME:
        carrier, dtype = _BY_NAME[x.dtype.name]
        return x.view(carrier), dtype
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        if x.dtype == torch.float8_e4m3fn:
            return x.view(torch.uint8), E4M3
        if x.layout == torch.strided and x.device.type != "meta" and not x.is_quantized:
            return x
    if isinstance(x, (int, float)) and not isinstance(x, bool):
        return np.asarray(x, np.float32)
    if cause is not None and (hasattr(x, "__dlpack__") or isinstance(x, np.ndarray)):
        raise TypeError(f"{name}: {cause}") from cause
    raise TypeError(f"{name} is no array (numpy, torch, or anything with __dlpack__) but {type(x).__name__}") from cause


def require_shape(name: str, x: Any) -> None:
    """Raises TypeError for what has no shape; other functions leave that to the native module."""
    if not (hasattr(x, "shape") and hasattr(x, "ndim")):
        raise TypeError(f"{name} is no array (numpy, torch, or anything with __dlpack__ and a shape) but {type(x).__name__}")


def float32(value: Any) -> Any:
    """A global amax or scale as the ABI wants it: arrays and numpy numbers of other float dtypes are rounded to float32, all else stays."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.char == "f" or value.dtype.name not in ("float64", "float16", "bfloat16"):  # a name takes microseconds
            return value
        with np.errstate(over="ignore"):  # an infinity is refused with a name
            return np.asarray(value, np.float32)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.float16, torch.bfloat16):
        return value.float()
    return value


def in_host_memory(value: Any) -> Any:
    """An option that calibrators keep in host memory: a torch tensor on a device is copied, which waits for it; everything else stays as it is."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and value.device.type == "cuda":
        return value.detach().cpu()
    return value


def as_numpy(x: Any) -> NumpyArray:
    """A numpy view or copy of an input, bfloat16 and others as float32. For small arrays."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        x = x.detach().cpu().resolve_neg()
        return np.asarray(x.numpy() if x.dtype in (torch.float32, torch.float64) else x.float().numpy())
    if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__"):
        return np.asarray(np.from_dlpack(x))
    return np.asarray(x)
