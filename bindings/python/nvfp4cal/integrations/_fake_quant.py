"""NVFP4 fake quantization of torch tensors, as ModelOpt's Triton kernels do it on a GPU.

Dynamic: the bits of ``fp4_fake_quant_block``. Static: ``static_blockwise_fp4_fake_quant`` with the block scales that the export stores and engines
decode, E4M3 value * (global amax / 2688); ModelOpt's kernel computes them as value * (1 / (448 / (global amax / 6))), which differs in the last bit.
The native library does the work for blocks of 16 and 32; other block sizes and tensors with NaN or infinity take the definition below, in torch.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F

import nvfp4cal

from ._placement import NATIVE_DTYPES, REFUSALS, is_native

E2M1_MAX = 6.0
E4M3_MAX = 448.0
_NATIVE_BLOCKS = (16, 32)
# The dynamic kernel reads a block scale below this as 1.
_LEAST_DYNAMIC_SCALE = 1e-5


def round_to_e2m1(magnitude: torch.Tensor) -> torch.Tensor:
    """The nearest of 0 .5 1 1.5 2 3 4 6, ties to the even mantissa; NaN stays NaN. ``magnitude`` is float32, >= 0."""
    step = torch.full_like(magnitude, 2.0).masked_fill_(magnitude < 4, 1.0).masked_fill_(magnitude < 2, 0.5)
    return (torch.round(magnitude / step) * step).clamp(max=E2M1_MAX)


def _with_scales(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """E2M1 fake quantization of float32 ``blocks`` [n, block] with positive ``scales`` [n, 1]. Zeros come out as +0, other signs stay."""
    magnitude = round_to_e2m1(blocks.abs() / scales) * scales
    return torch.where(blocks >= 0, magnitude, -magnitude)


def _e4m3(values: torch.Tensor) -> torch.Tensor:
    """Nearest E4M3 value of float32 numbers >= 0, saturating."""
    return values.clamp(max=E4M3_MAX).to(torch.float8_e4m3fn).float()


# ---- dynamic: block scales from the blocks ------------------------------------------------------------------------------------


def dynamic_scales(block_amax: torch.Tensor, global_scale: torch.Tensor) -> torch.Tensor:
    """The float32 scales that ModelOpt's kernel gives blocks with these largest magnitudes."""
    scales = _e4m3(block_amax / (E2M1_MAX * global_scale)) * global_scale
    return torch.where(scales >= _LEAST_DYNAMIC_SCALE, scales, 1.0)


def _dynamic_definition(blocks: torch.Tensor, global_scale: torch.Tensor) -> torch.Tensor:
    block_amax = blocks.abs().nan_to_num(nan=0.0, posinf=torch.inf).amax(dim=-1, keepdim=True)
    return _with_scales(blocks, dynamic_scales(block_amax, global_scale))


def fake_quantize_dynamic(x: torch.Tensor, amax: torch.Tensor, block_size: int = 16) -> torch.Tensor:
    """x with every block quantized by a scale of its own [ModelOpt fp4_fake_quant_block].

    x: [..., cols], in host memory or on a device that the library computes on; blocks lie along the last dimension, a row's last one may be short. amax: the global amax, one element (of more the
    largest counts). Returns x's shape and dtype. An infinity becomes the largest value of its block, NaN stays NaN.
    """
    if block_size <= 0:
        raise ValueError(f"block_size {block_size} is not positive")
    if x.numel() == 0:
        return torch.empty_like(x)
    global_amax = amax.detach().float().amax()
    global_scale = global_amax / (E2M1_MAX * E4M3_MAX)
    if not global_scale > 0:
        global_scale = torch.full_like(global_amax, 1e-12)
    short = -x.shape[-1] % block_size
    padded = F.pad(x, (0, short)) if short else x
    blocks = padded.reshape(-1, block_size).contiguous()
    out = _dynamic_native(blocks, global_amax, global_scale) if _is_native(blocks) else None
    if out is None:
        out = _dynamic_definition(blocks.float(), global_scale).to(x.dtype)
    out = out.reshape(padded.shape)
    return out[..., : x.shape[-1]].contiguous() if short else out


def _dynamic_native(blocks: torch.Tensor, global_amax: torch.Tensor, global_scale: torch.Tensor) -> torch.Tensor | None:
    """None where the library refuses: NaN or infinity, a global amax of zero or too small for it."""
    if not (global_amax > 0 and global_amax.isfinite()):
        return None
    try:
        out = nvfp4cal.fake_quantize(blocks, global_amax=global_amax, block_size=blocks.shape[-1])
        block_amax = block_amaxes(blocks, blocks.shape[-1])
    except REFUSALS:
        return None
    # The library never uses a scale below 2^-9; the kernel does as dynamic_scales says. Scales grow with the amax: look at the smallest first.
    smallest = _e4m3(block_amax.min() / (E2M1_MAX * global_scale)) * global_scale
    if smallest < _LEAST_DYNAMIC_SCALE:
        others = (_e4m3(block_amax / (E2M1_MAX * global_scale)) * global_scale < _LEAST_DYNAMIC_SCALE).flatten()
        out[others] = _dynamic_definition(blocks[others].float(), global_scale).to(out.dtype)
    return out


# ---- static: block scales from calibrated amaxes ------------------------------------------------------------------------------


def static_scales(block_amax: torch.Tensor, global_amax: torch.Tensor | None, quantize_scales: bool, normalization: float) -> torch.Tensor:
    """float32 scales of calibrated block amaxes: E4M3 value * (global amax / (6 normalization)), or amax / 6 where scales are not quantized."""
    amax = block_amax.float()
    if not quantize_scales:
        return amax / E2M1_MAX
    largest = amax.amax() if global_amax is None else global_amax.float()
    codes = _e4m3((amax / E2M1_MAX) * normalization / (largest / E2M1_MAX))
    return codes * (largest / (E2M1_MAX * normalization))


def _static_definition(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    scales = scales.reshape(-1, 1)
    safe = torch.where((scales == 0) | ~scales.isfinite(), 1.0, scales)
    return torch.where(scales == 0, 0.0, _with_scales(blocks, safe))


def fake_quantize_static(
    x: torch.Tensor,
    block_amax: torch.Tensor,
    global_amax: torch.Tensor | None = None,
    quantize_scales: bool = True,
    normalization: float = E4M3_MAX,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """x with blocks quantized by calibrated amaxes [ModelOpt static_blockwise_fp4_fake_quant].

    x: any shape, in host memory or on a device that the library computes on; its consecutive elements form block_amax.numel() blocks. global_amax: one element, default the largest block amax.
    normalization: 448, or 256 for four over six. Returns x's shape in out_dtype (default x's). A block whose scale is zero becomes zero.
    Raises ValueError where x cannot be cut in that many blocks.
    """
    blocks_count = block_amax.numel()
    out_dtype = out_dtype or x.dtype
    if blocks_count == 0 or x.numel() % blocks_count:
        raise ValueError(f"x.numel() ({x.numel()}) is not divisible by amax.numel() ({blocks_count})")
    if x.numel() == 0:
        return torch.empty_like(x, dtype=out_dtype)
    blocks = x.detach().reshape(blocks_count, -1).contiguous()
    scales = static_scales(block_amax.detach().reshape(-1), global_amax, quantize_scales, normalization)
    out = None
    native = quantize_scales and normalization in (448, 256) and _is_native(blocks) and out_dtype in NATIVE_DTYPES
    if native and scales.isfinite().all() and scales.min() > 0:
        out = _static_native(blocks, block_amax, global_amax, int(normalization), out_dtype)
    if out is None:
        out = _static_definition(blocks.float(), scales)
    return out.to(out_dtype).reshape(x.shape)


def _static_native(
    blocks: torch.Tensor, block_amax: torch.Tensor, global_amax: torch.Tensor | None, normalization: int, out_dtype: torch.dtype
) -> torch.Tensor | None:
    largest = block_amax.float().amax() if global_amax is None else global_amax.float()
    try:
        return nvfp4cal.fake_quantize(
            blocks,
            global_amax=largest.reshape(()),
            amax=block_amax.float().reshape(-1, 1),
            block_size=blocks.shape[-1],
            normalization=normalization,
            dtype=out_dtype,
        )
    except REFUSALS:
        return None


def cast_e2m1(x: torch.Tensor, out_dtype: torch.dtype | None = None) -> torch.Tensor:
    """The nearest E2M1 value of each element, no scale [ModelOpt static_blockwise_fp4_cast]."""
    values = x.detach().float()
    magnitude = round_to_e2m1(values.abs())
    return torch.where(values >= 0, magnitude, -magnitude).to(out_dtype or x.dtype)


def block_amaxes(x: torch.Tensor, block_size: int) -> torch.Tensor:
    """Largest magnitude of every block of the last dimension, [..., cols / block_size]. Raises nvfp4cal.NotFiniteError for host tensors.

    On a device torch finds them: a calibrator's result would come back through host memory.
    """
    if x.device.type != "cpu":
        return x.unflatten(-1, (-1, block_size)).abs().amax(dim=-1).float()
    finder = nvfp4cal.MaxCalibrator(block_size=block_size)
    finder.collect(x)
    return finder.compute_amax()


def _is_native(blocks: torch.Tensor) -> bool:
    return blocks.shape[-1] in _NATIVE_BLOCKS and is_native(blocks)
