#!/usr/bin/env python3
"""Whether tests notice kernels whose index arithmetic is off: mutations of one place each, applied to copies of kernels/, and the device tests of the
file run over the emulated module (docs/cuda.md) that is made of the copy, or the unit tests of one file compiled with it.

usage: mutate_kernels.py [--list] [--build FOLDER] [part of a file's name ..]

Needs a build with tests (default build/release). Prints a table; fails where a mutation survives, no longer fits its source, or the tests fail without one,
and where a header with kernels has no mutation.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIST = pathlib.Path(__file__).with_name("kernel_mutations.txt")
SECONDS = 300
INCLUDE = re.compile(r'^\s*#\s*include\s*"(?:kernels/)?([\w./]+)"', re.M)


class Mutation:
    """One line of the list: file, tests, what is there => what becomes of it."""

    def __init__(self, line):
        self.file, self.tests, change = (part.strip() for part in line.split("|", 2))
        self.before, self.after = (part.replace("\\n", "\n") for part in change.split(" => "))

    def device_files(self):
        return [] if self.tests.startswith("unit/") else [f"test_device_{name}" for name in self.tests.split()]

    def text(self):
        return " becomes ".join("`" + " ".join(part.split()).replace("|", "\\|") + "`" for part in (self.before, self.after))

    def applied(self, folder):
        text = (folder / self.file).read_text(encoding="utf-8")
        count = text.count(self.before)
        if count != 1:
            sys.exit(f"{self.file}: {self.before!r} is there {count} times, expected once")
        return text.replace(self.before, self.after)

    def apply(self, folder):
        (folder / self.file).write_text(self.applied(folder), encoding="utf-8")


def read_list():
    lines = LIST.read_text(encoding="utf-8").splitlines()
    mutations = [Mutation(line) for line in lines if line.strip() and not line.startswith("#")]
    missing = {path.name for path in (ROOT / "kernels").glob("*.cuh")} - {one.file for one in mutations}
    if missing:
        sys.exit(f"{LIST.name} has no mutation of {', '.join(sorted(missing))}")
    for one in mutations:
        one.applied(ROOT / "kernels")
    return mutations


def sources_of(name):
    """The .cu files that include a file of kernels/, by way of others too."""
    includes = {path.name: set(INCLUDE.findall(path.read_text(encoding="utf-8"))) for path in (ROOT / "kernels").iterdir() if path.is_file()}

    def reaches(source, seen):
        if source == name:
            return True
        return any(reaches(other, seen | {other}) for other in includes.get(source, set()) - seen)

    return sorted(source for source in includes if source.endswith(".cu") and reaches(source, {source}))


class Build:
    """The commands of a build, out of ninja's."""

    def __init__(self, folder):
        self.folder = folder
        listed = subprocess.run(["ninja", "-t", "compdb"], cwd=folder, capture_output=True, text=True, check=True)
        self.commands = json.loads(listed.stdout)
        self.modules, self.units = self.objects_of("nvfp4cal_emulated.dir"), self.objects_of("nvfp4cal_tests.dir/unit")
        if not self.modules or not self.units:
            sys.exit(f"{folder} has no emulated module: build it with tests")

    def objects_of(self, folder):
        return {pathlib.Path(entry["file"]).name: entry for entry in self.commands if folder in entry["output"] and entry["output"].endswith(".o")}

    def compile(self, entry, source, kernels, output):
        """Compiles a source where `kernels` comes before the project's own; False where it cannot be."""
        command = entry["command"].replace(entry["output"], str(output)).replace(entry["file"], str(source))
        command = re.sub(r"-M[TF] \S+|-MD\b", "", command).replace(" -O3", " -O1").replace(" -c ", f" -iquote {kernels.parent} -c ", 1)
        done = subprocess.run(command, shell=True, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
        return done.returncode == 0

    def module(self, kernels, changed, folder):
        """Links a module of the changed sources' new objects and the build's others; False where they do not compile."""
        objects = []
        for name, entry in self.modules.items():
            if name not in changed:
                objects.append(str(self.folder / entry["output"]))
                continue
            objects.append(str(folder / f"{name}.o"))
            if not self.compile(entry, kernels / name, kernels, objects[-1]):
                return False
        subprocess.run(["c++", "-shared", "-o", str(folder / "libnvfp4cal_cuda.so"), *objects], check=True)
        return True

    def unit_program(self, name, kernels, folder):
        """Links the unit tests with one file's compiled anew; None where it does not compile."""
        entry, output, program = self.units[f"{name}.cpp"], folder / f"{name}.o", folder / "nvfp4cal_tests"
        if not self.compile(entry, entry["file"], kernels, output):
            return None
        (link,) = [entry["command"] for entry in self.commands if entry["output"] == "tests/nvfp4cal_tests"]
        link = link.replace(entry["output"], str(output)).replace("-o tests/nvfp4cal_tests", f"-o {program}")
        subprocess.run(link, shell=True, cwd=self.folder, check=True, capture_output=True)
        return program


def first_failure(program, files, module=None):
    """The first test case of these files that fails, '' if none does."""
    environment = dict(os.environ, **({"NVFP4CAL_TEST_EMULATED_PATH": str(module)} if module else {}))
    try:
        done = subprocess.run([str(program), "--filenames-as-tags", "--abort", "--warn", "NoTests", ",".join(f"[#{name}]" for name in files)],
                              cwd=pathlib.Path(program).parent, env=environment, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "does not end"
    if done.returncode == 0:
        return ""
    named = re.search(r"^-{20,}\n(\S.*)\n", done.stdout, re.M)
    fatal = re.search(r"^fake CUDA: (.*)$", done.stderr, re.M)
    return (fatal[1] if fatal else named[1] if named else f"status {done.returncode}")[:70]


def try_one(build, mutation):
    """Who notices, '' for nobody, None where the mutation does not compile."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        kernels = folder / "kernels"
        shutil.copytree(ROOT / "kernels", kernels)
        mutation.apply(kernels)
        if mutation.tests.startswith("unit/"):
            unit = mutation.tests.removeprefix("unit/")
            program = build.unit_program(unit, kernels, folder)
            return None if program is None else first_failure(program, [unit])
        if not build.module(kernels, sources_of(mutation.file), folder):
            return None
        return first_failure(build.folder / "tests/device/nvfp4cal_device_tests", mutation.device_files(), folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the mutations and do nothing")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("files", nargs="*")
    wanted = parser.parse_args()
    mutations = [one for one in read_list() if not wanted.files or any(part in one.file for part in wanted.files)]
    if wanted.list:
        for one in mutations:
            print(f"{one.file}: {one.text()}")
        return
    build = Build(wanted.build.resolve())
    everything = sorted({name for one in mutations for name in one.device_files()})
    failing = everything and first_failure(build.folder / "tests/device/nvfp4cal_device_tests", everything)
    if failing:
        sys.exit(f"without a mutation: {failing}")
    bad = 0
    print("| file | mutation | noticed by |\n|---|---|---|")
    with concurrent.futures.ThreadPoolExecutor(wanted.jobs) as pool:
        for one, found in zip(mutations, pool.map(lambda one: try_one(build, one), mutations)):
            bad += not found
            seen = "**does not compile**" if found is None else found or "**nobody**"
            print(f"| {one.file} | {one.text()} | {seen} |", flush=True)
    print(f"{len(mutations) - bad} of {len(mutations)} mutations noticed")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
