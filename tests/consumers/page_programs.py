"""Writes the C programs of docs/*.md and what the pages say they print: page_programs.py <docs> <folder> makes <page>.c and <page>.txt of each."""
import pathlib
import re
import sys

PROGRAM = re.compile(r"^```c\n(.*?)^```\n\n```text\n(.*?)^```$", re.S | re.M)


def main(docs, folder):
    written = 0
    for page in sorted(docs.glob("*.md")):
        text = page.read_text()
        found = PROGRAM.findall(text)
        if len(found) != text.count("```c\n") or len(found) > 1:
            sys.exit(f"{page.name}: a piece of C that is no program with its output, or more than one")
        for program, printed in found:
            (folder / f"{page.stem}.c").write_text(program)
            (folder / f"{page.stem}.txt").write_text(printed)
            written += 1
    if written < 7:
        sys.exit(f"only {written} pages with a program")


main(*map(pathlib.Path, sys.argv[1:]))
