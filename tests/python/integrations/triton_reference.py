"""Runs ModelOpt's own Triton kernels in Triton's interpreter on the CPU and compares nvfp4cal's fake quantization with them, bit for bit.

A program of its own, because the interpreter is chosen by the environment before triton is imported. The interpreter's conversion to E4M3 loses carries, so the
dynamic inputs have block amaxes whose scales are E4M3 values already; its conversion to bfloat16 truncates, so kernels run in float32 there.
Prints one line a comparison; exits with 1 where one differs.
"""
import contextlib
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import definitions  # noqa: E402
import modelopt.torch.kernels.quantization.common.nvfp4_quant as common  # noqa: E402
import modelopt.torch.kernels.quantization.gemm.fp4_kernel as static_kernel  # noqa: E402
import modelopt.torch.kernels.quantization.gemm.fp4_kernel_hopper as dynamic_kernel  # noqa: E402
import torch  # noqa: E402

from nvfp4cal.integrations import _fake_quant  # noqa: E402

torch.cuda.device = lambda _: contextlib.nullcontext()


class _Libdevice:
    """What the kernels take from CUDA's math library."""

    isnan = staticmethod(lambda value: value != value)


common.libdevice = _Libdevice


def dynamic_inputs(generator, power):
    """Blocks [126, 5 * 16] whose largest magnitude is 6 * an E4M3 value, under a global amax of 2688 * 2^power."""
    x = torch.rand(126, 5, 16, generator=generator) * 2 - 1
    x[:, 1] = (x[:, 1] * 48).round() / 48  # ties
    x[:, 2] = x[:, 2] ** 5
    x[:, 3] = 0.0
    x[:, 4, ::2] = -0.0
    x[:, :3, 7] = 1.0
    x = x * (6 * definitions.E4M3[1:]).reshape(-1, 1, 1) * 2.0**power
    return x.reshape(126, 80), torch.tensor(2688.0 * 2.0**power)


def compare():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for power in (-24, -20, -12, -6, 0):
            x, amax = dynamic_inputs(generator, power)
            x = x.to(dtype).float() if dtype == torch.float16 else x.to(dtype)
            exact = (x.float().reshape(-1, 16).abs().amax(-1) / (6 * amax / 2688)).unsqueeze(-1)
            usable = (definitions.e4m3(exact) == exact).flatten()
            expected = dynamic_kernel.fp4_fake_quant_block(x.float(), amax).to(x.dtype)
            found = _fake_quant.fake_quantize_dynamic(x, amax)
            yield f"dynamic {dtype} 2^{power} ({int(usable.sum())} blocks)", found.view(-1, 16)[usable], expected.view(-1, 16)[usable]
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(256, 16, generator=generator).to(dtype)
        amax = x.float().abs().amax(-1) * (0.5 + torch.rand(256, generator=generator))
        amax[3] = 0.0
        expected = static_kernel.static_blockwise_fp4_fake_quant(x, amax, None, False, 448.0, torch.float32)
        yield f"static, scales as they are, {dtype}", _fake_quant.fake_quantize_static(x, amax, None, False, out_dtype=torch.float32), expected
        for normalization in (448.0, 256.0):
            expected = static_kernel.static_blockwise_fp4_fake_quant(x, amax, amax.max() * 1.1, True, normalization, torch.float32)
            found = _fake_quant.fake_quantize_static(x, amax, amax.max() * 1.1, True, normalization, torch.float32)
            # The kernel's scales differ from the stored ones in the last bit.
            torch.testing.assert_close(found, expected, rtol=3e-7, atol=0)
            yield f"static, normalization {normalization:g}, {dtype}", torch.signbit(found).float(), torch.signbit(expected).float()
    x = torch.cat([definitions.LEVELS, definitions.MIDDLES, torch.linspace(0, 9, 300)])
    x = torch.cat([x, -x])
    yield "cast", _fake_quant.cast_e2m1(x), static_kernel.static_blockwise_fp4_cast(x)


def main():
    failed = False
    for name, found, expected in compare():
        same = definitions.same_bits(found, expected)
        failed |= not same or found.numel() == 0
        print(f"{'equal' if same else 'DIFFERENT'}: {name}, {found.numel()} elements")
    sys.exit(failed)


if __name__ == "__main__":
    main()
