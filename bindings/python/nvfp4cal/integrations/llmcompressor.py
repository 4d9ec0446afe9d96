"""llm-compressor's MSE observers, searched by nvfp4cal on the CPU.

    import nvfp4cal.integrations.llmcompressor
    nvfp4cal.integrations.llmcompressor.install()
    oneshot(model=model, recipe=...)        # with observer "mse" or "memoryless_mse"

``install()`` registers nvfp4cal's observers under these names and ``nvfp4_expanded_mse``. Observers that exist already, and tensors where the library
does not compute (on a GPU without its module), keep llm-compressor's code.
docs/integrations.md has the details.
"""
from __future__ import annotations

from ._patches import Integration, Patches

__all__ = ["install", "installed", "uninstall"]


def _register(patches: Patches, name: str, observer: type) -> None:
    from compressed_tensors.registry import registry
    from llmcompressor.observers import Observer

    names = registry._REGISTRY[Observer]
    key = registry.standardize_lookup_name(name)
    original = names[key]
    names[key] = observer
    patches.add(f"observer {name!r}: {observer.__module__}.{observer.__qualname__}", lambda: names.__setitem__(key, original))


def _apply(patches: Patches) -> None:
    from . import _llmcompressor_observers as ours

    _register(patches, "memoryless_mse", ours.MemorylessMSEObserver)
    _register(patches, "mse", ours.MovingAverageMSEObserver)
    _register(patches, "nvfp4_expanded_mse", ours.NVFP4ExpandedMSEObserver)


_integration = Integration("llmcompressor", "0.14", _apply)


def install() -> tuple[str, ...]:
    """Registers nvfp4cal's observers as ``mse``, ``memoryless_mse`` and ``nvfp4_expanded_mse``; a second call changes nothing.

    Returns one line for each thing that was replaced. Nothing is replaced where it raises: ImportError without llm-compressor, RuntimeError for a version
    of it that is not supported.
    """
    return _integration.install()


def uninstall() -> None:
    """Puts llm-compressor's observers back, exactly. Without an install(): nothing. Observers made in between stay usable."""
    _integration.uninstall()


def installed() -> bool:
    """Whether install() is in effect."""
    return _integration.installed()
