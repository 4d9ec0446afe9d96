"""A folder of safetensors in, an NVFP4 folder out."""

from __future__ import annotations

import json
import os
import weakref
from typing import Any, Callable, Iterable

from . import _native
from ._errors import InvalidArgumentError
from ._handle import _Guard
from ._options import CHECKPOINT_METHODS, EFFORTS, FORMATS, choose
from .context import Context, native

__all__ = ["Checkpoint", "quantize_checkpoint"]

_running: "weakref.WeakSet[Checkpoint]" = weakref.WeakSet()


class Checkpoint:
    """A job that turns a model folder into an NVFP4 folder: weights (W4A16), or with given input scales activations too (W4A4).

    Args:
        method: "mse" (the best of all 126 codes), "max", "four-over-six", or "gptq": as GPTQ() for layers with a Hessian, as "mse" for the others.
        format: "modelopt" or "compressed-tensors" (nvfp4-pack-quantized).
        include: quantize only the layers that one of these patterns matches (`*`, `?`, `{a,b}` over full names); one name or many.
        exclude: copy the layers that these patterns match.
        fuse_groups: layers that a pattern matches, and whose names differ in the last part alone, share one global scale.
        input_scale: quantize activations too, with this scale (amax / 2688) in the layers that input_scales does not name; 1.0 needs no data.
        input_scales: a JSON file, module -> scale.
        hessians: of "gptq", which needs it: a folder of files "<module>.hessian", HessianAccumulator("full").export_state() of the module's inputs
            (links for modules behind one input).
        effort, damping: of "gptq", see GPTQ.
        dry_run: report what would be done and the sizes, write nothing.
        measure_error: measure the squared error of what is written, for the report.
        detail: also measure what the error of method "max" would be, and count which block scales were chosen.
        progress: ``progress(done, total, name)``, bytes of tensor data and the tensor at hand, on the thread that called run(). An exception
            stops the run and is raised by run().
        context: threads and CPU target.
    C: nvfp4cal_checkpoint.
    """

    def __init__(
        self, method: str = "mse", *, format: str = "modelopt", include: str | Iterable[str] = (), exclude: str | Iterable[str] = (),
        fuse_groups: str | Iterable[str] = (), input_scale: float | None = None, input_scales: str | os.PathLike[str] | None = None,
        hessians: str | os.PathLike[str] | None = None, effort: str = "default", damping: float = 0.02, dry_run: bool = False,
        measure_error: bool = True, detail: bool = False, progress: Callable[[int, int, str], Any] | None = None,
        context: Context | None = None,
    ):  # fmt: skip
        self._handle = _native.Checkpoint()
        self._guard = _Guard()
        self._context = context
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is not callable but {type(progress).__name__}")
        # The native module borrows it.
        self._progress = progress
        self._handle.set_method(choose("method", method, CHECKPOINT_METHODS))
        self._handle.set_format(choose("format", format, FORMATS))
        for add, patterns in ((self._handle.add_include, include), (self._handle.add_exclude, exclude), (self._handle.add_fuse_group, fuse_groups)):
            for pattern in [patterns] if isinstance(patterns, str) else patterns:
                add(pattern)
        if input_scale is not None:
            self._handle.set_input_scale(input_scale)
        if input_scales is not None:
            self._handle.set_input_scales_file(_path(input_scales, "input_scales"))
        if hessians is not None:
            self._handle.set_hessians(_path(hessians, "hessians"))
        if method != "gptq" and (effort, damping) != ("default", 0.02):
            raise ValueError(f"effort and damping are of method gptq, not of {method}")
        self._handle.set_effort(choose("effort", effort, EFFORTS))
        self._handle.set_damping(damping)
        self._handle.set_dry_run(1 if dry_run else 0)
        self._handle.set_measure_error(1 if measure_error else 0)
        self._handle.set_detail(1 if detail else 0)
        self._handle.set_progress(progress)
        if context is not None:
            self._handle.set_context(native(context))

    def run(self, input: str | os.PathLike[str], output: str | os.PathLike[str]) -> dict[str, Any]:
        """Quantizes the linear layers of the model in folder `input` and writes the folder `output` (new or empty), all or nothing.

        Ctrl-C (in the main thread) and cancel() (from any thread) stop it.
        Returns: the report (docs/checkpoint.md).
        Raises: InvalidArgumentError, FileError (an OSError), CorruptError, NotFiniteError, CancelledError, KeyboardInterrupt.
        """
        return self._do(self._handle.run, _path(input, "input"), _path(output, "output"))

    def inspect(self, folder: str | os.PathLike[str]) -> dict[str, Any]:
        """Looks at a model folder, quantized (in either format) or not. Writes nothing.

        Returns: the report: layers with the range and the flaws of their scales, fused groups, configuration, sizes, and "defects": what engines stumble
            over (docs/tool.md). Flaws are no exceptions.
        Raises: as run(), CorruptError for malformed files.
        """
        return self._do(self._handle.inspect, _path(folder, "folder"))

    def verify(self, original: str | os.PathLike[str], quantized: str | os.PathLike[str]) -> dict[str, Any]:
        """Decodes every layer of a quantized model and compares it with the original; all other tensors byte by byte. Writes nothing.

        Returns: the report: "ok", the relative error of each layer and of all, what is missing, left over or different (docs/tool.md).
        Raises: as run(); CorruptError also for layers that lack a part or whose shapes do not fit.
        """
        return self._do(self._handle.verify, _path(original, "original"), _path(quantized, "quantized"))

    def convert(self, input: str | os.PathLike[str], output: str | os.PathLike[str]) -> dict[str, Any]:
        """Writes a quantized model in the other format, the one given as `format`: there and back gives the same bytes (docs/tool.md). All or nothing.

        Returns: the report. Raises: as run(); InvalidArgumentError if the model has that format already, UnsupportedError for what the other format
            cannot say, CorruptError for a model with defects (inspect).
        """
        return self._do(self._handle.convert, _path(input, "input"), _path(output, "output"))

    def _do(self, action: Callable[..., Any], *paths: str) -> dict[str, Any]:
        with self._guard:
            _running.add(self)
            try:
                action(*paths)
            finally:
                _running.discard(self)
            return dict(json.loads(self._handle.report()))

    def cancel(self) -> None:
        """Stops a run from another thread; run() raises CancelledError. Without a run: nothing."""
        self._handle.cancel()

    def report(self) -> dict[str, Any]:
        """The report of the last successful run. Raises: NoDataError before one."""
        with self._guard:
            return dict(json.loads(self._handle.report()))

    def reset(self) -> None:
        """Forgets the last run, keeps the options."""
        with self._guard:
            self._handle.reset()


def _path(path: str | os.PathLike[str], name: str) -> str:
    text = os.fspath(path)
    if not isinstance(text, (str, bytes)) or not text:
        raise InvalidArgumentError(f"{name} is empty", InvalidArgumentError.status)
    return text if isinstance(text, str) else os.fsdecode(text)


def cancel_all() -> None:
    """At interpreter exit: runs in daemon threads end in order."""
    for job in list(_running):
        job._handle.cancel()


def quantize_checkpoint(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    method: str = "mse",
    *,
    progress: Callable[[int, int, str], Any] | bool | None = None,
    format: str = "modelopt",
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    fuse_groups: str | Iterable[str] = (),
    input_scale: float | None = None,
    input_scales: str | os.PathLike[str] | None = None,
    hessians: str | os.PathLike[str] | None = None,
    effort: str = "default",
    damping: float = 0.02,
    dry_run: bool = False,
    measure_error: bool = True,
    detail: bool = False,
    context: Context | None = None,
) -> dict[str, Any]:
    """Turns a model folder with safetensors into an NVFP4 folder; see Checkpoint.

    Args:
        input: folder with model.safetensors or model.safetensors.index.json.
        output: folder that does not exist or is empty; its parent exists.
        method: "mse", "max", "four-over-six" or "gptq".
        progress: True: a bar of the package tqdm; a function: see Checkpoint; None: none.
        format, include, exclude, fuse_groups, input_scale, input_scales, hessians, effort, damping, dry_run, measure_error, detail, context: as for Checkpoint.
    Returns: the report, a dict with "totals", "tensors", "warnings", ... (docs/checkpoint.md).
    Raises: as Checkpoint.run. Ctrl-C stops the run, and no file of it is left.
    """
    options: dict[str, Any] = {
        "format": format, "include": include, "exclude": exclude, "fuse_groups": fuse_groups, "input_scale": input_scale,
        "input_scales": input_scales, "hessians": hessians, "effort": effort, "damping": damping, "dry_run": dry_run, "measure_error": measure_error,
        "detail": detail, "context": context,
    }  # fmt: skip
    if progress is not True:
        return Checkpoint(method, progress=progress or None, **options).run(input, output)
    from tqdm.auto import tqdm

    with tqdm(unit="B", unit_scale=True) as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)

        return Checkpoint(method, progress=show, **options).run(input, output)
