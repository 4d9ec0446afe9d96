"""The blocks of a model, run one at a time on what the batches bring to them. torch is imported by the caller's model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from ._errors import InvalidArgumentError, NoDataError, UnsupportedError

Taker = Callable[[Any], None]
"""Gets the input of a layer."""


class _Stop(Exception):
    """Ends a forward pass that has given what it was run for."""


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, InvalidArgumentError.status)


def _unsupported(message: str) -> UnsupportedError:
    return UnsupportedError(message, UnsupportedError.status)


def find_blocks(model: Any, name: str | None) -> Tuple[str, List[Any]]:
    """The name of the list of blocks (``model.layers``, ``encoder.layer``), and the blocks."""
    import torch

    found: List[str] = []

    def visit(module: Any, prefix: str) -> None:
        for part, child in module.named_children():
            if isinstance(child, torch.nn.ModuleList):
                if any(isinstance(one, torch.nn.Linear) for one in child.modules()):
                    found.append(prefix + part)
            else:
                visit(child, f"{prefix}{part}.")

    if name is None:
        visit(model, "")
        if len(found) != 1:
            raise _invalid(f"model has {len(found)} lists of blocks with linear layers ({', '.join(found) or 'none'}); name one with blocks=")
        name = found[0]
    try:
        blocks = model.get_submodule(name)
    except AttributeError as error:
        raise _invalid(f"blocks {name!r}: {error}") from None
    if not isinstance(blocks, torch.nn.ModuleList) or len(blocks) == 0:
        raise _invalid(f"blocks {name!r} is no ModuleList with blocks but {type(blocks).__name__}")
    return name, list(blocks)


class Call:
    """What a block is called with besides the hidden states."""

    def __init__(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]):
        self._positional = bool(args)
        self._args = args[1:]
        self._kwargs = {key: value for key, value in kwargs.items() if args or key != "hidden_states"}

    @staticmethod
    def hidden(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        return args[0] if args else kwargs.get("hidden_states")

    def run(self, block: Any, hidden: Any) -> Any:
        """The hidden states behind the block."""
        given = (hidden, *self._args) if self._positional else ()
        kwargs = self._kwargs if self._positional else {**self._kwargs, "hidden_states": hidden}
        return _first(block(*given, **kwargs))


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, (tuple, list)) else output


@contextlib.contextmanager
def quiet(model: Any) -> Iterator[None]:
    """Evaluation mode, no gradients, no cache of keys and values; everything as it was afterwards."""
    import torch

    training = [module for module in model.modules() if module.training]
    config = getattr(model, "config", None)
    cache = getattr(config, "use_cache", None)
    model.eval()
    if cache:
        config.use_cache = False  # type: ignore[union-attr]
    try:
        with torch.no_grad():
            yield
    finally:
        if cache:
            config.use_cache = cache  # type: ignore[union-attr]
        for module in training:
            module.training = True


class Inputs:
    """What the batches bring to the blocks.

    Attributes:
        hidden: the first block's hidden states, one a batch.
        calls: for each block, for each batch, what it is called with besides.
        kept: for each batch, which tokens count, bool [batch, tokens], or None for all: padding is left out by the batch's attention_mask.
    """

    def __init__(self, model: Any, blocks: Sequence[Any], batches: Sequence[Any]):
        self.hidden: List[Any] = []
        self.calls: List[List[Call]] = [[] for _ in blocks]
        self.kept: List[Any] = []
        for batch in batches:
            self._capture(model, blocks, batch)
            self.kept.append(_kept(batch, self.hidden[-1]))

    def _capture(self, model: Any, blocks: Sequence[Any], batch: Any) -> None:
        behind: List[Any] = []

        def before(number: int) -> Any:
            def hook(block: Any, args: Any, kwargs: Any) -> None:
                hidden = Call.hidden(args, kwargs)
                if number != len(behind):
                    raise _unsupported(f"block {number} runs as number {len(behind)}: blocks must run once each, in order")
                if number == 0:
                    self.hidden.append(hidden)
                elif hidden is not behind[-1]:
                    raise _unsupported(f"block {number} does not take the output of block {number - 1}")
                self.calls[number].append(Call(args, kwargs))

            return hook

        def after(block: Any, args: Any, output: Any) -> None:
            behind.append(_first(output))
            if len(behind) == len(blocks):
                raise _Stop

        hooks = [block.register_forward_pre_hook(before(number), with_kwargs=True) for number, block in enumerate(blocks)]
        hooks += [block.register_forward_hook(after) for block in blocks]
        try:
            _call(model, batch)
        except _Stop:
            return
        finally:
            for hook in hooks:
                hook.remove()
        raise _unsupported(f"a forward pass ran {len(behind)} of {len(blocks)} blocks")


def _call(model: Any, batch: Any) -> None:
    if isinstance(batch, Mapping):
        model(**batch)
    elif isinstance(batch, (tuple, list)):
        model(*batch)
    else:
        model(batch)


def _kept(batch: Any, hidden: Any) -> Any:
    mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    if mask is None or tuple(mask.shape) != tuple(hidden.shape[:2]):
        return None
    mask = mask.bool()
    return None if bool(mask.all()) else mask


def as_list(batches: Any) -> List[Any]:
    """Raises: NoDataError if there are none."""
    found = list(batches)
    if not found:
        raise NoDataError("batches is empty", NoDataError.status)
    return found


def groups_of(block: Any, prefix: str, calls: Sequence[Call], hidden: Sequence[Any]) -> Tuple[List[Dict[str, Any]], Dict[str, str]]:
    """Linear layers of a block that share an input, name -> layer, in execution order; and name -> why others cannot be calibrated.

    The first batch tells, and the next ones where layers have not been reached by it (experts).
    """
    import torch

    layers = {name: layer for name, layer in block.named_modules(prefix=prefix) if isinstance(layer, torch.nn.Linear)}
    groups: List[Dict[str, Any]] = []
    reached: Dict[str, int] = {}
    for call, states in zip(calls, hidden):
        inputs: List[Tuple[Any, Dict[str, Any]]] = []  # inputs are kept, so that no two of them have one address
        counts: Dict[str, int] = {}

        def taker(name: str) -> Any:
            def hook(layer: Any, args: Any, kwargs: Any) -> None:
                counts[name] = counts.get(name, 0) + 1
                if name in reached or counts[name] > 1:
                    return
                x = args[0] if args else kwargs["input"]
                for other, members in inputs:
                    if other is x:
                        members[name] = layer
                        return
                inputs.append((x, {name: layer}))
                groups.append(inputs[-1][1])

            return hook

        hooks = [layer.register_forward_pre_hook(taker(name), with_kwargs=True) for name, layer in layers.items()]
        try:
            call.run(block, states)
        finally:
            for hook in hooks:
                hook.remove()
        reached.update(counts)
        if len(reached) == len(layers):
            break
    refused = {name: "no activations reach it" for name in layers if name not in reached}
    refused.update((name, f"it runs {count} times in its block") for name, count in reached.items() if count > 1)
    return groups, refused


def take(block: Any, takers: Dict[Any, Taker], call: Call, hidden: Any) -> None:
    """Runs the block until all layers that are keys of `takers` have got their input, which is given to the takers."""
    waiting = set(takers)

    def hook(layer: Any, args: Any, kwargs: Any) -> None:
        takers[layer](args[0] if args else kwargs["input"])
        waiting.discard(layer)
        if not waiting:
            raise _Stop

    hooks = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in takers]
    try:
        call.run(block, hidden)
    except _Stop:
        pass
    finally:
        for one in hooks:
            one.remove()
