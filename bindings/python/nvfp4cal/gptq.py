"""Weights to NVFP4 under a full Hessian: rounding errors make up for each other."""

from __future__ import annotations

from typing import Any

from . import _native
from ._arrays import Array, float32, in_host_memory, kind_of
from ._errors import Error, rename
from ._handle import _Guard
from ._options import EFFORTS, choose
from .calib import HessianAccumulator
from .context import Context, native
from .quantization import QuantizedTensor

__all__ = ["GPTQ", "gptq"]


class GPTQ:
    """A Hessian, factored once, for all layers that share an input (q, k and v; gate and up).

    Args:
        hessian: X^T X of the layer's input: a HessianAccumulator of layout "full" (its sums are read, not its damping and normalization), or an array,
            float32 or float64, [cols, cols]; [slices, cols, cols] for a stack of experts. cols is a multiple of 16. On a device it is copied to
            host memory, where it is factored.
        cross: X0^T X, an array of hessian's shape, where X0 are the same rows in the original model and X those behind quantized layers: weights are then
            moved to what is best for X0 w^T given X before they are quantized. None: the layer sees what it always saw.
        damping: this times the mean of the Hessian's diagonal is added to it.
        effort: "fast": blocks rounded in order, errors passed on; "default": then sweeps of coordinate descent over the codes; "max": then groups of
            eight blocks rounded anew with their scales.
        measure: whether quantize() also measures objectives(), which takes a tenth to a half more time.
        context: threads and CPU target.
    Raises: InvalidArgumentError (shapes; a Hessian that is not positive definite with its damping), NoDataError, UnsupportedError, NotFiniteError.
    One thread at a time uses an object (a second one waits). C: nvfp4cal_gptq.
    """

    def __init__(
        self,
        hessian: HessianAccumulator | Array,
        *,
        cross: Array | None = None,
        damping: float = 0.02,
        effort: str = "default",
        measure: bool = False,
        context: Context | None = None,
    ):
        self._guard = _Guard()
        self._handle = _native.Gptq()
        self._context = context
        if context is not None:
            self._handle.set_context(native(context))
        self._handle.set_damping(damping)
        self._handle.set_effort(choose("effort", effort, EFFORTS))
        self._handle.set_measure_objectives(1 if measure else 0)
        if isinstance(hessian, HessianAccumulator):
            with hessian._guard:
                self._handle.set_hessian(hessian._handle, in_host_memory(cross))
        else:
            self._handle.set_hessian_tensor(in_host_memory(hessian), in_host_memory(cross))

    def quantize(self, weights: Array, global_amax: Array | float | None = None, *, stream: int | None = None) -> QuantizedTensor:
        """Quantizes a layer's weights.

        Args:
            weights: [rows, cols], or [slices, rows, cols] for a stack of experts; float32, bfloat16, float16 or float64.
            global_amax: one value, which a fused group shares, or one per slice; None: the largest magnitude of each matrix (after the move that `cross`
                makes).
            stream: for arrays on a CUDA device, which are quantized there; None: torch's current stream. The call waits for it.
        Returns: a QuantizedTensor of weights' kind with linear scales; its dequantize() is what the weights become.
        Raises: InvalidArgumentError, UnsupportedError, NotFiniteError.
        """
        kind = kind_of(weights)
        with self._guard:
            try:
                made = self._handle.quantize(weights, float32(global_amax), kind.empty, kind.empty, kind.empty, kind.empty, None, kind.stream(stream))
            except Error as error:
                rename(error, {"x": "weights"})
                raise
        packed, scale, scale_2, amax = kind.finish(made)
        return QuantizedTensor(packed, scale, scale_2, amax, tuple(weights.shape), 16, False)

    def objectives(self) -> dict[str, float]:
        """tr(D (H + damping) D^T) of the errors D of the last quantize(), after each stage: "nearest" (rounding to nearest, for comparison), "rounding",
        "descent", "neighbourhood"; stages that did not run repeat the one before. Raises: NoDataError if nothing was measured."""
        with self._guard:
            found: dict[str, float] = self._handle.compute_objectives()
        return found


def gptq(
    weights: Array,
    hessian: HessianAccumulator | Array,
    effort: str = "default",
    damping: float = 0.02,
    global_amax: Array | float | None = None,
    cross: Array | None = None,
    *,
    context: Context | None = None,
    stream: int | None = None,
) -> QuantizedTensor:
    """Quantizes a layer's weights so that X w^T changes least, X^T X being the Hessian. For several layers behind one input make a GPTQ.

    Args, Returns, Raises: as GPTQ and GPTQ.quantize.
    """
    return GPTQ(hessian, cross=cross, damping=damping, effort=effort, context=context).quantize(weights, global_amax, stream=stream)
