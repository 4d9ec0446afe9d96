"""Threads, CPU target, versions."""

from __future__ import annotations

from typing import Any, Callable, List, Tuple

from . import _native
from ._arrays import Array

__all__ = ["Context", "cpu_target", "cpu_targets", "cuda_devices", "library_version", "version_number", "abi_version", "build_info", "status_string"]


DeviceAllocator = Tuple[Callable[[int, int, int], int], Callable[[int, int, int, int], Any]]


class Context:
    """How work is done: threads, the caller's own thread pool, CPU target. Results do not depend on it.

    Args:
        threads: 1 .. 1024 threads including the caller's; 0: NVFP4CAL_NUM_THREADS, else all cores.
        cpu_target: one of cpu_targets(); None: the best one.
        device_allocator: see set_device_allocator.
        runner: ``runner(task, n)`` calls ``task(i)`` once for each i in 0 .. n - 1, in any order and on any threads, and returns when all of
            them have returned, e.g. ``lambda task, n: list(pool.map(task, range(n)))``. None: the library's own threads.

    A context may be used by several threads and objects at once once it is set up; objects keep what they need of it.
    """

    def __init__(self, threads: int = 0, cpu_target: str | None = None, runner: Callable[[Callable[[int], None], int], Any] | None = None,
                 device_allocator: DeviceAllocator | None = None):  # fmt: skip
        self._handle = _native.Context()
        # Objects that use the context copy what it has and hold the context: no runner that one of them may call is freed.
        self._runners: List[Any] = []
        if threads:
            self.set_threads(threads)
        if cpu_target is not None:
            self.set_cpu_target(cpu_target)
        if runner is not None:
            self.set_runner(runner)
        if device_allocator is not None:
            self.set_device_allocator(device_allocator)
        self._device_status: Any = None

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

    def set_device_allocator(self, allocator: DeviceAllocator | None) -> None:
        """Takes all memory of CUDA devices from the caller; None: from cudaMallocAsync.

        Args:
            allocator: ``allocate(bytes, device, stream)`` gives an address, aligned to 16 bytes, for use in the order of the stream (a
                cudaStream_t as a number, 0: the default one); ``free(address, bytes, device, stream)`` takes it back. torch's own cache:
                ``(torch.cuda.caching_allocator_alloc, lambda address, *_: torch.cuda.caching_allocator_delete(address))``.
                An exception of allocate is raised by the call that needs the memory. Both functions are kept until the process ends.
        """
        pair = isinstance(allocator, (tuple, list)) and len(allocator) == 2 and all(callable(function) for function in allocator)
        if allocator is not None and not pair:
            raise TypeError(f"a device allocator is a pair of functions, not {allocator!r}")
        self._handle.set_device_allocator(None if allocator is None else tuple(allocator))

    def set_device_status(self, status: Array | None) -> None:
        """Functions of one call on device tensors keep their first failure in `status` instead of waiting for it; None: they wait. Streams that
        are being captured in a CUDA graph need this.

        Args:
            status: int64 [4] on a CUDA device, zeros at first: element 0 becomes the status, element 1 the index. For one stream at a time.
        """
        self._handle.set_device_status(status)
        self._device_status = status

    def check_device_status(self, stream: int | None = None) -> None:
        """Waits for the stream and raises what the device status holds, which is then empty.

        Raises: what the function itself would have raised; WrongStateError without a device status.
        """
        self._handle.check_device_status(stream)

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
