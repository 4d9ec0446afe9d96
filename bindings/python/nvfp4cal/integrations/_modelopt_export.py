"""What ModelOpt's export computes, by the native library: the same bytes, sooner. Imported by ``install()`` only: needs modelopt."""
from __future__ import annotations

import torch
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
from modelopt.torch.quantization.utils import core_utils

import nvfp4cal

from ._fake_quant import E2M1_MAX, E4M3_MAX, block_amaxes
from ._patches import Patches
from ._placement import REFUSALS, is_native


def _block_amax(original):
    def reduce_block_amax(input_tensor: torch.Tensor, block_sizes: dict):
        """Largest magnitude of every block."""
        (dim, block), *more = block_sizes.items()
        along_rows = dim in (-1, input_tensor.dim() - 1) and block in (16, 32)
        if more or not along_rows or input_tensor.device.type != "cpu" or not is_native(input_tensor) or input_tensor.shape[-1] % block:
            return original(input_tensor, block_sizes)
        try:
            return block_amaxes(input_tensor, block).to(input_tensor.dtype)
        except REFUSALS:
            return original(input_tensor, block_sizes)

    return reduce_block_amax


def pack(weight: torch.Tensor, scales: torch.Tensor, scale_2: torch.Tensor, block_size: int) -> torch.Tensor | None:
    """Packed E2M1 codes of ``weight / (scales * scale_2)``; None where the library would not use exactly these scales."""
    scale_2 = scale_2.detach().float().reshape(())
    # Exact for every scale that is a float32 number divided by 2688.
    global_amax = scale_2 * (E2M1_MAX * E4M3_MAX)
    # RNE(amax / 6 * 448 / (G / 6)) is the code again: the error of these operations is far below half a step between codes.
    block_amax = scales.float() * scale_2 * E2M1_MAX
    try:
        result = nvfp4cal.quantize(weight, amax=block_amax, global_amax=global_amax, block_size=block_size)
    except REFUSALS:
        return None
    same = torch.equal(result.scale.view(torch.uint8), scales.view(torch.uint8)) and torch.equal(result.scale_2.reshape(()), scale_2)
    return result.packed if same else None


def _quantize(original):
    def quantize(cls, input, block_size, weights_scaling_factor=None, weights_scaling_factor_2=None, keep_high_precision=False, try_tensorrt=False):
        """Packs a weight [ModelOpt NVFP4QTensor.quantize]."""
        scales, scale_2 = weights_scaling_factor, weights_scaling_factor_2
        given = scales is not None and scale_2 is not None and scales.dtype == torch.float8_e4m3fn and scale_2.numel() == 1
        if given and not keep_high_precision and is_native(input) and input.dtype != torch.float64 and block_size in (16, 32):
            if scales.device == input.device and tuple(scales.shape) == (*input.shape[:-1], input.shape[-1] // block_size) and input.shape[-1] % block_size == 0:
                packed = pack(input, scales, scale_2, block_size)
                if packed is not None:
                    return cls(input.shape, input.dtype, packed), scales, scale_2
        return original(cls, input, block_size, scales, scale_2, keep_high_precision, try_tensorrt)

    return classmethod(quantize)


def apply(patches: Patches) -> None:
    """Puts the native paths in place."""
    patches.everywhere("modelopt", core_utils.reduce_block_amax, _block_amax(core_utils.reduce_block_amax))
    patches.set(NVFP4QTensor, "quantize", _quantize(vars(NVFP4QTensor)["quantize"].__func__), "NVFP4QTensor.quantize")
