#!/usr/bin/env python3
"""Includes follow the layers: num <- core <- {cpu, kernels}, {num, core} <- calib <- {checkpoint, api}, checkpoint <- api.

Only api includes the public header inside src/; nothing of src/ and kernels/ includes a file of tests/; the tool, examples and
bindings include nothing of src/; the arithmetic of the two-level scale (division by 6 N) is written in src/num/scale.h and nowhere else.

usage: check_dependencies.py [root]        check_dependencies.py --self-test
"""
import pathlib
import re
import sys
import tempfile

# What each layer may include beside itself.
LAYERS = {
    "num": set(),
    "core": {"num"},
    "cpu": {"num", "core"},
    "kernels": {"num", "core"},
    "calib": {"num", "core"},
    "checkpoint": {"num", "core", "calib"},
    "api": {"num", "core", "calib", "checkpoint"},
}
# Files that tie two layers together, and why.
EXCEPTIONS = {
    ("core/backends.cpp", "cpu"): "the registry of backends names the one that is built in",
}
OUTSIDE = ("tools", "examples", "bindings")
SUFFIXES = {".h", ".hpp", ".c", ".cpp", ".cu", ".cuh", ".i"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)
SCALE_RECIPE = re.compile(r"\b2688(?:\.0?f?)?\b|/\s*\(\s*6(?:\.0f?)?\s*\*")


def sources(folder):
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)


def includes(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def code_of(path):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(encoding="utf-8"), flags=re.S)


def target_layer(include, path, root):
    """The layer that an include names, directly or by a path relative to the file; None for others."""
    name = include
    if include.startswith(".") or (path.parent / include).is_file():
        resolved = (path.parent / include).resolve()
        for base in (root / "src", root):
            if resolved.is_relative_to(base):
                name = resolved.relative_to(base).as_posix()
                break
    layer = name.split("/")[0]
    return layer if layer in LAYERS and "/" in name else None


def is_of_tests(include, path, root):
    return include.startswith("tests/") or (not (path.parent / include).is_file() and (root / "tests" / include).is_file())


def check_layer(root, layer, folder):
    problems = []
    for path in sources(folder):
        name = path.relative_to(root / "src" if layer != "kernels" else root).as_posix()
        for include in includes(path):
            if include.endswith("nvfp4cal.h") and layer != "api":
                problems.append(f"{name} includes the public header: only api does")
            if is_of_tests(include, path, root):
                problems.append(f"{name} includes {include}, a file of the tests")
            other = target_layer(include, path, root)
            if other and other != layer and other not in LAYERS[layer] and (name, other) not in EXCEPTIONS:
                problems.append(f"{name} includes {include}: {layer} may not use {other}")
        if layer != "num" and SCALE_RECIPE.search(code_of(path)):
            problems.append(f"{name} repeats the scale recipe ({SCALE_RECIPE.search(code_of(path)).group(0)}): use num/scale.h")
    return problems


def check(root):
    root = root.resolve()
    problems = []
    for layer in LAYERS:
        problems += check_layer(root, layer, root / layer if layer == "kernels" else root / "src" / layer)
    known = set(LAYERS) - {"kernels"}
    for folder in sorted(p for p in (root / "src").iterdir() if p.is_dir() and p.name not in known):
        problems.append(f"src/{folder.name} is no layer: add it to the rule or move it")
    for outside in OUTSIDE:
        for path in sources(root / outside):
            for include in includes(path):
                into_src = (path.parent / include).resolve().is_relative_to(root / "src")
                if into_src or target_layer(include, path, root) or (root / "src" / include).is_file():
                    problems.append(f"{path.relative_to(root)} includes {include}: {outside} sees the public header alone")
    return problems


def self_test():
    good = {
        "src/num/scale.h": "#include <cstdint>\nfloat f(float g) { return g / (6.0f * 448.0f); }",
        "src/core/ops.h": '#include "num/scale.h"',
        "src/core/backends.cpp": '#include "cpu/ops.h"',
        "src/cpu/ops.h": '#include "core/ops.h"  // 2688 in a comment',
        "src/cpu/op.cpp": '#include "ops.h"\n#include <hwy/highway.h>',
        "src/calib/max.cpp": '#include "core/ops.h"',
        "src/checkpoint/job.cpp": '#include "calib/max.h"',
        "src/api/max.cpp": '#include <nvfp4cal.h>\n#include "checkpoint/job.h"',
        "kernels/sweep.cu": '#include "num/scale.h"',
        "tests/support/grid.h": '#include "kernels/sweep.cuh"',
        "tools/nvfp4cal/main.cpp": "#include <nvfp4cal.h>",
    }
    bad = {
        "src/num/a.h": '#include "core/ops.h"',
        "src/core/a.h": '#include "cpu/ops.h"',
        "src/core/b.h": '#include "../calib/max.h"',
        "src/cpu/a.cpp": '#include "calib/max.h"',
        "src/calib/a.cpp": '#include "cpu/ops.h"',
        "src/calib/b.cpp": '#include "checkpoint/job.h"',
        "src/calib/c.cpp": "#include <nvfp4cal.h>",
        "src/checkpoint/a.cpp": '#include "api/handle.h"',
        "src/checkpoint/b.cpp": '#include "cpu/ops.h"',
        "src/cpu/b.cpp": "float s(float g) { return g / 2688.0f; }",
        "src/calib/d.cpp": "float s(float g, float n) { return g / (6.0f * n); }",
        "src/extra/a.cpp": "",
        "kernels/a.cu": '#include "api/handle.h"',
        "kernels/b.cu": '#include "support/grid.h"',
        "src/core/c.h": '#include "tests/support/grid.h"',
        "tools/nvfp4cal/a.cpp": '#include "core/error.h"',
        "examples/cpp/a.cpp": '#include "../../src/core/ops.h"',
    }

    def problems_of(files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check(root)

    assert problems_of(good) == [], problems_of(good)
    for name, text in bad.items():
        assert problems_of({**good, name: text}), f"not noticed: {name}: {text}"
    print(f"{len(bad) + 1} self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[2]
    problems = check(root)
    if problems:
        sys.exit("\n".join(problems))
    print("the includes follow the layers")


if __name__ == "__main__":
    main(sys.argv[1:])
