#!/usr/bin/env python3
"""Times the searches of the peers' packages beside those of nvfp4cal that stand for them: the same tensors, in turn, in one process.

usage: run.py [--rows 512] [--cols 1024] [--runs 3] [--threads N] [--json]

For one thread processor time counts, for all threads the wall clock. Both results are judged in float64: nvfp4cal's block scales must be the same
or leave a smaller error, else the program ends with 1. ModelOpt's sweep is its released calibrator; its quantizer has no CPU kernel, so fake
quantization is written out in torch here. qwantize has no package that is pinned: its search follows its description (qwantize_reference.py).
"""
from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
from typing import Any, Callable, List, NamedTuple

import qwantize_reference
import torch
from compressed_tensors.quantization import QuantizationArgs, fake_quantize
from llmcompressor.observers import mse as their_observers
from modelopt.torch.quantization.calib import mse as their_calibrators

import nvfp4cal

BLOCK = 16
ARGS = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": BLOCK, "scale_dtype": torch.float8_e4m3fn}


class Peer(NamedTuple):
    name: str
    theirs: Callable[[torch.Tensor], Any]
    ours: Callable[[torch.Tensor, nvfp4cal.Context], Any]
    errors: Callable[[torch.Tensor, Any], torch.Tensor]  # float64, of each block


def stored_scales(amax: torch.Tensor, global_amax: torch.Tensor) -> torch.Tensor:
    """Block scales of amaxes as a file holds them: E4M3 times the global scale."""
    return ((amax / 6) * 448 / (global_amax / 6)).clamp(max=448).to(torch.float8_e4m3fn).float() * (global_amax / 2688)


def fake_quantized(x: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """x [n, block] rounded to E2M1, ties to even."""
    scales = scales.reshape(-1, 1)
    y = (x.abs() / scales).clamp(max=6)
    step = torch.where(y < 2, 0.5, torch.where(y < 4, 1.0, 2.0))
    return (y / step).round() * step * scales * x.sign()


def sums_of_squares(difference: torch.Tensor) -> torch.Tensor:
    return difference.reshape(-1, BLOCK).double().square().sum(-1)


def modelopt_sweep(x: torch.Tensor) -> torch.Tensor:
    blocks = x.reshape(-1, BLOCK)
    amax = blocks.abs().amax(-1)
    global_amax = amax.max()
    calibrator = their_calibrators.NVFP4MSECalibrator(
        amax, global_amax, axis=0, quant_func=lambda one, candidate: fake_quantized(one, stored_scales(candidate, global_amax))
    )
    calibrator.collect(blocks)
    return calibrator.compute_amax().reshape(-1)


def sweep_errors(x: torch.Tensor, amax: torch.Tensor) -> torch.Tensor:
    blocks = x.reshape(-1, BLOCK)
    return sums_of_squares(blocks.double() - fake_quantized(blocks, stored_scales(amax.reshape(-1), blocks.abs().max())).double())


def observer_errors(x: torch.Tensor, observer: Any) -> torch.Tensor:
    """What the observer minimizes: |error|^2.4."""
    qparams = observer.get_qparams()
    decoded = fake_quantize(x, qparams["scale"].float(), qparams["zero_point"], QuantizationArgs(**ARGS), global_scale=qparams["global_scale"])
    return (decoded.double() - x.double()).abs().pow(2.4).reshape(-1, BLOCK).sum(-1)


def optimal_errors(x: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    return qwantize_reference.squared_errors(x.double().reshape(-1, BLOCK), scales.reshape(-1).double())


def peers() -> List[Peer]:
    return [
        Peer(
            "ModelOpt NVFP4MSECalibrator",
            modelopt_sweep,
            lambda x, context: nvfp4cal.nvfp4_fp8_scale_sweep(x, x.abs().max(), context=context),
            sweep_errors,
        ),
        Peer(
            "llm-compressor memoryless_mse",
            lambda x: their_observers.MemorylessMSEObserver(base_name="weight", args=QuantizationArgs(**ARGS))(x),
            lambda x, context: nvfp4cal.MemorylessMSEObserver("weight", args=QuantizationArgs(**ARGS), context=context)(x),
            observer_errors,
        ),
        Peer(
            "qwantize nvfp4_optimal",
            lambda x: qwantize_reference.optimal_scales(x.reshape(-1, BLOCK)),
            lambda x, context: nvfp4cal.nvfp4_optimal(x.reshape(-1, BLOCK), context=context)[0],
            optimal_errors,
        ),
    ]


def seconds(call: Callable[[], Any], clock: Callable[[], float], runs: int) -> tuple[float, Any]:
    """The least of some runs, each long enough for the clock."""
    best, result = float("inf"), None
    for _ in range(runs):
        count, begin = 0, clock()
        while count == 0 or clock() - begin < 0.02:
            result = call()
            count += 1
        best = min(best, (clock() - begin) / count)
    return best, result


def compare(peer: Peer, x: torch.Tensor, threads: int, runs: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    context = nvfp4cal.Context(threads=threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    theirs, their_result = seconds(lambda: peer.theirs(x), clock, runs)
    ours, our_result = seconds(lambda: peer.ours(x, context), clock, runs)
    their_errors, our_errors = (peer.errors(x, result) for result in (their_result, our_result))
    # Sums of float32 may order two scales that leave the same error: such blocks count as equal.
    worse = our_errors > their_errors * (1 + 1e-5) + 1e-12
    return {
        "peer": peer.name, "threads": threads, "theirs_mels": x.numel() / theirs / 1e6, "ours_mels": x.numel() / ours / 1e6,
        "speedup": theirs / ours, "error_ratio": (our_errors.sum() / their_errors.sum()).item(),
        "better": int((our_errors < their_errors * (1 - 1e-5)).sum()), "worse": int(worse.sum()), "blocks": len(our_errors),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--cols", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="(default: 1, then all)")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    x = torch.randn(options.rows, options.cols, generator=torch.Generator().manual_seed(0))
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("nvidia-modelopt", "llmcompressor", "torch")]
    if not options.json:
        print(f"{nvfp4cal.build_info()}; {', '.join(versions)}; {options.rows} x {options.cols} float32, normal, best of {options.runs}")
        print(f"{'search':30} threads  theirs Mel/s  nvfp4cal Mel/s  speed-up  error  blocks better, worse")
    failed = False
    for threads in [options.threads] if options.threads else sorted({1, os.cpu_count() or 1}):
        for peer in peers():
            row = compare(peer, x, threads, options.runs)
            failed = failed or row["worse"] > 0
            if options.json:
                print(json.dumps(row))
                continue
            print(
                f"{row['peer']:30} {row['threads']:7} {row['theirs_mels']:13.3f} {row['ours_mels']:15.1f} {row['speedup']:9.0f} {row['error_ratio']:6.4f}"
                f"  {row['better']}, {row['worse']} of {row['blocks']}"
            )
    if failed:
        print("run.py: a peer's block scale leaves a smaller error than nvfp4cal's", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
