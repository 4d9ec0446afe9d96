"""Attributes of other packages, replaced and put back."""
from __future__ import annotations

import importlib.metadata
import sys
import threading
from typing import Any, Callable

lock = threading.RLock()
"""Held while an integration is installed or removed."""

_MISSING = object()


class Patches:
    """Replacements that are undone in reverse order. Callers hold ``lock``."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.done: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._undo)

    def add(self, description: str, undo: Callable[[], None]) -> None:
        """Notes something that the caller has replaced itself."""
        self._undo.append(undo)
        self.done.append(description)

    def set(self, owner: Any, name: str, value: Any, description: str) -> None:
        """Replaces an attribute of a module or a class. What was in its own dictionary (a descriptor too) comes back, an inherited one is uncovered."""
        original = vars(owner).get(name, _MISSING)
        setattr(owner, name, value)
        self.add(description, lambda: delattr(owner, name) if original is _MISSING else setattr(owner, name, original))

    def everywhere(self, package: str, original: Any, ours: Any) -> None:
        """Replaces a class under each name that a loaded module of the package has for it; undone in the modules loaded until then."""
        places = _swap(package, original, ours)
        self.add(f"{original.__name__} in " + ", ".join(places), lambda: _swap(package, ours, original))

    def undo(self) -> None:
        """Puts everything back, the last replacement first."""
        while self._undo:
            self._undo.pop()()
        self.done.clear()


class Integration:
    """Replacements in one release of a package: all of them or none."""

    def __init__(self, package: str, release: str, apply: Callable[[Patches], None]):
        """package: its name on PyPI. release: major.minor. apply: makes the replacements, imports the package."""
        self._package, self._release, self._apply = package, release, apply
        self._patches = Patches()

    def install(self) -> tuple[str, ...]:
        with lock:
            if not self._patches:
                self._check_version()
                try:
                    self._apply(self._patches)
                except BaseException:
                    self._patches.undo()
                    raise
            return tuple(self._patches.done)

    def uninstall(self) -> None:
        with lock:
            self._patches.undo()

    def installed(self) -> bool:
        return bool(self._patches)

    def _check_version(self) -> None:
        try:
            version = importlib.metadata.version(self._package)
        except importlib.metadata.PackageNotFoundError:
            raise ImportError(f"{self._package} is not installed: pip install '{self._package}=={self._release}.*'") from None
        if version.split(".")[:2] != self._release.split("."):
            raise RuntimeError(f"{self._package} {version} is installed, {self._release} is supported")


def _swap(package: str, old: Any, new: Any) -> list[str]:
    places = []
    for module_name, module in sorted(sys.modules.items()):
        if module is None or not (module_name == package or module_name.startswith(package + ".")):
            continue
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)
                places.append(module_name)
    return places
