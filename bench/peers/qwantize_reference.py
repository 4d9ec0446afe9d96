"""qwantize's search of block scales in torch, written from its description: block scales are E4M3 values themselves, and candidates are left out by
two bounds on what can win."""
from __future__ import annotations

import torch

LEVELS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
MIDDLES = (LEVELS[1:] + LEVELS[:-1]) / 2


def candidates() -> torch.Tensor:
    """The 126 positive finite E4M3 numbers, ascending."""
    return torch.arange(1, 127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()


def squared_errors(x: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Of blocks x [n, block] with scales [n] or one for all; an element in the middle of two levels takes the lower one."""
    scales = scales.reshape(-1, 1)
    levels = LEVELS[torch.bucketize(x.abs() / scales, MIDDLES)]
    return (x - x.sign() * levels * scales).square().sum(-1)


def optimal_scales(weight: torch.Tensor) -> torch.Tensor:
    """The scale of least squared error of each block; weight is [..., block], the result [...]."""
    x = weight.float().reshape(-1, weight.shape[-1])
    magnitudes = x.abs()
    largest = magnitudes.amax(-1)
    scales = (largest / 6).clamp(min=1e-12).to(torch.float8_e4m3fn).float()
    errors = squared_errors(x, scales)
    # Below the lower bound the largest element alone is clipped by more than the error; above the upper one so many elements become zero.
    lower = ((largest - errors.sqrt()) / 6).clamp(min=0)
    ascending = magnitudes.sort(-1).values
    zeroed = (ascending.square().cumsum(-1) <= errors[:, None]).sum(-1)
    upper = ascending.gather(-1, zeroed.clamp(max=x.shape[-1] - 1)[:, None]).squeeze(-1) * 4
    open_ = (zeroed < x.shape[-1]) & (x.square().sum(-1) > errors)
    x, magnitudes, lower, upper = x[open_], magnitudes[open_], lower[open_], upper[open_]
    best_scales, best_errors = scales[open_], errors[open_]
    for scale in candidates():
        tried = (scale >= lower) & (scale <= upper)
        if not tried.any():
            continue
        tried &= (magnitudes - 6 * scale).clamp(min=0).square().sum(-1) < best_errors
        if not tried.any():
            continue
        found = squared_errors(x, scale)
        better = tried & (found < best_errors)
        best_errors = torch.where(better, found, best_errors)
        best_scales = torch.where(better, scale, best_scales)
    scales[open_] = best_scales
    return scales.reshape(weight.shape[:-1])
