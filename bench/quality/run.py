"""Quantizes all linear layers of MiniLM's encoder by each method and prints errors, cosines and seconds.

    run.py MODEL CACHE [--only WORDS] [--quick] [--threads N]

werr, oerr: means over the layers of ||Wq - W|| / ||W|| and ||X (Wq - W)^T||^2 / ||X W^T||^2, X the float model's held-out activations.
cos: mean cosine of the held-out embeddings with the float model's; tail: 1 - its first percentile. W4A4: inputs in FP4 too. s: CPU seconds; the
library's methods but the sequential one are given Hessians (their seconds are said above the table), the others run the model themselves.
"""
from __future__ import annotations

import argparse
import pathlib
import sys
import time

import torch
from data import Data
from minilm import MiniLM, Weights, cosines
from methods import every

import nvfp4cal
import peers

HEAD = "| method | werr | oerr e-3 | W4A16 cos | tail e-3 | W4A4 cos | tail e-3 | s |\n|---|---|---|---|---|---|---|---|"


def row(model: MiniLM, data: Data, name: str, weights: Weights, seconds: float, quick: bool) -> str:
    werr, oerr = model.errors(weights, data.heldout_hessians)
    if quick:
        return f"| {name} | {werr:.4f} | {oerr * 1e3:.3f} | | | | | {seconds:.1f} |"
    with model.with_weights(weights):
        cos, tail = cosines(model.embed(data.heldout), data.reference)
        with model.with_fp4_inputs(data.amaxes):
            cos4, tail4 = cosines(model.embed(data.heldout), data.reference)
    return f"| {name} | {werr:.4f} | {oerr * 1e3:.3f} | {cos:.5f} | {tail * 1e3:.2f} | {cos4:.5f} | {tail4 * 1e3:.2f} | {seconds:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("--only", default="", help="methods whose names hold one of these words, separated by commas")
    parser.add_argument("--quick", action="store_true", help="no embeddings: errors of weights and outputs, and seconds")
    parser.add_argument("--threads", type=int, default=1, help="of torch; NVFP4CAL_NUM_THREADS sets those of nvfp4cal")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = MiniLM(arguments.model)
    data = Data(model, arguments.cache)
    print(f"nvfp4cal {nvfp4cal.__version__}, torch {torch.__version__}, {arguments.threads} thread(s); {peers.versions()}")
    print(f"{data.description}; Hessians of the calibration: {data.seconds:.1f} CPU s\n\n{HEAD}", flush=True)
    failed = False
    wanted = [word for word in arguments.only.split(",") if word]
    for name, method in every() + peers.every():
        if wanted and not any(word in name for word in wanted):
            continue
        start = time.process_time()
        try:
            weights = method(model, data)
        except Exception as error:  # one method that cannot run must not hide the others
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        print(row(model, data, name, weights, time.process_time() - start, arguments.quick), flush=True)
    if not wanted:
        print(row(model, data, "float32 weights", model.weights, 0.0, arguments.quick))
    sys.exit(failed)


if __name__ == "__main__":
    main()
