"""ModelOpt's calibrators with the native library inside. Imported by ``install()`` only: needs modelopt.

Each is a subclass of the class it stands for: signature, attributes, pickling and ``isinstance`` stay, and so does what it answers to NaN. What the
library does not do (error functions of the caller, other block sizes, CUDA tensors without its module) runs in the parent's code.
"""
from __future__ import annotations

import os

import torch
from modelopt.torch.quantization import model_calib
from modelopt.torch.quantization.calib import max as max_module
from modelopt.torch.quantization.calib import mse, nvfp4_act_headroom
from modelopt.torch.quantization.nn import StaticBlockScaleQuantizer, TensorQuantizer
from modelopt.torch.quantization.utils.numeric_utils import E4M3_MAX, fp8_max_for_normalization

import nvfp4cal

from ._patches import Patches
from ._placement import REFUSALS, is_native

# Sums of counts up to here are exact in float32, which ModelOpt's percentiles are computed in.
_EXACT_IN_FLOAT32 = 2**24


class MaxCalibrator(max_module.MaxCalibrator):
    """ModelOpt's maximum, tensors read in one pass."""

    @torch.no_grad()
    def collect(self, x: torch.Tensor):
        """Takes the maximum of what was seen and abs(x). Raises AssertionError for NaN and infinity, RuntimeError where the shape changes."""
        if not is_native(x):
            return super().collect(x)
        try:
            finder = nvfp4cal.MaxCalibrator(axis=self._axis)
            finder.collect(x)
            local_amax = finder.compute_amax()
        except REFUSALS:
            return super().collect(x)
        # One of x's elements: exact in its dtype.
        local_amax = local_amax.to(x.dtype)
        if local_amax.numel() == 1:
            local_amax = local_amax.reshape(())
        if self._calib_amax is None:
            self._calib_amax = local_amax
        elif self._calib_amax.shape != local_amax.shape:
            raise RuntimeError("amax shape changed!")
        else:
            self._calib_amax = torch.maximum(self._calib_amax, local_amax.to(self._calib_amax.device))
        if self._track_amax:
            self._amaxs.append(local_amax.float().cpu().numpy())
        return None


class MseCalibrator(mse.MseCalibrator):
    """ModelOpt's multiplier search; the losses of built-in formats are summed in float64 by the native library."""

    @torch.no_grad()
    def collect(self, x: torch.Tensor):
        """Adds the losses of x at every multiplier."""
        losses = self._native_losses(x)
        if losses is None:
            return super().collect(x)
        if self._candidates is None:
            self._candidates = self._generate_candidates(x.device)
            self._losses_sum = [None] * self._num_steps
        for step, loss in enumerate(losses):
            self._losses_sum[step] = loss.clone() if self._losses_sum[step] is None else self._losses_sum[step] + loss
        return None

    def _native_losses(self, x: torch.Tensor):
        """Of x at every multiplier; None where ModelOpt's own loop has to find them."""
        try:
            search = self._native_search(x)
            if search is None:
                return None
            search.collect(x)
            return search.losses()
        except REFUSALS:
            return None

    def _native_search(self, x: torch.Tensor):
        """The library's search for one tensor, or None where the quantization or error function is the caller's own."""
        # A subclass with candidates of its own runs in ModelOpt's loop.
        own = type(self)._generate_candidates is not mse.MseCalibrator._generate_candidates
        if own or self._error_func is not None or self._initial_amax is None or not is_native(x):
            return None
        format_, global_amax = _built_in_format(_quantizer_of(self._quant_func))
        if format_ is None:
            return None
        return nvfp4cal.MseCalibrator(
            self._initial_amax.float(),
            axis=self._axis,
            step_size=self._step_size,
            start_multiplier=self._start_multiplier,
            stop_multiplier=self._stop_multiplier,
            quant_func=format_,
            global_amax=global_amax,
        )


class NVFP4MSECalibrator(mse.NVFP4MSECalibrator, MseCalibrator):
    """ModelOpt's block scale sweep; all 126 scales are searched by the native library, by squared error or by a local Hessian.

    As on a GPU, ``quant_func`` is not called and a ``hessian`` wins over an ``error_func``. MODELOPT_NVFP4_TRITON_SWEEP=0 brings back the reference sweep.
    A weight with NaN or infinity raises nvfp4cal.NotFiniteError.
    """

    @torch.no_grad()
    def collect(self, x: torch.Tensor):
        """Searches x, [n_blocks, block], now."""
        if self._best_amax is not None or not self._sweeps_natively(x):
            return super().collect(x)
        try:
            best = self._sweep(x.detach())
        except nvfp4cal.UnsupportedError:
            return super().collect(x)
        self._best_amax = best.reshape(self._initial_amax.shape).to(dtype=torch.float32)
        return None

    def _sweep(self, x: torch.Tensor) -> torch.Tensor:
        if self._hessian is None:
            return nvfp4cal.nvfp4_fp8_scale_sweep(x, self._global_amax, block_size=x.shape[1])
        return nvfp4cal.nvfp4_fp8_scale_sweep_hessian(x, self._global_amax, self._hessian, block_size=x.shape[1])

    def _sweeps_natively(self, x: torch.Tensor) -> bool:
        if not is_native(x) or os.environ.get("MODELOPT_NVFP4_TRITON_SWEEP", "1") == "0":
            return False
        if self._initial_amax is None or x.ndim != 2 or x.shape[0] != self._initial_amax.numel() or x.shape[1] not in (16, 32):
            return False
        quantizer = _quantizer_of(self._quant_func)
        if quantizer is not None and fp8_max_for_normalization(quantizer) != E4M3_MAX:
            return False
        if self._hessian is None:
            return self._error_func is None
        return self._hessian.shape[1:] == (x.shape[1], x.shape[1]) and x.shape[0] % self._hessian.shape[0] == 0


class NVFP4ActHeadroomCalibrator(nvfp4_act_headroom.NVFP4ActHeadroomCalibrator):
    """ModelOpt's activation headroom; blocks are counted by the native library, and counts stay exact above 2^24 blocks."""

    @torch.no_grad()
    def collect(self, x: torch.Tensor) -> None:
        """Counts the blocks of one activation. Raises AssertionError for NaN and infinity."""
        if not is_native(x) or self._block_size not in (16, 32):
            return super().collect(x)
        try:
            counter = nvfp4cal.NVFP4ActMaxCalibrator(
                block_size=self._block_size, num_bins=self._num_bins, log2_min=self._log2_min, log2_max=self._log2_max
            )
            counter.collect(x)
            (counts, _), (largest, _) = counter.state_arrays()
        except REFUSALS:
            return super().collect(x)
        largest = torch.tensor(float(largest), dtype=torch.float32, device=x.device)
        self._running_max = largest if self._running_max is None else torch.maximum(self._running_max, largest.to(self._running_max.device))
        if largest > 0:
            if self._hist is None:
                self._hist = torch.zeros(self._num_bins, dtype=torch.long, device=x.device)
            self._hist += torch.as_tensor(counts).to(self._hist.device)
        return None

    def _percentile(self, percentile: float, floor_value: float | None = None) -> float | None:
        """The parent's definition with integer counts."""
        if self._hist is None or int(self._hist.sum()) < _EXACT_IN_FLOAT32:
            return super()._percentile(percentile, floor_value)
        counts = self._hist.clone()
        if floor_value is not None and floor_value > 0:
            counts[: int(self._bin_index(torch.log2(torch.tensor(floor_value))).item())] = 0
        total = int(counts.sum())
        if total == 0:
            return None
        reached = torch.cumsum(counts, dim=0).double() >= percentile / 100.0 * total
        bin_idx = int(reached.nonzero()[0])
        return float(2.0 ** (self._log2_min + (bin_idx + 0.5) / self._num_bins * (self._log2_max - self._log2_min)))


class _LocalHessianAccumulator(model_calib._LocalHessianAccumulator):
    """ModelOpt's X^T X of a layer's inputs; activations are summed in float64 by the native library.

    The sums are read when somebody asks for them: on a device that waits. NaN and infinity raise nvfp4cal.NotFiniteError then.
    """

    _sums: nvfp4cal.HessianAccumulator | None = None
    _hessian: torch.Tensor | None = None
    _stale = False

    @property
    def hessian_per_block(self) -> torch.Tensor | None:
        """[cin / block, block, block], the sums so far; None before the first."""
        if self._stale and self._sums is not None:
            self._hessian, self._stale = self._sums.compute_hessian(), False
        return self._hessian

    @hessian_per_block.setter
    def hessian_per_block(self, value: torch.Tensor | None) -> None:
        self._hessian, self._stale = value, False

    @torch.no_grad()
    def accumulate(self, input_tensor: torch.Tensor) -> None:
        """Adds an activation [..., cin]."""
        begun_by_parent = self._sums is None and self._hessian is not None
        if not self.is_enabled or begun_by_parent or not is_native(input_tensor) or self.block_size not in (16, 32):
            return self._leave_to_parent(input_tensor)
        if self._sums is None:
            self._sums = nvfp4cal.HessianAccumulator(block_size=self.block_size)
        try:
            self._sums.collect(input_tensor.detach().reshape(-1, self.cin))
        except REFUSALS:
            return self._leave_to_parent(input_tensor)
        self._stale = True
        self.num_samples = self._sums.rows
        return None

    def _leave_to_parent(self, input_tensor: torch.Tensor) -> None:
        """Goes on from the sums so far in ModelOpt's code."""
        self.hessian_per_block, self._sums = self.hessian_per_block, None
        super().accumulate(input_tensor)

    def normalized_hessian(self) -> torch.Tensor | None:
        """The parent's; the sums end here."""
        self.hessian_per_block, self._sums = self.hessian_per_block, None
        return super().normalized_hessian()


def _quantizer_of(quant_func):
    """The TensorQuantizer behind the quantization function that model_calib makes, or None."""
    if getattr(quant_func, "func", None) is not model_calib._mse_quant_func:
        return None
    return quant_func.keywords.get("quantizer")


def _built_in_format(quantizer):
    """(quant_func, global_amax) of nvfp4cal.MseCalibrator that computes what this quantizer does, or (None, None)."""
    if type(quantizer) not in (TensorQuantizer, StaticBlockScaleQuantizer) or not quantizer.fake_quant or quantizer.backend is not None:
        return None, None
    changed_inputs = quantizer.pre_quant_scale is not None or quantizer.rotate_is_enabled or quantizer.bias_calibrator is not None
    if changed_inputs or quantizer.unsigned:
        return None, None
    if quantizer.is_nvfp4_static:
        # Without a global amax of its own (not promoted yet), or for four over six, the quantizer's own function decides.
        plain = isinstance(quantizer, StaticBlockScaleQuantizer) and not quantizer._lsq and quantizer.global_amax is not None
        if plain and fp8_max_for_normalization(quantizer) == E4M3_MAX and quantizer.block_sizes.get(-1) in (16, 32):
            return "nvfp4", quantizer.global_amax
        return None, None
    if quantizer.num_bits == (4, 3):
        return "e4m3", None
    if isinstance(quantizer.num_bits, int) and 2 <= quantizer.num_bits <= 8:
        return f"int{quantizer.num_bits}" + ("" if quantizer.narrow_range else "_full"), None
    return None, None


def apply(patches: Patches) -> None:
    """Puts the calibrators in place."""
    for ours in (MaxCalibrator, MseCalibrator, NVFP4MSECalibrator, NVFP4ActHeadroomCalibrator, _LocalHessianAccumulator):
        patches.everywhere("modelopt", ours.__bases__[0], ours)
