#!/usr/bin/env python3
"""Every function of the header is wrapped for the languages that SWIG serves, and no raw pointer class shows.

usage: check_bindings.py [folder ...]     also looks for SWIGTYPE_p_ in these folders of generated classes
       check_bindings.py --self-test
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from check_exports import ROOT, header_functions

SWIG = ROOT / "bindings" / "swig"


def attributes(element):
    return {a.get("name"): a.get("value") for a in element.iterfind("attributelist/attribute")}


def wrapped_functions(root):
    """Names of the C functions that the wrappers call: global ones, methods without a body, and what bodies call."""
    names = set()
    for element in root.iter("cdecl"):
        found = attributes(element)
        if found.get("kind") == "function" and found.get("name", "").startswith("nvfp4cal_") and not found.get("feature_ignore"):
            names.add(found["name"])
    for extension in root.iter("extend"):
        owner = attributes(extension).get("name", "")
        for member in extension:
            found = attributes(member)
            if code := found.get("code"):
                names.update(re.findall(r"\b(nvfp4cal_\w+)\s*\(", code))
            elif member.tag == "cdecl" and found.get("kind") == "function":
                names.add(f"{owner}_{found['name']}")
    return names


def swig_tree(language):
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "tree.xml"
        command = ["swig", "-xml", f"-I{ROOT / 'include'}", f"-I{SWIG}", f"-I{language}", "-o", str(output), str(SWIG / "nvfp4cal.i")]
        subprocess.run(command, check=True)
        return xml.etree.ElementTree.parse(output).getroot()


def pointer_classes(folder):
    """Files of Java or Python classes that name a raw pointer."""
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.suffix in {".java", ".py", ".pyi"} and ("SWIGTYPE_p_" in path.name or "SWIGTYPE_p_" in path.read_text(encoding="utf-8")):
            yield path


def differences(header, wrapped):
    return [f"{name} is in the header but in no binding" for name in sorted(header - wrapped)] + [
        f"{name} is wrapped but not in the header" for name in sorted(wrapped - header)
    ]


def self_test():
    text = """<top><attributelist><attribute name="name" value="t"/></attributelist>
    <cdecl><attributelist><attribute name="name" value="nvfp4cal_version"/><attribute name="kind" value="function"/></attributelist></cdecl>
    <extend><attributelist><attribute name="name" value="nvfp4cal_max"/></attributelist>
      <constructor><attributelist><attribute name="code" value="{ nvfp4cal_max_create(&amp;h); }"/></attributelist></constructor>
      <cdecl><attributelist><attribute name="name" value="reset"/><attribute name="kind" value="function"/></attributelist></cdecl>
    </extend></top>"""
    found = wrapped_functions(xml.etree.ElementTree.fromstring(text))
    assert found == {"nvfp4cal_version", "nvfp4cal_max_create", "nvfp4cal_max_reset"}, found
    assert differences({"a", "b"}, {"b", "c"}) == ["a is in the header but in no binding", "c is wrapped but not in the header"]
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "A.java").write_text("class A {}\n")
        assert not list(pointer_classes(folder))
        (pathlib.Path(folder) / "B.java").write_text("void f(SWIGTYPE_p_int x);\n")
        (pathlib.Path(folder) / "SWIGTYPE_p_void.java").write_text("\n")
        assert len(list(pointer_classes(folder))) == 2
    print("3 self-tests passed")


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    problems = []
    header = header_functions((ROOT / "include" / "nvfp4cal.h").read_text())
    languages = [folder for folder in sorted(SWIG.iterdir()) if folder.is_dir() and list(folder.glob("*.i"))]
    for language in languages:
        problems += [f"{language.name}: {line}" for line in differences(header, wrapped_functions(swig_tree(language)))]
    for folder in arguments:
        problems += [f"{path} shows a raw pointer" for path in pointer_classes(folder)]
    print("\n".join(problems) if problems else f"{len(languages)} passed, 0 failed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
