"""Where ModelOpt's autograd functions and its torch operator reach the CPU fake quantization. Imported by ``install()`` only: needs modelopt.

The functions keep their own backward passes (straight through, with the clipping they were asked for); only what their forward computes on the CPU (and
on CUDA devices where nvfp4cal's module is present) is replaced. Each computation is a torch operator with a fake implementation, so that torch.compile and torch.export see one opaque node.
"""
from __future__ import annotations

import inspect

import torch
from modelopt.torch.quantization import tensor_quant

from . import _fake_quant
from ._patches import Patches
from ._placement import is_native_device

_E2M1 = (2, 1)
_E4M3 = (4, 3)


@torch.library.custom_op("nvfp4cal::fake_quantize_static", mutates_args=())
def _static_op(
    x: torch.Tensor, amax: torch.Tensor, global_amax: torch.Tensor | None, quantize_scales: bool, normalization: float, out_dtype: torch.dtype
) -> torch.Tensor:
    return _fake_quant.fake_quantize_static(x, amax, global_amax, quantize_scales, normalization, out_dtype)


@_static_op.register_fake
def _(x, amax, global_amax, quantize_scales, normalization, out_dtype):
    return torch.empty(x.shape, dtype=out_dtype, device=x.device)


@torch.library.custom_op("nvfp4cal::cast_e2m1", mutates_args=())
def _cast_op(x: torch.Tensor, out_dtype: torch.dtype) -> torch.Tensor:
    return _fake_quant.cast_e2m1(x, out_dtype)


@_cast_op.register_fake
def _(x, out_dtype):
    return torch.empty(x.shape, dtype=out_dtype, device=x.device)


def _static_forward(original):
    def forward(ctx, x, amax, global_amax=None, quantize_block_scales=True, fp8_max_for_normalization=448.0, out_dtype=None, pass_through_bwd=False):
        """Forward method."""
        if not is_native_device(x.device):
            return original(ctx, x, amax, global_amax, quantize_block_scales, fp8_max_for_normalization, out_dtype, pass_through_bwd)
        tensor_quant._save_for_backward_if_needed(ctx, pass_through_bwd, x, amax)
        return _static_op(x, amax, global_amax, quantize_block_scales, float(fp8_max_for_normalization), out_dtype or x.dtype)

    return forward


def _cast_forward(original):
    def forward(ctx, x, out_dtype=None):
        """Forward pass: cast to FP4."""
        if not is_native_device(x.device):
            return original(ctx, x, out_dtype)
        ctx.save_for_backward(x)
        return _cast_op(x, out_dtype or x.dtype)

    return forward


def _dynamic_kernel(x, block_size, amax, num_bits, exponent_bits, scale_num_bits, scale_exponent_bits):
    """The kernel of tensorrt::dynamic_block_quantize_op: NVFP4 here, every other format as before."""
    element = (exponent_bits, num_bits - exponent_bits - 1)
    scale = (scale_exponent_bits, scale_num_bits - scale_exponent_bits - 1)
    if element == _E2M1 and scale == _E4M3 and is_native_device(x.device):
        return _fake_quant.fake_quantize_dynamic(x, amax, block_size)
    return tensor_quant._dynamic_block_quantize_impl(x, block_size, amax, num_bits, exponent_bits, scale_num_bits, scale_exponent_bits)


def check() -> None:
    """Raises RuntimeError where this torch cannot put a kernel over another one and take it off again."""
    if "allow_override" not in inspect.signature(torch.library.Library.impl).parameters:
        raise RuntimeError(f"torch {torch.__version__} cannot override a registered operator: a newer one is needed")
    if tensor_quant.dynamic_block_quantize_op is not torch.ops.tensorrt.dynamic_block_quantize_op:
        raise RuntimeError("modelopt did not register tensorrt::dynamic_block_quantize_op")


def apply(patches: Patches) -> None:
    """Puts the fake quantization in place."""
    for function, make in ((tensor_quant.StaticBlockwiseFP4FakeQuantFunction, _static_forward), (tensor_quant.FP4CastSTEFunction, _cast_forward)):
        patches.set(function, "forward", staticmethod(make(function.forward)), f"{function.__name__}.forward")
    library = torch.library.Library("tensorrt", "IMPL")
    for key in ("CPU", "CUDA"):
        library.impl("dynamic_block_quantize_op", _dynamic_kernel, key, allow_override=True)
    patches.add("the CPU and CUDA kernels of tensorrt::dynamic_block_quantize_op", library._destroy)
