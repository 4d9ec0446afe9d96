"""ModelOpt's NVFP4 recipes on a CPU.

    import nvfp4cal.integrations.modelopt
    nvfp4cal.integrations.modelopt.install()
    mtq.quantize(model, mtq.NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG, forward_loop)

``install()`` puts nvfp4cal's calibrators where ModelOpt looks for its own and supplies the NVFP4 fake quantization that it has for GPUs only.
CUDA tensors go through ModelOpt's code as before. docs/integrations.md has the details.
"""
from __future__ import annotations

import importlib.metadata

from ._patches import Patches, lock

__all__ = ["install", "installed", "uninstall"]

SUPPORTED = "0.47"
_patches = Patches()


def _check_version() -> None:
    try:
        version = importlib.metadata.version("nvidia-modelopt")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(f"nvidia-modelopt is not installed: pip install 'nvidia-modelopt=={SUPPORTED}.*'") from None
    if version.split(".")[:2] != SUPPORTED.split("."):
        raise RuntimeError(f"nvidia-modelopt {version} is installed, {SUPPORTED} is supported")


def install() -> tuple[str, ...]:
    """Puts nvfp4cal under ModelOpt; a second call changes nothing.

    Returns one line for each thing that was replaced. Nothing is replaced where it raises: ImportError without modelopt, RuntimeError for a version of
    it, or of torch, that is not supported. Not to be called while another thread quantizes.
    """
    with lock:
        if not _patches:
            _check_version()
            from . import _modelopt_calibrators, _modelopt_export, _modelopt_functions

            _modelopt_functions.check()
            try:
                for part in (_modelopt_functions, _modelopt_export, _modelopt_calibrators):
                    part.apply(_patches)
            except BaseException:
                _patches.undo()
                raise
        return tuple(_patches.done)


def uninstall() -> None:
    """Puts ModelOpt's own back, exactly. Without an install(): nothing. Calibrators made in between stay usable."""
    with lock:
        _patches.undo()


def installed() -> bool:
    """Whether install() is in effect."""
    return bool(_patches)
