"""Programs in the documentation, and what it says they print."""
import re
import subprocess
import sys

from paths import ROOT

BLOCKS = re.compile(r"```python\n(.*?)```\n((?:(?!```).)*)```text\n(.*?)```", re.S)


def programs(name, needs_torch):
    text = (ROOT / name).read_text()
    assert text.count("```python\n") == len(BLOCKS.findall(text)), f"{name}: a program without output"
    return [(code, printed) for code, _, printed in BLOCKS.findall(text) if ("torch" in code) == needs_torch]


def check(name, needs_torch, environment):
    found = programs(name, needs_torch)
    for code, printed in found:
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout == printed
    return len(found)
