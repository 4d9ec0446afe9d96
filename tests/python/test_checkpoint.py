"""quantize_checkpoint: results, progress, errors, cancelling, Ctrl-C, the end of the interpreter."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import oracle
import pytest
from safetensors.numpy import load_file, save_file

import nvfp4cal as n

LIMIT = 120


@pytest.fixture
def model(tmp_path, rng):
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {
        "model.layers.0.self_attn.q_proj.weight": rng.standard_normal((32, 64)).astype(np.float32),
        "model.layers.0.mlp.down_proj.weight": rng.standard_normal((16, 32)).astype(np.float16),
        "model.norm.weight": np.ones(64, np.float32),
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["Tiny"]}))
    return folder


@pytest.fixture(scope="module")
def large_model(tmp_path_factory):
    """Enough for many progress callbacks: 256 MB of weights."""
    folder = tmp_path_factory.mktemp("large")
    w = np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float32)
    save_file({f"layers.{i}.weight": w for i in range(16)}, folder / "model.safetensors")
    return folder


def test_results(model, tmp_path):
    report = n.quantize_checkpoint(model, tmp_path / "out")
    assert report["method"] == "mse" and report["totals"]["quantized"] == 2 and report["totals"]["relative_error"] < 0.12
    made, given = load_bytes(tmp_path / "out"), load_file(model / "model.safetensors")
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"):
        w = given[f"{name}.weight"]
        q = n.quantize(w, method="mse")
        assert np.array_equal(made[f"{name}.weight"], q.packed)
        assert np.array_equal(made[f"{name}.weight_scale"], q.scale)
        assert np.array_equal(made[f"{name}.weight_scale_2"], q.scale_2)
        error = np.abs(oracle.decode(made[f"{name}.weight"], made[f"{name}.weight_scale"], made[f"{name}.weight_scale_2"]) - w)
        assert error.max() < np.abs(w).max() / 5
    assert np.array_equal(made["model.norm.weight"], given["model.norm.weight"])


def load_bytes(folder):
    """The tensors of a file, E4M3 as bytes (the reader knows no numpy dtype for them)."""
    raw = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    dtypes = {"F32": np.float32, "F16": np.float16, "U8": np.uint8, "F8_E4M3": np.uint8}
    found = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = np.frombuffer(raw[8 + size + begin : 8 + size + end], dtypes[entry["dtype"]]).reshape(entry["shape"])
    return found


def test_formats(model, tmp_path):
    n.quantize_checkpoint(model, tmp_path / "a")
    report = n.quantize_checkpoint(model, tmp_path / "b", format="compressed-tensors")
    assert report["output_format"] == "compressed-tensors"
    first, second = load_bytes(tmp_path / "a"), load_bytes(tmp_path / "b")
    for tensor in (t for t in report["tensors"] if t["action"] == "quantized"):
        name = tensor["name"]
        assert np.array_equal(first[name], second[f"{name}_packed"])
        assert np.array_equal(first[f"{name}_scale"], second[f"{name}_scale"])
        assert second[f"{name}_global_scale"] == np.float32(2688) * (np.float32(1) / np.float32(tensor["global_amax"]))
    with pytest.raises(ValueError, match="format 'gguf'"):
        n.Checkpoint(format="gguf")


def test_choice_of_layers(model, tmp_path):
    report = n.quantize_checkpoint(model, tmp_path / "a", "four-over-six", exclude="*.q_proj", include=["*"], fuse_groups=["*.{a,b}"])
    assert report["method"] == "four-over-six" and [t["reason"] for t in report["tensors"] if "q_proj" in t["name"]] == ["excluded (*.q_proj)"]
    assert report["warnings"] == ['fuse group "*.{a,b}" matches no layer']
    with pytest.raises(n.InvalidArgumentError, match="braces"):
        n.Checkpoint(include=["{"])


def test_input_scales(model, tmp_path):
    scales = tmp_path / "scales.json"
    scales.write_text('{"model.layers.0.mlp.down_proj": 0.5}')
    report = n.quantize_checkpoint(model, tmp_path / "a", input_scale=1.0, input_scales=scales)
    assert report["format"] == "NVFP4" and sorted(t["input_scale"] for t in report["tensors"] if "_proj" in t["name"]) == [0.5, 1.0]
    with pytest.raises(n.InvalidArgumentError, match="has no input scale for the layer .*q_proj"):
        n.quantize_checkpoint(model, tmp_path / "b", input_scales=scales)
    with pytest.raises(OSError, match="nowhere"):
        n.Checkpoint(input_scales=tmp_path / "nowhere")


def test_dry_run(model, tmp_path):
    report = n.quantize_checkpoint(model, tmp_path / "a", dry_run=True)
    assert report["dry_run"] and not (tmp_path / "a").exists()
    assert report["shards"] == n.quantize_checkpoint(model, tmp_path / "a")["shards"]


def test_memory_does_not_grow_with_the_model(tmp_path, child_environment):
    program = textwrap.dedent("""
        import pathlib, sys
        import nvfp4cal as n
        n.quantize_checkpoint(sys.argv[1], sys.argv[2], context=n.Context(threads=2))
        print(next(line.split()[1] for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
    """)
    layer = np.random.default_rng(0).standard_normal((2048, 1024)).astype(np.float32)  # 8 MiB
    sizes = {}
    for layers in (16, 64):  # the smaller one, too, is more than what a run keeps between its two passes
        folder = tmp_path / str(layers)
        folder.mkdir()
        save_file({f"layers.{i}.weight": layer for i in range(layers)}, folder / "model.safetensors")
        result = subprocess.run([sys.executable, "-c", program, folder, tmp_path / f"out{layers}"], env=child_environment, capture_output=True, text=True,
                                timeout=LIMIT)  # fmt: skip
        assert result.returncode == 0, result.stderr
        sizes[layers] = int(result.stdout)
    assert abs(sizes[64] - sizes[16]) < 8 << 10, sizes  # KiB


def test_options(model, tmp_path):
    seen = []
    report = n.quantize_checkpoint(str(model), os.fsencode(tmp_path / "out"), "max", measure_error=False, context=n.Context(threads=1),
                                   progress=lambda done, total, name: seen.append((done, total, name)))  # fmt: skip
    assert report["method"] == "max" and "relative_error" not in report["totals"]
    assert seen[-1][0] == seen[-1][1] == seen[0][1] and {name for _, _, name in seen} == set(load_file(model / "model.safetensors"))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_tqdm(model, tmp_path, capsys):
    n.quantize_checkpoint(model, tmp_path / "out", progress=True)
    assert "100%" in capsys.readouterr().err


def test_job(model, tmp_path):
    job = n.Checkpoint()
    with pytest.raises(n.NoDataError):
        job.report()
    first = job.run(model, tmp_path / "a")
    assert job.report() == first
    job.run(model, tmp_path / "b")
    job.cancel()  # without a run: nothing
    job.run(model, tmp_path / "c")
    job.reset()
    with pytest.raises(n.NoDataError):
        job.report()


@pytest.mark.parametrize("format", ["modelopt", "compressed-tensors"])
def test_inspect_and_verify(model, tmp_path, format):
    job = n.Checkpoint(format=format)
    run = job.run(model, tmp_path / "out")
    report = job.inspect(tmp_path / "out")
    assert job.report() == report and report["format"] == format and report["totals"]["layers"] == 2 and report["defects"] == []
    seen = []
    report = n.Checkpoint(progress=lambda done, total, name: seen.append((done, total))).verify(model, str(tmp_path / "out"))
    assert report["ok"] and seen[-1][0] == seen[-1][1]
    assert report["totals"]["relative_error"] == pytest.approx(run["totals"]["relative_error"], rel=1e-6)
    with pytest.raises(ValueError, match="no layer in NVFP4"):
        job.verify(model, model)
    with pytest.raises(n.CorruptError, match="model.safetensors"):
        (tmp_path / "out" / "model.safetensors").write_bytes(b"")
        job.inspect(tmp_path / "out")


def test_convert(model, tmp_path):
    n.quantize_checkpoint(model, tmp_path / "m", format="modelopt")
    report = n.Checkpoint(format="compressed-tensors").convert(tmp_path / "m", tmp_path / "c")
    assert report["input_format"] == "modelopt" and report["output_format"] == "compressed-tensors" and report["totals"]["layers"] == 2
    n.Checkpoint(format="modelopt").convert(tmp_path / "c", tmp_path / "b")
    for path in (tmp_path / "m").iterdir():
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes(), path.name
    with pytest.raises(ValueError, match="has that format already"):
        n.Checkpoint(format="modelopt").convert(tmp_path / "m", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_detail(model, tmp_path):
    """The error of max and its codes, against runs and arrays of their own."""
    searched, largest = (n.Checkpoint(method, detail=True).run(model, tmp_path / method) for method in ("mse", "max"))
    errors = lambda report, key: [tensor[key] for tensor in report["tensors"] if tensor["action"] == "quantized"]
    assert errors(searched, "max_squared_error") == errors(largest, "squared_error") == errors(largest, "max_squared_error")
    assert all(ours < theirs for ours, theirs in zip(errors(searched, "squared_error"), errors(searched, "max_squared_error")))
    assert searched["totals"]["max_relative_error"] == largest["totals"]["relative_error"]
    scales = [np.concatenate([t.ravel() for name, t in sorted(load_bytes(tmp_path / m).items()) if name.endswith("weight_scale")]) for m in ("mse", "max")]
    assert searched["scale_codes"] == np.bincount(scales[0], minlength=128).tolist()
    values, counts = np.unique(scales[0].astype(int) - scales[1].astype(int), return_counts=True)
    assert searched["code_offsets"] == [list(pair) for pair in zip(values.tolist(), counts.tolist())] and len(values) > 2
    assert largest["code_offsets"] == [[0, scales[1].size]]
    plain = n.Checkpoint().run(model, tmp_path / "plain")
    assert "scale_codes" not in plain and "max_relative_error" not in plain["totals"]


def test_errors(model, tmp_path):
    with pytest.raises(OSError, match="nowhere") as caught:
        n.quantize_checkpoint(tmp_path / "nowhere", tmp_path / "out")
    assert isinstance(caught.value, n.FileError)
    (model / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(n.CorruptError, match="model.safetensors"):
        n.quantize_checkpoint(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError):
        n.quantize_checkpoint("", tmp_path / "out")
    with pytest.raises((ValueError, TypeError), match="null"):
        n.quantize_checkpoint(model, "a\0b")
    with pytest.raises(TypeError):
        n.quantize_checkpoint(3, tmp_path / "out")
    with pytest.raises(ValueError, match="method 'best'"):
        n.quantize_checkpoint(model, tmp_path / "out", "best")
    with pytest.raises(TypeError, match="progress is not callable"):
        n.Checkpoint(progress=3)


def test_names_that_are_no_text(model, tmp_path):
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    n.quantize_checkpoint(model, strange)
    assert os.path.isfile(os.path.join(strange, "model.safetensors"))
    n.quantize_checkpoint(pathlib.Path(model), tmp_path / "größe")
    assert (tmp_path / "größe" / "model.safetensors").is_file()


def test_an_exception_of_progress_stops_the_run(large_model, tmp_path):
    class Enough(Exception):
        pass

    def progress(done, total, name):
        if done > total // 4:
            raise Enough(name)

    with pytest.raises(Enough):
        n.quantize_checkpoint(large_model, tmp_path / "out", progress=progress)
    assert not (tmp_path / "out").exists()


def test_cancel_from_another_thread(large_model, tmp_path):
    began = threading.Event()
    job = n.Checkpoint(progress=lambda *_: began.set())
    caught = []

    def run():
        try:
            job.run(large_model, tmp_path / "out")
        except n.Error as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert began.wait(LIMIT)
    job.cancel()
    thread.join(LIMIT)
    assert not thread.is_alive() and isinstance(caught[0], n.CancelledError) and not (tmp_path / "out").exists()


# A shell that starts this in the background has children ignore SIGINT, and Python leaves that as it finds it.
CHILD = """
import signal, sys, threading, nvfp4cal as n
signal.signal(signal.SIGINT, signal.default_int_handler)
def progress(done, total, name):
    print("running", flush=True)
{body}
"""


def child(body, model, out, child_environment):
    code = CHILD.format(body=textwrap.dedent(body).format(model=repr(str(model)), out=repr(str(out))))
    return subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", code], env=child_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """What it printed; a child that does not end is not left behind."""
    try:
        return process.communicate(timeout=LIMIT)
    finally:
        process.kill()


@pytest.mark.parametrize("watched", [True, False])
def test_ctrl_c(large_model, tmp_path, child_environment, watched):
    body = """
    threading.Timer(0.05, lambda: print("running", flush=True)).start()
    try:
        while True:
            n.quantize_checkpoint({model}, {out}, progress=%s)
            import shutil; shutil.rmtree({out})
    except KeyboardInterrupt:
        print("interrupted")
    """ % ("progress" if watched else "None")
    out = tmp_path / "out"
    process = child(body, large_model, out, child_environment)
    assert process.stdout.readline() == "running\n"
    time.sleep(0.1)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    stdout, stderr = finish(process)
    assert time.monotonic() - begin < 20
    assert process.returncode == 0 and stdout.endswith("interrupted\n"), stderr
    # the signal may come between two runs, when the last one's files are there
    assert not out.exists() or not list(out.glob("*.nvfp4cal-tmp"))


def test_exit_while_a_daemon_thread_quantizes(large_model, tmp_path, child_environment):
    body = """
    began = threading.Event()
    def progress(done, total, name):
        began.set()
    threading.Thread(target=lambda: n.quantize_checkpoint({model}, {out}, progress=progress), daemon=True).start()
    assert began.wait(60)
    print("done")
    """
    process = child(body, large_model, tmp_path / "out", child_environment)
    stdout, stderr = finish(process)
    assert process.returncode == 0 and stdout == "done\n" and stderr == ""
    assert not (tmp_path / "out").exists()


def test_exit_waits_for_other_threads(model, tmp_path, child_environment):
    process = child("threading.Thread(target=lambda: n.quantize_checkpoint({model}, {out})).start()", model, tmp_path / "out", child_environment)
    _, stderr = finish(process)
    assert process.returncode == 0, stderr
    assert (tmp_path / "out" / "model.safetensors").is_file()
