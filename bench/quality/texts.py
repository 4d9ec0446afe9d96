"""Calibration and held-out texts from files that a Debian machine with Python has. No network, the same texts each time on one machine.

    texts.py FOLDER      writes calibration.txt and heldout.txt, one paragraph a line, and says what they hold

Calibration: docstrings of Python's standard library, README and NEWS files of Debian packages. Held-out: Python's language reference (pydoc's
topics) and the licences of /usr/share/common-licenses. No source is in both, and a held-out paragraph that shares eight words in a row with a
calibration paragraph is dropped.
"""
from __future__ import annotations

import ast
import gzip
import hashlib
import pathlib
import re
import sys
import sysconfig
from typing import Dict, Iterator, List, Set, Tuple

CALIBRATION, HELDOUT = 448, 320
LEAST_WORDS, MOST_WORDS, PER_FILE = 20, 110, 8
SHINGLE = 8
SKIPPED = {"test", "tests", "site-packages", "dist-packages", "pydoc_data", "ensurepip", "__pycache__"}
DOC = pathlib.Path("/usr/share/doc")
LICENCES = pathlib.Path("/usr/share/common-licenses")

Paragraph = Tuple[str, str]
"""Source file and text."""


def _is_prose(words: List[str], text: str) -> bool:
    plain = sum(bool(re.fullmatch(r"[(\"'`]*[A-Za-z][A-Za-z'-]*[)\"'`.,;:!?]*", word)) for word in words)
    return len(words) >= LEAST_WORDS and plain >= 0.8 * len(words) and ">>>" not in text


def paragraphs(source: str, text: str) -> Iterator[Paragraph]:
    """The paragraphs of a text that are prose, white space made single, cut after MOST_WORDS."""
    for part in re.split(r"\n\s*\n", text):
        words = part.split()
        if _is_prose(words, part):
            yield source, " ".join(words[:MOST_WORDS])


def _read(path: pathlib.Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError):
        return ""


def docstrings() -> Iterator[Paragraph]:
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if SKIPPED & set(name.parts):
            continue
        try:
            tree = ast.parse(_read(path))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from paragraphs(f"python/{name}", ast.get_docstring(node) or "")


def package_notes() -> Iterator[Paragraph]:
    for path in sorted(DOC.glob("*/*")):
        if re.match(r"(README|NEWS)(?!\.html)", path.name) and path.is_file() and not path.is_symlink():
            yield from paragraphs(f"doc/{path.relative_to(DOC)}", _read(path))


def language_reference() -> Iterator[Paragraph]:
    from pydoc_data import topics

    for name, text in sorted(topics.topics.items()):
        yield from paragraphs(f"topic/{name}", text)


def licences() -> Iterator[Paragraph]:
    for path in sorted(LICENCES.glob("*")):
        if path.is_file() and not path.is_symlink():
            yield from paragraphs(f"licence/{path.name}", _read(path))


def _shingles(text: str) -> Set[str]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}


def _order(paragraph: Paragraph) -> bytes:
    return hashlib.sha256(paragraph[1].encode()).digest()


def choose(found: Iterator[Paragraph], wanted: int, per_file: int, seen: Set[str]) -> List[Paragraph]:
    """Up to `wanted` paragraphs in the order of their hashes, `per_file` of one file, none that shares a run of words with one seen before."""
    taken: List[Paragraph] = []
    count: Dict[str, int] = {}
    for source, text in sorted(found, key=_order):
        mine = _shingles(text)
        if len(taken) == wanted or count.get(source, 0) == per_file or mine & seen:
            continue
        seen |= mine
        count[source] = count.get(source, 0) + 1
        taken.append((source, text))
    return taken


def make() -> Tuple[List[Paragraph], List[Paragraph]]:
    """Calibration and held-out paragraphs. Raises: SystemExit where the machine has too few."""
    seen: Set[str] = set()
    calibration = choose(package_notes(), CALIBRATION // 2, PER_FILE, seen)
    calibration += choose(docstrings(), CALIBRATION - len(calibration), PER_FILE, seen)
    heldout = choose(licences(), HELDOUT // 2, 20, seen)
    heldout += choose(language_reference(), HELDOUT - len(heldout), PER_FILE, seen)
    for name, texts, wanted in (("calibration", calibration, CALIBRATION), ("held-out", heldout, HELDOUT)):
        if len(texts) < wanted:
            sys.exit(f"{len(texts)} {name} paragraphs on this machine, {wanted} are needed")
    return calibration, heldout


def write(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in zip(("calibration", "heldout"), make()):
        data = "".join(text + "\n" for _, text in texts).encode()
        (folder / f"{name}.txt").write_bytes(data)
        kinds = sorted({source.split("/")[0] for source, _ in texts})
        shown = ", ".join(f"{sum(source.startswith(kind + '/') for source, _ in texts)} {kind}" for kind in kinds)
        words = sum(len(text.split()) for _, text in texts)
        print(f"{name}: {len(texts)} paragraphs ({shown}), {words} words, sha256 {hashlib.sha256(data).hexdigest()[:16]}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(pathlib.Path(sys.argv[1]))
