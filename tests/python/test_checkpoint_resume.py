"""quantize_checkpoint after a kill: what the killed run has finished is kept, and the result is that of an undisturbed run."""
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

import nvfp4cal as n

SHARDS = 12
JOURNAL = ".nvfp4cal-journal"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume") / "model"
    folder.mkdir()
    rng = np.random.default_rng(1)
    weight_map = {}
    for i in range(SHARDS):
        name = f"model-{i + 1:05}-of-{SHARDS:05}.safetensors"
        # fused members lie in different shards
        tensors = {f"layers.{i // 2}.{'gate' if i % 2 else 'up'}_proj.weight": rng.standard_normal((192 + 16 * i, 1024)).astype(np.float32)}
        save_file(tensors, folder / name)
        weight_map.update({tensor: name for tensor in tensors})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def expected(model, tmp_path_factory):
    """The files and the report of an undisturbed run, and its seconds."""
    out = tmp_path_factory.mktemp("expected") / "out"
    start = time.monotonic()
    report = n.quantize_checkpoint(model, out)
    return contents(out), report, time.monotonic() - start


def contents(folder):
    return {str(entry.relative_to(folder)): entry.read_bytes() for entry in folder.rglob("*") if entry.is_file()}


def start(model, out, **options):
    """A child that quantizes."""
    pid = os.fork()
    if pid == 0:
        try:
            n.quantize_checkpoint(model, out, **options)
        finally:
            os._exit(0)
    return pid


def kill_after(pid, seconds):
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def run_until_shards(model, out, count, **options):
    """Kills a run when its journal has so many shards. The progress callback makes it slow enough to be caught."""
    pid = start(model, out, progress=lambda *_: time.sleep(0.01), **options)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (out / JOURNAL).exists() and (out / JOURNAL).read_text().count('"shard"') >= count:
            break
        time.sleep(0.002)
    kill_after(pid, 0)
    assert (out / JOURNAL).exists()


def errors_of(report):
    return [(t["name"], t["global_amax"], t["squared_error"], t["sum_squares"]) for t in report["tensors"]]


def test_fifty_kills(model, expected, tmp_path):
    files, report, seconds = expected
    rng = random.Random(0)
    for i in range(50):
        out = tmp_path / str(i)
        kill_after(start(model, out), rng.uniform(0, 1.2 * seconds))
        for name, data in (contents(out) if out.exists() else {}).items():
            # what has its name is complete
            assert name == JOURNAL or name.endswith(".nvfp4cal-tmp") or data == files[name], name
        if out.exists() and contents(out) == files:
            continue  # it was done
        again = n.quantize_checkpoint(model, out)
        assert contents(out) == files
        assert errors_of(again) == errors_of(report)


def test_finished_shards_are_kept(model, expected, tmp_path):
    run_until_shards(model, tmp_path / "out", 4)
    again = n.quantize_checkpoint(model, tmp_path / "out")
    assert again["totals"]["shards_kept"] >= 4
    assert contents(tmp_path / "out") == expected[0] and errors_of(again) == errors_of(expected[1])


def test_details_are_kept(model, tmp_path):
    undisturbed = n.quantize_checkpoint(model, tmp_path / "a", detail=True)
    run_until_shards(model, tmp_path / "b", 4, detail=True)
    again = n.quantize_checkpoint(model, tmp_path / "b", detail=True)
    assert again["totals"]["shards_kept"] >= 4
    for key in ("scale_codes", "code_offsets", "tensors"):
        assert again[key] == undisturbed[key], key
    run_until_shards(model, tmp_path / "c", 4)  # without them
    assert n.quantize_checkpoint(model, tmp_path / "c", detail=True)["totals"]["shards_kept"] == 0


def test_damaged_shards_are_written_anew(model, expected, tmp_path):
    run_until_shards(model, tmp_path / "out", 4)
    first = tmp_path / "out" / f"model-00001-of-{SHARDS:05}.safetensors.nvfp4cal-tmp"
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    (tmp_path / "out" / f"model-00002-of-{SHARDS:05}.safetensors.nvfp4cal-tmp").unlink()
    count = (tmp_path / "out" / JOURNAL).read_text().count('"shard"')
    again = n.quantize_checkpoint(model, tmp_path / "out")
    assert again["totals"]["shards_kept"] == count - 2
    assert contents(tmp_path / "out") == expected[0]


@pytest.mark.parametrize("change", ["options", "input", "journal"])
def test_another_run_starts_anew(model, expected, tmp_path, change):
    out = tmp_path / "out"
    run_until_shards(model, out, 2)
    if change == "options":
        again = n.quantize_checkpoint(model, out, "max")
    elif change == "input":
        os.utime(model / "model-00001-of-00012.safetensors")
        again = n.quantize_checkpoint(model, out)
    else:
        (out / JOURNAL).write_text("no journal\n")
        again = n.quantize_checkpoint(model, out)
    assert again["totals"]["shards_kept"] == 0
    assert set(contents(out)) == set(expected[0]) and (contents(out) == expected[0]) == (change != "options")


def test_folders_in_use(model, expected, tmp_path):
    out = tmp_path / "out"
    run_until_shards(model, out, 1)
    (out / "mine.txt").write_text("x")
    with pytest.raises(n.InvalidArgumentError, match="not empty: it holds mine.txt"):
        n.quantize_checkpoint(model, out)
    assert (out / JOURNAL).exists() and (out / "mine.txt").exists()
    (out / "mine.txt").unlink()
    pid = start(model, out, progress=lambda *_: time.sleep(0.05))
    time.sleep(0.2)
    with pytest.raises(n.InvalidArgumentError, match="another run is writing"):
        n.quantize_checkpoint(model, out)
    kill_after(pid, 0)
    n.quantize_checkpoint(model, out)
    assert contents(out) == expected[0]
    with pytest.raises(n.InvalidArgumentError, match="not empty"):
        n.quantize_checkpoint(model, out)


def test_a_failed_run_leaves_nothing(model, tmp_path):
    out = tmp_path / "out"
    run_until_shards(model, out, 2)

    def stop(done, total, name):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        n.quantize_checkpoint(model, out, progress=stop)
    assert not out.exists()


def test_a_full_disk(model, tmp_path):
    """On a small file system, where root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode != 0:
        print("SKIPPED test_a_full_disk: no tmpfs can be mounted")
        pytest.skip("no tmpfs can be mounted")
    try:
        with pytest.raises(n.FileError, match="cannot write .*: No space left on device: [0-9]+ bytes are needed and [0-9]+ are free"):
            n.quantize_checkpoint(model, disk / "out")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def disk(tmp_path):
    """Mounts a small file system of a given size, where root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            print("SKIPPED: no tmpfs can be mounted")
            pytest.skip("no tmpfs can be mounted")
        mounted.append(folder)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_without_room_for_the_journal(model, disk):
    folder = disk(65536)
    with open(folder / "full", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    (folder / "empty").mkdir()
    for out in (folder / "out", folder / "empty"):
        with pytest.raises(n.FileError, match="cannot write .*: No space left on device"):
            n.quantize_checkpoint(model, out)
    assert sorted(entry.name for entry in folder.rglob("*")) == ["empty", "full"]


def test_half_a_shard_does_not_take_the_room_of_the_rest(model, expected, disk):
    """The output and little more fits on the disk; a killed run has reserved the room of the shard that it was writing."""
    pages = sum(-(-len(data) // 4096) for data in expected[0].values())
    out = disk((pages + 16) * 4096) / "out"
    run_until_shards(model, out, 2)
    assert len(list(out.glob("*.nvfp4cal-tmp"))) >= 3
    assert n.quantize_checkpoint(model, out)["totals"]["shards_kept"] >= 2
    assert contents(out) == expected[0]


def test_a_user_without_threads(model, expected):
    """A user who may have one process and no thread beside its first. Limits do not bind root, so the child becomes someone else."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        source, out = pathlib.Path(folder, "in"), pathlib.Path(folder, "out")
        shutil.copytree(model, source)
        source.chmod(0o755)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
                if os.geteuid() == 0:
                    os.setgid(54321)
                    os.setuid(54321)
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    threading.Thread(target=int).start()
                n.quantize_checkpoint(source, out)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert contents(out) == expected[0]


def test_an_input_that_changes(model, tmp_path):
    def touch(done, total, name):
        os.utime(model / f"model-00001-of-{SHARDS:05}.safetensors")

    with pytest.raises(n.FileError, match="model-00001.* was changed while it was read"):
        n.quantize_checkpoint(model, tmp_path / "out", progress=touch)
    assert not (tmp_path / "out").exists()
