"""Which torch tensors the native library computes on: everything else takes the framework's own way."""
from __future__ import annotations

import torch

import nvfp4cal

NATIVE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
# What the library refuses, the framework's own code answers, with a result or an error of its own: NaN and infinity, arguments that the library does not
# know, layouts that have no path on a device.
REFUSALS = (nvfp4cal.NotFiniteError, nvfp4cal.InvalidArgumentError, nvfp4cal.UnsupportedError)


def cuda_devices() -> int:
    """The number of CUDA devices that nvfp4cal's CUDA module computes on; 0 without the module, a driver or a device."""
    try:
        return nvfp4cal.cuda_devices()
    except nvfp4cal.Error:
        return 0


def is_native_device(device: torch.device) -> bool:
    """Whether the library computes there: in host memory, and on CUDA devices where its module is present.

    Not while a CUDA graph is captured: the library waits for what a device has found, which ends a capture.
    """
    if device.type == "cpu":
        return True
    if device.type != "cuda" or (device.index or 0) >= cuda_devices():
        return False
    return not torch.cuda.is_current_stream_capturing()


def is_native(x: torch.Tensor) -> bool:
    """Whether the library computes on this tensor: it has elements, of a dtype that the library reads, where the library computes."""
    return x.dtype in NATIVE_DTYPES and x.numel() > 0 and is_native_device(x.device)
