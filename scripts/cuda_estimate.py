#!/usr/bin/env python3
"""How many instructions an element takes in the kernels that memory should bound, and the share of a device copy's bandwidth that this allows. Nothing is
measured: kernels are compiled for each architecture and disassembled, and the shortest way through the instructions that passes the memory operations of
a thread is counted, beside those among them that issue at half the rate (comparisons, logic, shifts, integer sums; for 8.0 the larger one of their number and
that of multiplications and sums, which have half the rate there). So shares are upper bounds.

usage: cuda_estimate.py nvcc nvdisasm [part of a kernel's name ..]

nvdisasm comes with a CUDA toolkit, or from PyPI (nvidia-cuda-nvdisasm). A device of each architecture is assumed, see DEVICES.
"""
import concurrent.futures
import heapq
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Architecture: name, processors, GHz, float64 operations a cycle of a processor, TB/s of a copy, bytes read and written (nine tenths of the memory's rate).
# A processor issues 128 lane instructions a cycle.
DEVICES = {
    "80": ("A100", 108, 1.41, 32, 1.8),
    "90": ("H200", 132, 1.755, 64, 4.3),
    "100": ("B200", 148, 1.86, 64, 6.9),
    "120": ("RTX 5090", 170, 2.41, 2, 1.6),
}
HALF_RATE = re.compile(r"(?:@!?U?P\d+ )?(?:LOP3|PLOP3|PRMT|SHF|LEA|IADD3|VIADD|IABS|ISETP|FSETP|FMNMX|VIMNMX|IMNMX|V?HMNMX2?|HSETP2|HSET2|SEL|FSEL|F2FP|I2FP|SGXT|BMSK|MOV)\b")
FLOAT64 = re.compile(r"(?:@!?U?P\d+ )?(?:DADD|DMUL|DFMA|DSETP)\b")
MULTIPLIES = re.compile(r"(?:@!?U?P\d+ )?(?:FFMA|FADD|FMUL|IMAD|HFMA2|HADD2|HMUL2)\b")
CALL = 200  # what a call of a subroutine counts: slow paths are not on the shortest way

F32, BF16, F16 = "Dtype.*?73730", "Dtype.*?69636", "Dtype.*?69634"


def float_packed(kernel, dtype):
    return rf"{kernel}INS0_12PackedReaderILNS_5{dtype}E"


LOAD, PACKED, BYTE, WORD, PAIR, WIDE = r"LDG\.E\.128", r"LDG\.E\.64", r"STG\.E\.U8", r"STG\.E (?:desc)?\[", r"STG\.E\.64", r"STG\.E\.128"
LARGEST, LARGEST_OF_PAIRS = [r"\bFMNMX"] * 7, [r"HMNMX"] * 4  # of a block's magnitudes, two at a time or three
HALVES = {BF16: [r"F2FP\.BF16"] * 8 + [WIDE], F16: [r"F2FP\.(?:F16|PACK)"] * 8 + [WIDE]}  # pairs of 16 elements, stored
CODE = r"FFMA .*, 1048595"  # of the scale, where the block is not all zero


def quantize(loads, stores):
    return [LOAD] * loads + (LARGEST if loads == 4 else LARGEST_OF_PAIRS) + [CODE] + stores


def of_floats(name, source, kernel, cases):
    """Cases for one kernel a dtype: dtype -> what a thread must pass, elements, bytes."""
    names = {F32: "float32", BF16: "bfloat16", F16: "float16"}
    return [(f"{name}, {names[dtype]}", source, kernel(dtype), *case) for dtype, case in cases.items()]


# Name, source, kernel, what a thread must pass in this order, elements of a thread, bytes of an element.
CASES = [
    *of_floats("amax of a tensor", "amax.cu", lambda dtype: float_packed("6RunMax", dtype),
               {F32: ([LOAD] * 8 + ["REDUX"], 32, 4), BF16: ([LOAD] * 4 + ["REDUX"], 32, 2), F16: ([LOAD] * 4 + ["REDUX"], 32, 2)}),
    *of_floats("amaxes of blocks of 16", "amax.cu", lambda dtype: float_packed("8BlockMax", dtype),
               {F32: ([LOAD] * 4 + [WORD], 16, 4 + 8 / 16), BF16: ([LOAD] * 2 + [WORD], 16, 2 + 8 / 16), F16: ([LOAD] * 2 + [WORD], 16, 2 + 8 / 16)}),
    *of_floats("quantize", "quantize.cu", lambda dtype: float_packed("8Quantize", dtype) + ".*NibbleWriterILi16E",
               {F32: (quantize(4, [BYTE, PAIR]), 16, 4.5625), BF16: (quantize(2, [BYTE, PAIR]), 16, 2.5625), F16: (quantize(2, [BYTE, PAIR]), 16, 2.5625)}),
    *of_floats("fake quantize", "quantize.cu", lambda dtype: float_packed("8Quantize", dtype) + ".*DecodedWriterILi16E",
               {F32: (quantize(4, [WIDE] * 4), 16, 8), BF16: (quantize(2, HALVES[BF16]), 16, 4), F16: (quantize(2, HALVES[F16]), 16, 4)}),
    *of_floats("dequantize", "quantize.cu", lambda dtype: "10Dequantize",
               {F32: ([PACKED] + [WIDE] * 4, 16, 4.5625), BF16: ([PACKED] + HALVES[BF16], 16, 2.5625), F16: ([PACKED] + HALVES[F16], 16, 2.5625)}),
    *of_floats("histogram of block amaxes", "histogram.cu", lambda dtype: float_packed("9Histogram", dtype),
               {F32: ([LOAD] * 64 + ["RED|ATOM"], 256, 4), BF16: ([LOAD] * 32 + ["RED|ATOM"], 256, 2), F16: ([LOAD] * 32 + ["RED|ATOM"], 256, 2)}),
    ("Hessian of blocks, bfloat16", "hessian.cu", "13OuterProducts", ["STS"] * 4 + ["DADD"] * 128, 4, 2),
    ("losses of 8 multipliers, INT8, squared, float32", "losses.cu", r"6LossesINS_3num12IntQuantizerENS0_12SquaredError", ["DADD"] * 256, 16, 4),
]


class Kernel:
    """Instructions with their successors."""

    INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
    LABEL = re.compile(r"^(\.L_x_\d+):")

    def __init__(self, text):
        self.text, labels, waiting = [], {}, []
        for line in text.splitlines():
            label, instruction = self.LABEL.match(line), self.INSTRUCTION.match(line)
            if label:
                waiting.append(label[1])
            elif instruction:
                for name in waiting:
                    labels[name] = len(self.text)
                waiting = []
                self.text.append(instruction[2])
        self.next = [self.successors(i, labels) for i in range(len(self.text))]

    def successors(self, i, labels):
        text = self.text[i]
        predicated = text.startswith("@") and not text.startswith("@PT")
        target = re.search(r"\b(?:BRA|CALL)(?:\.\S+)?\s+(?:\S+,\s*)*`\((\.L_x_\d+)\)", text)
        if re.search(r"\bEXIT\b", text):
            return [i + 1] if predicated else []
        if re.search(r"\bRET\b", text):
            return []
        if target:
            uniform = re.search(r"BRA(?:\.\S+)?\s+U?!?U?P\d|BRA\.DIV", text)
            return [labels[target[1]]] + ([i + 1] if predicated or uniform else [])
        return [i + 1] if i + 1 < len(self.text) else []

    def shortest(self, stages):
        """Instructions of the shortest way from the first one to an exit that passes what the stages match, in their order; None if there is none."""
        patterns = [re.compile(stage) for stage in stages]
        heap, seen, before = [(0, 0, 0)], set(), {}
        while heap:
            cost, i, stage = heapq.heappop(heap)
            if (i, stage) in seen:
                continue
            seen.add((i, stage))
            passed = stage + (stage < len(patterns) and bool(patterns[stage].search(self.text[i])))
            cost += CALL if re.search(r"\bCALL\b.*\$", self.text[i]) else 1
            if passed == len(patterns) and re.search(r"\bEXIT\b", self.text[i]):
                self.way = [self.text[i]]
                at = (i, stage)
                while at in before:
                    at = before[at]
                    self.way.append(self.text[at[0]])
                self.way.reverse()
                return cost
            for other in self.next[i]:
                if (other, passed) not in seen:
                    if (other, passed) not in before:
                        before[other, passed] = (i, stage)
                    heapq.heappush(heap, (cost, other, passed))
        return None


    def counted(self, what):
        return sum(bool(what.match(text)) for text in self.way)


def kernels_of(nvcc, nvdisasm, source, architecture):
    with tempfile.TemporaryDirectory() as folder:
        cubin = pathlib.Path(folder) / "out.cubin"
        subprocess.run([nvcc, "-std=c++20", "-O3", "-fmad=false", f"-arch=sm_{architecture}", f"-I{ROOT}", f"-I{ROOT / 'src'}", "-cubin", "-o", str(cubin),
                        str(ROOT / "kernels" / source)], check=True)
        text = subprocess.run([nvdisasm, "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    return {part.split(",", 1)[0].strip('"'): Kernel(part) for part in re.split(r"\n\s*\.section\s+\.text\.", text)[1:]}


# "Instructions an element (those of half the rate): the share of the copy".
def estimate(case, kernels, architecture):
    name, _, pattern, stages, elements, size = case
    found = [kernel for kernel_name, kernel in kernels.items() if re.search(pattern, kernel_name)]
    counts = [kernel.shortest(stages) for kernel in found]
    if len(counts) != 1 or counts[0] is None:
        sys.exit(f"{name}: {len(found)} kernels for {architecture}, no way through {stages}")
    _, processors, clock, doubles, copy = DEVICES[architecture]
    slow = max(found[0].counted(HALF_RATE), found[0].counted(MULTIPLIES) if architecture == "80" else 0)
    each, half_rate = counts[0] / elements, slow / elements
    cycles = max(each / 128, half_rate / 64, found[0].counted(FLOAT64) / elements / doubles)
    share = min(1.0, processors * clock * 1e9 / cycles * size / (copy * 1e12))
    return f"{each:.1f} ({half_rate:.1f}): {100 * share:.0f} %"


def main(arguments):
    if len(arguments) < 2:
        sys.exit(__doc__)
    nvcc, nvdisasm, *names = arguments
    cases = [case for case in CASES if not names or any(name in case[0] for name in names)]
    pairs = [(source, architecture) for source in sorted({case[1] for case in cases}) for architecture in DEVICES]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        made = dict(zip(pairs, pool.map(lambda pair: kernels_of(nvcc, nvdisasm, *pair), pairs)))
    print("| kernel | bytes an element |" + "".join(f" {int(architecture) / 10}, {device[0]} |" for architecture, device in DEVICES.items()))
    print("|---|---|" + "---|" * len(DEVICES))
    for case in cases:
        cells = "".join(f" {estimate(case, made[case[1], architecture], architecture)} |" for architecture in DEVICES)
        print(f"| {case[0]} | {case[5]:g} |{cells}")


if __name__ == "__main__":
    main(sys.argv[1:])
