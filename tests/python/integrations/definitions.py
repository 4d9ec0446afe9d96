"""NVFP4 fake quantization written out in torch from tables: what the integrations' results are compared with, bit for bit."""
import torch

LEVELS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
MIDDLES = (LEVELS[1:] + LEVELS[:-1]) / 2

E4M3 = torch.tensor([c * 2.0**-9 if c < 8 else (8 + (c & 7)) * 2.0 ** ((c >> 3) - 10) for c in range(127)])
E4M3_MIDDLES = (E4M3[1:] + E4M3[:-1]) / 2


def _nearest(values, table, middles):
    """The nearest entry; a value in the middle takes the entry with an even number."""
    index = torch.searchsorted(middles, values.contiguous())
    tie = values == middles[index.clamp(max=len(middles) - 1)]
    return table[index + (tie & (index % 2 == 1))]


def e2m1(magnitudes):
    return _nearest(magnitudes, LEVELS, MIDDLES)


def e4m3(values):
    return _nearest(values.clamp(max=448.0), E4M3, E4M3_MIDDLES)


def quantize_with(x, scales):
    """x [n, block] float32 and its scales [n, 1]."""
    magnitude = e2m1(x.abs() / scales) * scales
    return torch.where(x >= 0, magnitude, -magnitude)


def dynamic(x, amax, block=16):
    """ModelOpt's kernel for block scales from the data; scales below 1e-5 count as 1."""
    rows = torch.nn.functional.pad(x.float(), (0, -x.shape[-1] % block))
    blocks = rows.reshape(-1, block)
    global_scale = amax.float().max() / 2688.0
    if global_scale == 0:
        global_scale = torch.tensor(1e-12)
    scales = e4m3(blocks.abs().amax(-1, keepdim=True) / (6.0 * global_scale)) * global_scale
    scales = torch.where(scales >= 1e-5, scales, torch.ones_like(scales))
    return quantize_with(blocks, scales).reshape(rows.shape)[..., : x.shape[-1]].to(x.dtype)


def static(x, block_amax, global_amax, normalization=448.0, quantize_scales=True):
    """Calibrated block scales as they are stored: E4M3 value * (global amax / (6 normalization)). x [n, block], amax [n]."""
    amax = block_amax.float().reshape(-1, 1)
    if quantize_scales:
        scales = e4m3((amax / 6.0) * normalization / (global_amax / 6.0)) * (global_amax / (6.0 * normalization))
    else:
        scales = amax / 6.0
    result = quantize_with(x.float(), torch.where(scales == 0, torch.ones_like(scales), scales))
    return torch.where(scales == 0, torch.zeros_like(result), result).to(x.dtype)


def same_bits(a, b):
    """Equal dtype, shape and bits; -0 is not +0, NaN is NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(integer), b.contiguous().view(integer))
