"""MiniLM: its texts as batches, Hessians of every layer's inputs, and what is measured of quantized weights."""
from __future__ import annotations

import contextlib
import pathlib
import time
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import torch
import transformers

import nvfp4cal

MAX_TOKENS, BATCH = 128, 16
Weights = Dict[str, torch.Tensor]


class MiniLM:
    """The float32 model, its 36 linear layers in execution order, and those that share an input.

    Attributes:
        layers: name -> torch.nn.Linear.
        groups: names that share one input, in execution order.
        weights: name -> the float32 weight, a copy.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = load(folder)
        self.layers: Dict[str, torch.nn.Linear] = {}
        self.groups: List[List[str]] = []
        for number in range(len(self.model.encoder.layer)):
            block = f"encoder.layer.{number}."
            members = ["attention.self.query", "attention.self.key", "attention.self.value"]
            self.groups.append([block + name for name in members])
            self.groups += [[block + name] for name in ("attention.output.dense", "intermediate.dense", "output.dense")]
        for name in (name for group in self.groups for name in group):
            self.layers[name] = self.model.get_submodule(name)
        self.weights: Weights = {name: layer.weight.detach().clone() for name, layer in self.layers.items()}

    def batches(self, texts: List[str]) -> List[Dict[str, torch.Tensor]]:
        """Token ids of texts, those of one length together: nothing is padded."""
        by_length: Dict[int, List[List[int]]] = {}
        for text in texts:
            ids = self.tokenizer(text, truncation=True, max_length=MAX_TOKENS)["input_ids"]
            by_length.setdefault(len(ids), []).append(ids)
        found = []
        for length in sorted(by_length):
            rows = by_length[length]
            for start in range(0, len(rows), BATCH):
                ids = torch.tensor(rows[start : start + BATCH])
                found.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        return found

    @contextlib.contextmanager
    def with_weights(self, weights: Weights) -> Iterator[None]:
        for name, layer in self.layers.items():
            layer.weight.data = weights[name]
        try:
            yield
        finally:
            for name, layer in self.layers.items():
                layer.weight.data = self.weights[name]

    @contextlib.contextmanager
    def with_fp4_inputs(self, amaxes: Dict[str, float]) -> Iterator[None]:
        """Inputs of all layers quantized: block scales from the data, a static global scale [W4A4]."""

        def quantized(name: str) -> Any:
            return lambda layer, args: (nvfp4cal.fake_quantize(args[0], global_amax=amaxes[name]), *args[1:])

        hooks = [layer.register_forward_pre_hook(quantized(name)) for name, layer in self.layers.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def embed(self, batches: List[Dict[str, torch.Tensor]]) -> torch.Tensor:
        """float64 [texts, hidden]: means over tokens, of length one."""
        rows = [self.model(**batch).last_hidden_state.mean(1) for batch in batches]
        return torch.nn.functional.normalize(torch.cat(rows).double())

    @torch.no_grad()
    def statistics(self, batches: List[Dict[str, torch.Tensor]]) -> Tuple[Dict[str, torch.Tensor], Dict[str, float], float]:
        """X^T X (float32 [cols, cols], float64 sums) of each group's first layer, each layer's input amax, and the CPU seconds that took."""
        sums = {group[0]: nvfp4cal.HessianAccumulator("full") for group in self.groups}
        amaxes = {group[0]: 0.0 for group in self.groups}

        def collect(name: str) -> Any:
            def hook(layer: Any, args: Any) -> None:
                sums[name].collect(args[0].flatten(0, -2))
                amaxes[name] = max(amaxes[name], float(args[0].abs().max()))

            return hook

        start = time.process_time()
        hooks = [self.layers[name].register_forward_pre_hook(collect(name)) for name in sums]
        for batch in batches:
            self.model(**batch)
        for hook in hooks:
            hook.remove()
        every = {name: amaxes[group[0]] for group in self.groups for name in group}
        return {name: one.compute_hessian() for name, one in sums.items()}, every, time.process_time() - start

    def errors(self, weights: Weights, hessians: Dict[str, torch.Tensor]) -> Tuple[float, float]:
        """Means over the layers of ||Wq - W|| / ||W|| and of ||X (Wq - W)^T||^2 / ||X W^T||^2, X^T X being the Hessian given."""
        by_weight, by_output = [], []
        for group in self.groups:
            h = hessians[group[0]].double()
            for name in group:
                w = self.weights[name].double()
                d = weights[name].double() - w
                by_weight.append(float(d.norm() / w.norm()))
                by_output.append(float(((d @ h) * d).sum() / ((w @ h) * w).sum()))
        return float(np.mean(by_weight)), float(np.mean(by_output))


def load(folder: pathlib.Path) -> Any:
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False).eval()


def cosines(embedded: torch.Tensor, reference: torch.Tensor) -> Tuple[float, float]:
    """Mean of the cosines, and one minus their first percentile."""
    cosine = (embedded * reference).sum(1).numpy()
    return float(cosine.mean()), float(1 - np.percentile(cosine, 1))
