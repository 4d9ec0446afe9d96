#!/usr/bin/env python3
"""Kernels stay in registers: compiles them for one architecture with ptxas -v and reads what it says.

usage: check_ptxas.py nvcc [architecture]      check_ptxas.py --self-test

Kernels over contiguous tensors have no spills and no stack, and at most MOST_REGISTERS. Those that divide 64-bit indices (any strides, single blocks of
threads) call a subroutine for that and may keep some values on the stack around the call.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_REGISTERS = 64
MOST_REGISTERS_OF_LOSSES = 96  # the sums and scales of 8 multipliers, float64 and two a multiplier
MOST_REGISTERS_OF_BLOCKS = 168  # a search in float64 over a block that lies on the stack
MOST_REGISTERS_OF_HESSIAN_BLOCKS = 255  # the same with a matrix
MOST_REGISTERS_OF_WIDE_BLOCK = 80  # quantizing blocks of 32, which lie in registers
MOST_REGISTERS_OF_GPTQ = 128  # 8 x 4 sums and what they are added to; 16 columns of a row and the loop over them unrolled
MOST_STACK = 128
MOST_STACK_OF_ADMM = 2560  # vectors of up to 32 float64 values, which loops that are not unrolled index
GENERAL = re.compile(r"AnyReader|6Slices|9ColumnMax|6Losses|11BlockScales|18HessianBlockScales")
MOST_OF = {"6Losses": MOST_REGISTERS_OF_LOSSES, "11BlockScales": MOST_REGISTERS_OF_BLOCKS, "18HessianBlockScales": MOST_REGISTERS_OF_HESSIAN_BLOCKS,
           "11GptqProduct": MOST_REGISTERS_OF_GPTQ, "14GptqRoundGroup": MOST_REGISTERS_OF_GPTQ, "16GptqDescendGroup": MOST_REGISTERS_OF_GPTQ,
           "15GptqSearchGroup": MOST_REGISTERS_OF_GPTQ, "ELi32EEEEEvT_": MOST_REGISTERS_OF_WIDE_BLOCK}
ADMM = re.compile(r"18HessianBlockScalesILi\d+ELb1E")
# The searches have limits of their own (docs/cuda_sweep.md).
SOURCES = ["amax.cu", "block_hessian.cu", "blocks.cu", "gptq.cu", "groups.cu", "hessian.cu", "histogram.cu", "losses.cu", "quantize.cu", "search.cu"]
KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.S,
)


def problems(text):
    found = list(KERNEL.finditer(text))
    if not found:
        return ["ptxas names no kernel"]
    bad = []
    for kernel in found:
        name, stack, registers = kernel["name"], int(kernel["stack"]), int(kernel["registers"])
        spilled = int(kernel["stores"]) + int(kernel["loads"])
        most = next((limit for part, limit in MOST_OF.items() if part in name), MOST_REGISTERS)
        if registers > most:
            bad.append(f"{name} takes {registers} registers, more than {most}")
        if GENERAL.search(name):
            most_stack = MOST_STACK_OF_ADMM if ADMM.search(name) else MOST_STACK
            if stack > most_stack:
                bad.append(f"{name} has {stack} bytes on the stack, more than {most_stack}")
        elif stack or spilled:
            bad.append(f"{name} has {stack} bytes on the stack and spills {spilled}")
    return bad


def architecture_problems(text):
    """Of cmake/cuda.cmake: a device whose own kernels are not there needs PTX that is not newer than it."""
    found = re.search(r'set\(NVFP4CAL_CUDA_ARCHITECTURES "([^"]*)"', text)
    listed = sorted((int(one.removesuffix("-real")), not one.endswith("-real")) for one in found[1].split(";")) if found else []
    if not listed:
        return ["cmake/cuda.cmake names no architectures"]
    return [f"architecture {number}, the {which}, is built without PTX" for which, (number, ptx) in (("oldest", listed[0]), ("newest", listed[-1])) if not ptx]


def compile_text(nvcc, architecture, source):
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", "-O3", "-Werror", "all-warnings", "-fmad=false", f"-arch={architecture}", "-Xptxas", "-v", f"-I{ROOT}", f"-I{ROOT / 'src'}", "-cubin",
                   "-o", str(pathlib.Path(folder) / "out.cubin"), str(ROOT / "kernels" / source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stderr + done.stdout


def self_test():
    def text(name, stack, stores, registers):
        return (f"ptxas info    : Compiling entry function '{name}' for 'sm_90'\nptxas info    : Function properties for {name}\n"
                f"    {stack} bytes stack frame, {stores} bytes spill stores, 0 bytes spill loads\n"
                f"ptxas info    : Used {registers} registers, used 0 barriers\n")

    good = text("run_Quantize_Packed", 0, 0, 40) + text("run_RunMax_AnyReader", 8, 16, 48) + text("6LossesX", 0, 0, 96) + text("18HessianBlockScalesILi32ELb1E", 1600, 0, 255)
    assert problems(good) == [], problems(good)
    bad = [text("a", 0, 4, 40), text("a", 8, 0, 40), text("a", 0, 0, 65), text("6LossesX", 0, 0, 97), text("x_AnyReader", 400, 0, 40), text("18HessianBlockScalesILi16ELb0E", 400, 0, 40), "nothing"]
    for one in bad:
        assert problems(one), one
    cmake = 'set(NVFP4CAL_CUDA_ARCHITECTURES "{}" CACHE STRING "")'
    assert architecture_problems(cmake.format("80;90-real;120")) == [] == architecture_problems(cmake.format("90"))
    for one in ("80-real;120", "80;120-real", "90-real"):
        assert architecture_problems(cmake.format(one)), one
    print(f"{len(bad) + 6} self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    architecture = arguments[1] if len(arguments) > 1 else "sm_90"
    bad = architecture_problems((ROOT / "cmake" / "cuda.cmake").read_text(encoding="utf-8"))
    bad += [problem for source in SOURCES for problem in problems(compile_text(arguments[0], architecture, source))]
    if bad:
        sys.exit("\n".join(bad))
    print(f"kernels stay in registers on {architecture}")


if __name__ == "__main__":
    main(sys.argv[1:])
