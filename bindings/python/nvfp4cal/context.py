"""Threads, CPU target, versions."""

from __future__ import annotations

from typing import Any, Callable, List

from . import _native

__all__ = ["Context", "cpu_target", "cpu_targets", "cuda_devices", "library_version", "version_number", "abi_version", "build_info", "status_string"]


class Context:
    """How work is done: threads, the caller's own thread pool, CPU target. Results do not depend on it.

    Args:
        threads: 1 .. 1024 threads including the caller's; 0: NVFP4CAL_NUM_THREADS, else all cores.
        cpu_target: one of cpu_targets(); None: the best one.
        runner: ``runner(task, n)`` calls ``task(i)`` once for each i in 0 .. n - 1, in any order and on any threads, and returns when all of
            them have returned, e.g. ``lambda task, n: list(pool.map(task, range(n)))``. None: the library's own threads.

    A context may be used by several threads and objects at once once it is set up; objects keep what they need of it.
    """

    def __init__(self, threads: int = 0, cpu_target: str | None = None, runner: Callable[[Callable[[int], None], int], Any] | None = None):
        self._handle = _native.Context()
        # Objects that use the context copy what it has and hold the context: no runner that one of them may call is freed.
        self._runners: List[Any] = []
        if threads:
            self.set_threads(threads)
        if cpu_target is not None:
            self.set_cpu_target(cpu_target)
        if runner is not None:
            self.set_runner(runner)

    def set_threads(self, threads: int) -> None:
        """Raises: InvalidArgumentError."""
        self._handle.set_threads(threads)

    def set_cpu_target(self, name: str | None) -> None:
        """Raises: InvalidArgumentError for a target that this machine or build has not."""
        self._handle.set_cpu_target(name)

    def set_runner(self, runner: Callable[[Callable[[int], None], int], Any] | None) -> None:
        """An exception of the runner is raised by the call whose work it was given."""
        if runner is not None and not callable(runner):
            raise TypeError(f"runner is not callable but {type(runner).__name__}")
        self._runners.append(runner)
        self._handle.set_runner(runner)

    @property
    def threads(self) -> int:
        """The number of threads that work will use."""
        return int(_native.Context.threads(self._handle))

    def __reduce__(self) -> Any:
        raise TypeError("a context belongs to its process and is not pickled")


def native(context: Context | None) -> Any:
    if context is None:
        return None
    if not isinstance(context, Context):
        raise TypeError(f"context is no Context but {type(context).__name__}")
    return context._handle


def cpu_target() -> str:
    """The best CPU target of this machine, or what NVFP4CAL_CPU_TARGET names: "avx512", "avx2", "sse4", "neon", "scalar"."""
    return str(_native.cpu_target())


def cpu_targets() -> List[str]:
    """All targets that this build has and this machine runs, best first."""
    return str(_native.cpu_targets()).split(",")


def cuda_devices() -> int:
    """The number of CUDA devices that tensors can lie on, at least 1. Loads the CUDA module.

    Raises: CudaUnavailableError, BackendVersionError.
    """
    return int(_native.cuda_available())


def library_version() -> str:
    """Version of the loaded library, "0.1.0"."""
    return str(_native.version())


def version_number() -> int:
    """The same as a number, major * 10000 + minor * 100 + patch."""
    return int(_native.version_number())


def abi_version() -> int:
    """Number of the binary interface."""
    return int(_native.abi_version())


def build_info() -> str:
    """One line for bug reports: version, compiler, build type, CPU targets."""
    return str(_native.build_info())


def status_string(status: int) -> str:
    """Short name of a status of the C ABI (``Error.status``), "invalid argument"; "unknown status" for others."""
    return str(_native.status_string(status))
