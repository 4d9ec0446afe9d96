"""The tool over model folders with what cannot be read, or is no file."""
import json
import os
import re
import shutil
import stat
import subprocess

import pytest
from test_tool import LIMIT, TOOL, make


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make(tmp_path_factory.mktemp("tool") / "model", "--size", "1MB")


def unprivileged(*arguments):
    """As a user whom permissions bind: root without capabilities where the tests run as root."""
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT)


@pytest.mark.parametrize("place,mode", [("sub", 0o600), ("sub", 0o300), ("sub", 0), ("sub/a", 0), ("sub/link", 0), ("a.txt", 0)])
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_what_cannot_be_read_is_an_error(model, tmp_path, place, mode, options):
    """Without its files the output would lack something."""
    shutil.copytree(model, tmp_path / "in")
    (tmp_path / "in" / "sub").mkdir()
    (tmp_path / "closed").mkdir()
    for name in "in/a.txt", "in/sub/a", "closed/file":
        (tmp_path / name).write_text(name)
    (tmp_path / "in" / "sub" / "link").symlink_to(tmp_path / "closed" / "file")
    closed = tmp_path / "closed" if place == "sub/link" else tmp_path / "in" / place
    try:
        closed.chmod(mode)
        result = unprivileged("quantize", tmp_path / "in", tmp_path / "out", "--quiet", *options)
    finally:
        closed.chmod(0o700)
    named = tmp_path / "in" / ("sub/a" if mode == 0o600 else place)
    assert result.returncode == 1 and re.fullmatch(rf"nvfp4cal: cannot (read|open) {named}: Permission denied\n", result.stderr)
    assert not (tmp_path / "out").exists()


def test_entries_that_are_no_files(model, tmp_path):
    """They are left behind and listed: links to nothing, FIFOs, sockets; a hidden folder is not looked into. Nothing waits."""
    shutil.copytree(model, tmp_path / "in")
    sub = tmp_path / "in" / "sub"
    sub.mkdir()
    (sub / "file").write_text("x")
    (sub / "nothing").symlink_to("none")
    (sub / "itself").symlink_to("itself")
    (sub / "folder").symlink_to("../sub")
    (sub / "device").symlink_to("/dev/zero")
    os.mkfifo(sub / "fifo")
    os.mknod(sub / "socket", stat.S_IFSOCK)
    (tmp_path / "in" / ".git").mkdir(0)
    result = unprivileged("quantize", tmp_path / "in", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert "sub/file" in report["files_carried"]
    assert {entry["name"]: entry["reason"] for entry in report["files_left"]} == {
        ".git": "hidden", "sub/device": "not a regular file", "sub/fifo": "not a regular file", "sub/folder": "a link to a folder",
        "sub/itself": "a link to nothing", "sub/nothing": "a link to nothing", "sub/socket": "not a regular file"}  # fmt: skip
    assert [line.split('"')[1] for line in result.stderr.splitlines() if "link to nothing" in line] == ["sub/itself", "sub/nothing"]
    assert sorted(path.name for path in (tmp_path / "out" / "sub").iterdir()) == ["file"]
