"""What all methods share: texts, Hessians, the float model's embeddings. Kept in a folder, since they take longer than most methods."""
from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import torch
from minilm import MiniLM

import nvfp4cal
import texts


class Data:
    """Calibration and held-out batches, and their statistics.

    Attributes:
        calibration, heldout: batches of token ids.
        hessians, heldout_hessians: name of a group's first layer -> X^T X.
        amaxes: name of a layer -> largest magnitude of its calibration inputs.
        reference: the float model's held-out embeddings.
        seconds: CPU seconds that `hessians` took, model and sums.
        description: of the texts, one line.
    """

    def __init__(self, model: MiniLM, cache: pathlib.Path):
        names = ("calibration", "heldout")
        if not all((cache / f"{name}.txt").exists() for name in names):
            texts.write(cache)
        lines = {name: (cache / f"{name}.txt").read_text().splitlines() for name in names}
        self.calibration, self.heldout = (model.batches(lines[name]) for name in names)
        key = hashlib.sha256(repr((lines, nvfp4cal.__version__, torch.__version__)).encode()).hexdigest()[:16]
        file = cache / f"statistics-{key}.pt"  # delete it to measure the seconds anew
        if not file.exists():
            torch.save(self._measure(model), file)
        kept: Any = torch.load(file)
        self.hessians, self.amaxes, self.heldout_hessians, self.reference, self.seconds = kept
        tokens = [sum(batch["input_ids"].numel() for batch in batches) for batches in (self.calibration, self.heldout)]
        self.description = (
            f"{len(lines['calibration'])} calibration texts ({tokens[0]} tokens), {len(lines['heldout'])} held-out texts ({tokens[1]} tokens), "
            + ", ".join(f"{name} sha256 {hashlib.sha256((cache / f'{name}.txt').read_bytes()).hexdigest()[:16]}" for name in names)
        )

    def _measure(self, model: MiniLM) -> Any:
        hessians, amaxes, seconds = model.statistics(self.calibration)
        heldout, _, _ = model.statistics(self.heldout)
        return hessians, amaxes, heldout, model.embed(self.heldout), seconds
