"""ModelOpt's NVFP4 recipes on a CPU.

    import nvfp4cal.integrations.modelopt
    nvfp4cal.integrations.modelopt.install()
    mtq.quantize(model, mtq.NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG, forward_loop)

``install()`` puts nvfp4cal's calibrators where ModelOpt looks for its own and supplies the NVFP4 fake quantization that it has for GPUs only.
CUDA tensors do where nvfp4cal's CUDA module is present, and go through ModelOpt's code as before where it is not. docs/integrations.md has the details.
"""
from __future__ import annotations

from ._patches import Integration, Patches

__all__ = ["install", "installed", "uninstall"]


def _apply(patches: Patches) -> None:
    from . import _modelopt_calibrators, _modelopt_export, _modelopt_functions

    _modelopt_functions.check()
    for part in (_modelopt_functions, _modelopt_export, _modelopt_calibrators):
        part.apply(patches)


_integration = Integration("nvidia-modelopt", "0.47", _apply)


def install() -> tuple[str, ...]:
    """Puts nvfp4cal under ModelOpt; a second call changes nothing.

    Returns one line for each thing that was replaced. Nothing is replaced where it raises: ImportError without modelopt, RuntimeError for a version of
    it, or of torch, that is not supported. Not to be called while another thread quantizes.
    """
    return _integration.install()


def uninstall() -> None:
    """Puts ModelOpt's own back, exactly. Without an install(): nothing. Calibrators made in between stay usable."""
    _integration.uninstall()


def installed() -> bool:
    """Whether install() is in effect."""
    return _integration.installed()
