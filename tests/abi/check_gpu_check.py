#!/usr/bin/env python3
"""Whether scripts/gpu_check.sh run fails where something of it is missing or says nothing: it is run over programs that only pretend.

usage: check_gpu_check.py
"""
import os
import pathlib
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "gpu_check.sh"
ROW = "float32  amax  1.0  1.0 us  1.0 Gel/s  1 GB/s  1.0 %"

# Catch2 without a match fails if it is asked to alone.
TESTS = '#!/bin/bash\n[[ "$*" == *"--warn NoTests"* && "$*" != *"test_device_$MISSING]" ]]\n'


def script(text):
    return "#!/bin/bash\n" + text + "\n"


def rows(count):
    return script(f"for i in $(seq {count}); do echo '{ROW}'; done")


# Name, what differs from a folder in which all is well (file -> text, None: absent), whether it passes.
CASES = [
    ("all is well", {}, True),
    ("no library", {"libnvfp4cal.so.0": None}, False),
    ("no module", {"libnvfp4cal_cuda.so": None}, False),
    ("no tests", {"nvfp4cal_device_tests": None}, False),
    ("tests that fail", {"nvfp4cal_device_tests": script("exit 1")}, False),
    ("a file of tests that is not there", {"MISSING": "gptq"}, False),
    ("no benchmark", {"nvfp4cal_cuda_bench": None}, False),
    ("a benchmark that fails", {"nvfp4cal_cuda_bench": rows(90) + "exit 1\n"}, False),
    ("a benchmark without rows", {"nvfp4cal_cuda_bench": script("true")}, False),
    ("a benchmark that stops early", {"nvfp4cal_cuda_bench": rows(30)}, False),
    ("no peers' script", {"cuda_peers.py": None}, False),
    ("no device", {"nvfp4cal_cuda_bench": script("echo SKIPPED no device")}, False),
]


def passes(changes):
    with tempfile.TemporaryDirectory() as name:
        folder, tools = pathlib.Path(name) / "gpu_check", pathlib.Path(name) / "tools"
        folder.mkdir()
        tools.mkdir()
        programs = {"libnvfp4cal.so.0": "x", "libnvfp4cal_cuda.so": "x", "nvfp4cal_device_tests": TESTS, "nvfp4cal_cuda_bench": rows(90), "cuda_peers.py": "x"}
        # no torch and no checkers of CUDA's, whatever this machine has
        helpers = {"python3": script("exit 1"), "compute-sanitizer": script("echo not supported; exit 1")}
        environment = dict(os.environ, NVFP4CAL_GPU_CHECK=str(folder), PATH=f"{tools}:{os.environ['PATH']}", MISSING="none")
        for file, text in changes.items():
            if file == "MISSING":
                environment[file] = text
            else:
                (helpers if file in helpers else programs)[file] = text
        for place, files in ((folder, programs), (tools, helpers)):
            for file, text in files.items():
                if text is not None:
                    (place / file).write_text(text, encoding="utf-8")
                    (place / file).chmod(0o755)
        return subprocess.run([str(SCRIPT), "run"], env=environment, capture_output=True, check=False).returncode == 0


def main():
    wrong = [name for name, changes, want in CASES if passes(changes) != want]
    for name in wrong:
        print(f"gpu_check.sh run with {name}: {'passes' if passes(dict(next(c[1] for c in CASES if c[0] == name))) else 'fails'}")
    print(f"{len(CASES) - len(wrong)} of {len(CASES)} cases are as they should be")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
