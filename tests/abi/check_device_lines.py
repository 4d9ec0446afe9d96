#!/usr/bin/env python3
"""Lines that only a device runs are in the list of docs/cuda.md: PTX, intrinsics, and branches for a device, by file and function. Nothing but them is there, and
the tests that the list names are those that scripts/gpu_check.sh runs first.

usage: check_device_lines.py        check_device_lines.py --self-test
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADING = "### Lines that only a device runs"
DEVICE = re.compile(r"__CUDA_ARCH__|\basm\b|\batomic[A-Z]\w*\(|\b__(?:sync|ballot|shfl|match|reduce|activemask|popc|clz|ffs|brev|byte_perm|dp[24]a|v[a-z]+\d?_?|ld[cg]|st[cgw]|f\w+_r[nzud])\w*\(")
FUNCTION = re.compile(r"^\s*(?:static )?(?:__global__|__device__|NVFP4CAL_HD|inline)\b(?!.*;$).*?\b(\w+)\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)? \{")
LAUNCH_BOUNDS = re.compile(r"__launch_bounds__\([^)]*\) ")
ROW = re.compile(r"^\| `([\w/.]+)` \| ([^|]*) \|.*\| ([^|]*) \|$")


def device_functions(text):
    """Names of functions with such a line."""
    found, function = set(), None
    for line in text.splitlines():
        code = re.sub(r"//.*", "", LAUNCH_BOUNDS.sub("", line))
        match = FUNCTION.match(code)
        if match:
            function = match[1]
        if DEVICE.search(code):
            found.add(function)
    return found


def listed(text):
    """File to functions, and the tests."""
    if HEADING not in text:
        sys.exit(f"docs/cuda.md has no '{HEADING}'")
    rows = [match for match in map(ROW.match, text.split(HEADING)[1].split("\n## ")[0].splitlines()) if match]
    functions = {}
    for file, names, _ in (row.groups() for row in rows):
        functions.setdefault(file, set()).update(re.findall(r"`(\w+)`", names))
    return functions, {test for row in rows for test in re.findall(r"`(\w+)`", row[3])}


def problems(have, want, tests, first):
    bad = [f"{file}: {name} has lines for devices alone, but is not in the list" for file in have for name in have[file] - want.get(file, set())]
    bad += [f"{file}: {name} is in the list, but has no line for devices alone" for file in want for name in want[file] - have.get(file, set())]
    bad += [f"scripts/gpu_check.sh does not begin with {test}" for test in tests if test not in first]
    return sorted(map(str, bad))


def self_test():
    plain = "NVFP4CAL_HD inline int twice(int x) { return 2 * x; }\n"
    device = plain + "template <int n>\nNVFP4CAL_HD inline int f(int (*g)(int), int x) {\n#if defined(__CUDA_ARCH__)\n  return 1;\n#endif\n}\n"
    assert device_functions(plain) == set()
    assert device_functions(device) == {"f"}, device_functions(device)
    assert device_functions("__global__ void __launch_bounds__(X::y) k(const A a) {\n  __syncthreads();\n") == {"k"}
    assert device_functions("  __device__ uint32_t ballot(Pred&& pred) {\n    return __ballot_sync(~0u, pred(lane_));\n") == {"ballot"}
    for line in ("atomicMin(at, v);", "__vmaxu2(a, b);", "__viaddmax_s16x2_relu(a, b, 0);", "__dp2a_lo(a, b, c);", "__ffsll(x);", "__ldcs(x);", "__byte_perm(a, b, s);"):
        assert device_functions("inline void f() {\n" + line) == {"f"}, line
    table = HEADING + "\n| file | functions | why | tests |\n|---|---|---|---|\n| `a.h` | `f`, `g` | since `x` | `t` |\n\n## Next\n| `b.h` | `h` | | `u` |\n"
    functions, tests = listed(table)
    assert functions == {"a.h": {"f", "g"}} and tests == {"t"}, (functions, tests)
    assert problems({"a.h": {"f"}}, {"a.h": {"f"}}, {"t"}, "t") == []
    assert len(problems({"a.h": {"f"}}, {"a.h": {"g"}}, {"t"}, "u")) == 3
    print("self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    paths = [path for folder in ("kernels", "src/num", "src/core") for path in sorted((ROOT / folder).iterdir()) if path.name != "float_env.h"]
    have = {path.relative_to(ROOT).as_posix(): device_functions(path.read_text(encoding="utf-8")) for path in paths if path.suffix in (".h", ".cuh", ".cu")}
    want, tests = listed((ROOT / "docs" / "cuda.md").read_text(encoding="utf-8"))
    script = (ROOT / "scripts" / "gpu_check.sh").read_text(encoding="utf-8")
    first = {f"test_device_{name}" for name in re.search(r"local first=\(([^)]*)\)", script)[1].split()}
    bad = problems(have, want, tests, first)
    if bad:
        sys.exit("\n".join(bad))
    print(f"{sum(map(len, have.values()))} functions with lines for devices alone are listed")


if __name__ == "__main__":
    main(sys.argv[1:])
