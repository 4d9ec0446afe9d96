"""llm-compressor's MSE observers with the native search inside. Imported by ``install()`` only: needs llmcompressor.

Each is a subclass of the class it stands for: only the grid search over ranges is replaced, for the formats that the library has, where it computes
them. Scales, zero points, global scales, fusion and synchronization stay llm-compressor's.
"""
from __future__ import annotations

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationStrategy, QuantizationType
from llmcompressor.observers import mse

import nvfp4cal

from ._placement import REFUSALS, is_native

_FORMATS = {(QuantizationType.INT, 8), (QuantizationType.INT, 4), (QuantizationType.FLOAT, 8), (QuantizationType.FLOAT, 4)}


def _searchable(args: QuantizationArgs, observed: torch.Tensor) -> bool:
    """Whether the library searches what llm-compressor would: the format, and scales that are not rounded within the search."""
    if (QuantizationType(args.type), args.num_bits) not in _FORMATS or not is_native(observed) or torch.compiler.is_compiling():
        return False
    return args.scale_dtype is None or args.strategy == QuantizationStrategy.TENSOR_GROUP


def _grid_search(observer: mse.MemorylessMSEObserver | mse.MovingAverageMSEObserver, observed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The ranges of least error of ``observed``, (observations, *qparam shape, group size); None where llm-compressor's own search has to do it."""
    args = observer.args
    if not _searchable(args, observed):
        return None
    # One row for each range, whatever the strategy was.
    shape = observed.shape[1:-1]
    rows = observed.detach().movedim(0, -2).reshape(shape.numel(), -1)
    fp4 = args.type == QuantizationType.FLOAT and args.num_bits == 4
    try:
        search = nvfp4cal.MemorylessMSEObserver(
            "weight",
            num_bits=args.num_bits,
            type=str(QuantizationType(args.type).value),
            symmetric=args.symmetric,
            strategy="tensor_group" if fp4 else "channel",
            group_size=rows.shape[1] if fp4 else None,
            maxshrink=observer.maxshrink,
            patience=observer.patience,
            grid=observer.grid,
            norm=observer.norm,
            expand=observer.expand,
        )
        search(rows)
    except REFUSALS:
        return None
    low, high = search.get_min_max()
    return low.reshape(shape).to(observed.dtype), high.reshape(shape).to(observed.dtype)


class MemorylessMSEObserver(mse.MemorylessMSEObserver):
    """llm-compressor's ``memoryless_mse``."""

    def update_statistics_from_observed(self, observed: torch.Tensor) -> None:
        """The ranges of least error of the last observation."""
        found = _grid_search(self, observed)
        if found is None:
            super().update_statistics_from_observed(observed)
        else:
            self.min_vals, self.max_vals = found


class MovingAverageMSEObserver(mse.MovingAverageMSEObserver):
    """llm-compressor's ``mse``."""

    def update_statistics_from_observed(self, observed: torch.Tensor) -> None:
        """The moving average of the ranges of least error."""
        found = _grid_search(self, observed)
        if found is None:
            super().update_statistics_from_observed(observed)
            return
        if hasattr(self, "min_vals") and self.avg_constant != 1.0:
            found = tuple(mse.lerp(old, new, self.avg_constant) for old, new in zip((self.min_vals, self.max_vals), found))
        self.min_vals, self.max_vals = found


class NVFP4ExpandedMSEObserver(MemorylessMSEObserver, mse.NVFP4ExpandedMSEObserver):
    """llm-compressor's ``nvfp4_expanded_mse``."""
