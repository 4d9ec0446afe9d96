#!/usr/bin/env python3
"""The functions of the header, the symbol map and the shared library are the same set, and the library needs nothing unexpected.

usage: check_exports.py <libnvfp4cal.so> [--release]     --release: also the list of needed libraries
       check_exports.py --self-test
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SYSTEM_LIBRARIES = re.compile(r"(libstdc\+\+|libm|libc|libgcc_s|libpthread|ld-linux[-\w]*)\.so[.\d]*")


def header_functions(text):
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    code = re.sub(r"^\s*#(?:.*\\\n)*.*$", " ", code, flags=re.M)
    return set(re.findall(r"NVFP4CAL_API\b[^;{}]*?\b(nvfp4cal_\w+)\s*\(", code))


def undecorated_functions(text):
    """Declared without the export macro: they would be hidden."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)
    code = re.sub(r"^\s*#(?:.*\\\n)*.*$", " ", code, flags=re.M)
    statements = [part.strip() for part in re.split(r"[;{}]", code)]
    declared = [s for s in statements if re.search(r"\bnvfp4cal_\w+\s*\(", s) and not s.startswith("typedef")]
    return [s.split("(")[0].split()[-1].lstrip("*") for s in declared if "NVFP4CAL_API" not in s]


def map_symbols(text):
    """Global names of all version nodes, and what is wrong with the map."""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", " ", text, flags=re.S)
    names, problems = [], []
    for node in re.findall(r"\{(.*?)\}", text, flags=re.S):
        scope = "global"
        for label, name in re.findall(r"(?:(global|local)\s*:)?\s*([^;:{}\s]+)\s*;", node):
            scope = label or scope
            if scope == "local":
                if name != "*":
                    problems.append(f"the map hides {name} by name: 'local: *' says it all")
            elif re.search(r"[*?\[\]]", name):
                problems.append(f"the map exports the pattern {name}: it must list names")
            else:
                names.append(name)
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.append(f"the map lists {name} twice")
    if not re.search(r"local\s*:\s*\*\s*;", text):
        problems.append("the map has no 'local: *'")
    return set(names), problems


def library_symbols(nm_output):
    symbols = set()
    for line in nm_output.splitlines():
        fields = line.split()
        if len(fields) >= 3 and fields[1] != "A":  # A: the name of a version node
            symbols.add(fields[2].split("@")[0])
    return symbols


def differences(left_name, left, right_name, right):
    return [f"{name} is in {left_name}, not in {right_name}" for name in sorted(left - right)] + [
        f"{name} is in {right_name}, not in {left_name}" for name in sorted(right - left)
    ]


def compare(header_text, map_text, nm_output):
    header = header_functions(header_text)
    exported, problems = map_symbols(map_text)
    problems += [f"{name} is declared without NVFP4CAL_API" for name in undecorated_functions(header_text)]
    if not header:
        problems.append("no function found in the header")
    problems += differences("the header", header, "the map", exported)
    problems += differences("the map", exported, "the library", library_symbols(nm_output))
    return problems


def needed_problems(readelf_output):
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", readelf_output)
    return [f"the library needs {name}" for name in needed if not SYSTEM_LIBRARIES.fullmatch(name)]


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def self_test():
    header = "\n".join(
        [
            "typedef int (*nvfp4cal_f)(void);",
            "#define X 1",
            "NVFP4CAL_API int nvfp4cal_a(int x);",
            "/* NVFP4CAL_API int nvfp4cal_no(void); */",
            "NVFP4CAL_API const char *nvfp4cal_b(void);",
        ]
    )
    symbol_map = "NVFP4CAL_0 { global: nvfp4cal_a; nvfp4cal_b; local: *; };"
    nm = "0 T nvfp4cal_a@@NVFP4CAL_0\n0 T nvfp4cal_b@@NVFP4CAL_0\n0 A NVFP4CAL_0"
    assert compare(header, symbol_map, nm) == [], compare(header, symbol_map, nm)
    bad = {
        "missing in map": (header, symbol_map.replace("nvfp4cal_b;", ""), nm),
        "not in header": (header, symbol_map.replace("nvfp4cal_b;", "nvfp4cal_b; nvfp4cal_c;"), nm + "\n0 T nvfp4cal_c"),
        "pattern": (header, symbol_map.replace("nvfp4cal_b;", "nvfp4cal_*;"), nm),
        "no local": (header, symbol_map.replace("local: *;", ""), nm),
        "twice": (header, symbol_map.replace("nvfp4cal_b;", "nvfp4cal_b; nvfp4cal_b;"), nm),
        "leak": (header, symbol_map, nm + "\n0 W _ZSt4cout"),
        "not defined": (header, symbol_map, nm.splitlines()[0]),
        "undecorated": (header + "\nint nvfp4cal_d(void);", symbol_map, nm),
    }
    for name, case in bad.items():
        assert compare(*case), f"not noticed: {name}"
    assert not needed_problems(" 0x1 (NEEDED) Shared library: [libc.so.6]\n 0x1 (NEEDED) Shared library: [ld-linux-x86-64.so.2]")
    assert needed_problems(" 0x1 (NEEDED) Shared library: [libhwy.so.1]")
    print(f"{len(bad) + 3} self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    libraries = [a for a in arguments if a != "--release"]
    if len(libraries) != 1:
        sys.exit(__doc__)
    problems = compare(
        (ROOT / "include/nvfp4cal.h").read_text(),
        (ROOT / "src/nvfp4cal.map").read_text(),
        output_of("nm", "-D", "--defined-only", libraries[0]),
    )
    if "--release" in arguments:
        problems += needed_problems(output_of("readelf", "-d", libraries[0]))
    if problems:
        sys.exit("\n".join(problems))
    print("header, symbol map and library agree")


if __name__ == "__main__":
    main(sys.argv[1:])
