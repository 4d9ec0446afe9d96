#!/usr/bin/env python3
"""How many instructions an element takes in the kernels that memory should bound, and the share of a device copy's bandwidth that this allows. Nothing is
measured: kernels are compiled for one architecture and disassembled, and the shortest way through the instructions that passes the memory operations of
a thread is counted, beside those among them that issue at half the rate (comparisons, logic, shifts, integer sums). So shares are upper bounds.

usage: cuda_estimate.py nvcc nvdisasm [part of a kernel's name ..]

nvdisasm comes with a CUDA toolkit, or from PyPI (nvidia-cuda-nvdisasm). Assumed of an H200: 132 processors that issue 128 lane instructions a cycle each
at 1.755 GHz, and a copy of 4.3 TB/s, bytes read and written.
"""
import collections
import heapq
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHITECTURE = "sm_90"
LANE_INSTRUCTIONS = 132 * 128 * 1.755e9
HALF_RATE = re.compile(r"(?:@!?U?P\d+ )?(?:LOP3|PLOP3|PRMT|SHF|LEA|IADD3|VIADD|IABS|ISETP|FSETP|FMNMX|VIMNMX|IMNMX|V?HMNMX2?|HSETP2|HSET2|SEL|FSEL|F2FP|I2FP|SGXT|BMSK|MOV)\b")
COPY = 4.3e12
CALL = 200  # what a call of a subroutine counts: slow paths are not on the shortest way

F32, BF16, F16 = "Dtype.*?73730", "Dtype.*?69636", "Dtype.*?69634"


def float_packed(kernel, dtype):
    return rf"{kernel}INS0_12PackedReaderILNS_5{dtype}E"


LOAD, BYTE, WORD, PAIR, WIDE = r"LDG\.E\.128", r"STG\.E\.U8", r"STG\.E desc", r"STG\.E\.64", r"STG\.E\.128"
LARGEST, LARGEST_OF_PAIRS = [r"\bFMNMX"] * 14, [r"HMNMX"] * 4  # of a block's magnitudes
CODE = r"FFMA .*, 1048595"  # of the scale, where the block is not all zero


def quantize(loads, stores):
    return [LOAD] * loads + (LARGEST if loads == 4 else LARGEST_OF_PAIRS) + [CODE] + stores


# Name, source, kernel, what a thread must pass in this order, elements of a thread, bytes of an element.
CASES = [
    ("amax of a tensor, bfloat16", "amax.cu", float_packed("6RunMax", BF16), [LOAD] * 4 + ["REDUX"], 32, 2),
    ("amax of a tensor, float16", "amax.cu", float_packed("6RunMax", F16), [LOAD] * 4 + ["REDUX"], 32, 2),
    ("amax of a tensor, float32", "amax.cu", float_packed("6RunMax", F32), [LOAD] * 8 + ["REDUX"], 32, 4),
    ("amaxes of blocks of 16, bfloat16", "amax.cu", float_packed("8BlockMax", BF16), [LOAD] * 2 + [WORD], 16, 2 + 8 / 16),
    ("quantize, bfloat16", "quantize.cu", float_packed("8Quantize", BF16) + ".*NibbleWriterILi16E", quantize(2, [BYTE, PAIR]), 16, 2.5625),
    ("quantize, float16", "quantize.cu", float_packed("8Quantize", F16) + ".*NibbleWriterILi16E", quantize(2, [BYTE, PAIR]), 16, 2.5625),
    ("quantize, float32", "quantize.cu", float_packed("8Quantize", F32) + ".*NibbleWriterILi16E", quantize(4, [BYTE, PAIR]), 16, 4.5625),
    ("fake quantize, bfloat16", "quantize.cu", float_packed("8Quantize", BF16) + ".*DecodedWriterILi16E", quantize(2, ["F2F.*BF16|F2FP.*BF16", WIDE] * 2), 16, 4),
    ("fake quantize, float32", "quantize.cu", float_packed("8Quantize", F32) + ".*DecodedWriterILi16E", quantize(4, [WIDE] * 4), 16, 8),
    ("dequantize, bfloat16", "quantize.cu", "10Dequantize", [r"LDG\.E\.64", "F2F.*BF16|F2FP.*BF16", WIDE, WIDE], 16, 2.5625),
    ("dequantize, float32", "quantize.cu", "10Dequantize", [r"LDG\.E\.64"] + [WIDE] * 4, 16, 4.5625),
    ("histogram of block amaxes, bfloat16", "histogram.cu", float_packed("9Histogram", BF16), [LOAD] * 32 + ["RED|ATOM"], 256, 2),
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
        target = re.search(r"\bBRA(?:\.\S+)?\s+(?:\S+,\s*)*`\((\.L_x_\d+)\)", text)
        if re.search(r"\bEXIT\b", text):
            return [i + 1] if predicated else []
        if re.search(r"\bRET\b", text):
            return []
        if target:
            uniform = re.search(r"BRA(?:\.\S+)?\s+U?!?U?P\d", text)
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
            cost += CALL if "CALL" in self.text[i] else 1
            if passed == len(patterns) and re.search(r"\bEXIT\b", self.text[i]):
                self.way = [self.text[i]]
                at = (i, stage)
                while at in before:
                    at = before[at]
                    self.way.append(self.text[at[0]])
                self.way.reverse()
                self.half_rate = sum(bool(HALF_RATE.match(text)) for text in self.way)
                return cost
            for other in self.next[i]:
                if (other, passed) not in seen:
                    if (other, passed) not in before:
                        before[other, passed] = (i, stage)
                    heapq.heappush(heap, (cost, other, passed))
        return None


def kernels_of(nvcc, nvdisasm, source):
    with tempfile.TemporaryDirectory() as folder:
        cubin = pathlib.Path(folder) / "out.cubin"
        subprocess.run([nvcc, "-std=c++20", "-O3", "-fmad=false", f"-arch={ARCHITECTURE}", f"-I{ROOT}", f"-I{ROOT / 'src'}", "-cubin", "-o", str(cubin),
                        str(ROOT / "kernels" / source)], check=True)
        text = subprocess.run([nvdisasm, "-c", str(cubin)], capture_output=True, text=True, check=True).stdout
    return {part.split(",", 1)[0].strip('"'): Kernel(part) for part in re.split(r"\n\s*\.section\s+\.text\.", text)[1:]}


def main(arguments):
    if len(arguments) < 2:
        sys.exit(__doc__)
    nvcc, nvdisasm, *names = arguments
    cases = [case for case in CASES if not names or any(name in case[0] for name in names)]
    sources = collections.OrderedDict((case[1], None) for case in cases)
    for source in sources:
        sources[source] = kernels_of(nvcc, nvdisasm, source)
    print("| kernel | instructions an element, at least | of half the rate | bytes | share of the copy roof, at most |\n|---|---|---|---|---|")
    for name, source, pattern, stages, elements, size in cases:
        found = [kernel for kernel_name, kernel in sources[source].items() if re.search(pattern, kernel_name)]
        counts = [kernel.shortest(stages) for kernel in found]
        if len(counts) != 1 or counts[0] is None:
            sys.exit(f"{name}: {len(found)} kernels, no way through {stages}")
        each, half_rate = counts[0] / elements, found[0].half_rate / elements
        share = min(1.0, LANE_INSTRUCTIONS / max(each, 2 * half_rate) * size / COPY)
        print(f"| {name} | {each:.1f} | {half_rate:.1f} | {size:g} | {100 * share:.0f} % |")


if __name__ == "__main__":
    main(sys.argv[1:])
