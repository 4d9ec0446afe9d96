"""llm-compressor's MSE observers, searched by nvfp4cal on the CPU.

    import nvfp4cal.integrations.llmcompressor
    nvfp4cal.integrations.llmcompressor.install()
    oneshot(model=model, recipe=...)        # with observer "mse" or "memoryless_mse"

``install()`` registers nvfp4cal's observers under these names and ``nvfp4_expanded_mse``. Observers that exist already, and tensors on a GPU, keep llm-compressor's code.
docs/integrations.md has the details.
"""
from __future__ import annotations

import importlib.metadata

from ._patches import Patches, lock

__all__ = ["install", "installed", "uninstall"]

SUPPORTED = "0.14"
_patches = Patches()


def _check_version() -> None:
    try:
        version = importlib.metadata.version("llmcompressor")
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(f"llmcompressor is not installed: pip install 'llmcompressor=={SUPPORTED}.*'") from None
    if version.split(".")[:2] != SUPPORTED.split("."):
        raise RuntimeError(f"llmcompressor {version} is installed, {SUPPORTED} is supported")


def _register(name: str, observer: type) -> None:
    from compressed_tensors.registry import registry
    from llmcompressor.observers import Observer

    names = registry._REGISTRY[Observer]
    key = registry.standardize_lookup_name(name)
    original = names[key]
    names[key] = observer
    _patches.add(f"observer {name!r}: {observer.__module__}.{observer.__qualname__}", lambda: names.__setitem__(key, original))


def install() -> tuple[str, ...]:
    """Registers nvfp4cal's observers as ``mse``, ``memoryless_mse`` and ``nvfp4_expanded_mse``; a second call changes nothing.

    Returns one line for each thing that was replaced. Nothing is replaced where it raises: ImportError without llm-compressor, RuntimeError for a version
    of it that is not supported.
    """
    with lock:
        if not _patches:
            _check_version()
            from . import _llmcompressor_observers as ours

            try:
                _register("memoryless_mse", ours.MemorylessMSEObserver)
                _register("mse", ours.MovingAverageMSEObserver)
                _register("nvfp4_expanded_mse", ours.NVFP4ExpandedMSEObserver)
            except BaseException:
                _patches.undo()
                raise
        return tuple(_patches.done)


def uninstall() -> None:
    """Puts llm-compressor's observers back, exactly. Without an install(): nothing. Observers made in between stay usable."""
    with lock:
        _patches.undo()


def installed() -> bool:
    """Whether install() is in effect."""
    return bool(_patches)
