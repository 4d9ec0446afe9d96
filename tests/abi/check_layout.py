#!/usr/bin/env python3
"""Files stay short, and nothing is left for later: line limits, no marks of unfinished work, no path out of the repository.

usage: check_layout.py [root]        check_layout.py --self-test
"""
import pathlib
import re
import sys
import tempfile

MAX_LINES = 450
CODE = {".h", ".hpp", ".c", ".cpp", ".cu", ".cuh", ".py", ".sh", ".i", ".java", ".rs"}
TEXT = CODE | {".txt", ".cmake", ".in", ".json", ".md", ".map", ".toml", ".yml", ""}
SKIPPED = {"build", ".git", ".cache", "__pycache__", "target"}
# Spelled in two parts, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
OUTSIDE = ".." + "/shared"
# The public header is one document by design; the bindings are made from it.
UNLIMITED = {"include/nvfp4cal.h", "bindings/rust/nvfp4cal-sys/src/bindings.rs"}


def files(root):
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not path.is_symlink() and not SKIPPED & set(relative.parts) and path.suffix in TEXT:
            yield path, relative.as_posix()


def check(root):
    problems = []
    for path, name in files(root):
        if name == "LICENSE":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # data
        lines = text.splitlines()
        if path.suffix in CODE and name not in UNLIMITED and len(lines) > MAX_LINES:
            problems.append(f"{name} has {len(lines)} lines, more than {MAX_LINES}")
        for number, line in enumerate(lines, 1):
            if mark := UNFINISHED.search(line):
                problems.append(f"{name}:{number} says {mark.group(0)}")
            if OUTSIDE in line and path.suffix != ".md":
                problems.append(f"{name}:{number} refers to {OUTSIDE}")
            if path.suffix in CODE and line != line.rstrip():
                problems.append(f"{name}:{number} ends in white space")
        if path.suffix in CODE and text and not text.endswith("\n"):
            problems.append(f"{name} does not end in a newline")
    return problems


def self_test():
    bad = {
        "src/long.cpp": "int x;\n" * (MAX_LINES + 1),
        "src/mark.cpp": "// TO" + "DO later\n",
        "docs/mark.md": "FIX" + "ME\n",
        "CMakeLists.txt": f"include({OUTSIDE}/x)\n",
        "scripts/out.sh": f"cat {OUTSIDE}/design.md\n",
        "src/space.cpp": "int x; \n",
        "src/end.cpp": "int x;",
    }
    good = {"src/a.cpp": "int x;\n", "docs/a.md": f"see {OUTSIDE}\n", "build/a.cpp": bad["src/mark.cpp"]}

    def problems_of(contents):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in contents.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return check(root)

    assert problems_of(good) == [], problems_of(good)
    for name, text in bad.items():
        assert problems_of({**good, name: text}), f"not noticed: {name}"
    print(f"{len(bad) + 1} self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parents[2]
    problems = check(root)
    if problems:
        sys.exit("\n".join(problems))
    print("file lengths and contents are fine")


if __name__ == "__main__":
    main(sys.argv[1:])
