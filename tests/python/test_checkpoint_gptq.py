"""Method gptq of the tool and of quantize_checkpoint: a folder of Hessians, its options, Ctrl-C in the middle of a layer."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_checkpoint_resume import contents, run_until_shards
from test_tool import LIMIT, TOOL, ok, report_of, tool

import nvfp4cal as n

SIZE = 4096


def write_hessian(path, columns, rows, seed):
    """Of inputs whose columns go together."""
    x = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    hessian = n.HessianAccumulator("full")
    hessian.collect(x + 0.7 * np.roll(x, 1, 1))
    path.write_bytes(np.asarray(hessian.export_state()).tobytes())


@pytest.fixture
def calibrated(tmp_path, rng):
    """A model, and Hessians of the first of its two blocks; q and k share a file."""
    names = [f"layers.{i}.{layer}" for i in (0, 1) for layer in ("q_proj", "k_proj", "down_proj")]
    (tmp_path / "model").mkdir()
    save_file({f"{name}.weight": rng.standard_normal((48, 128)).astype(np.float32) for name in names}, tmp_path / "model" / "model.safetensors")
    (tmp_path / "hessians").mkdir()
    for i, name in enumerate(("layers.0.q_proj", "layers.0.down_proj")):
        write_hessian(tmp_path / "hessians" / f"{name}.hessian", 128, 512, i)
    (tmp_path / "hessians" / "layers.0.k_proj.hessian").symlink_to("layers.0.q_proj.hessian")
    return tmp_path


def test_gptq(calibrated, tmp_path):
    gptq = ["--method", "gptq", "--hessians", calibrated / "hessians"]
    result = ok("quantize", calibrated / "model", tmp_path / "default", *gptq)
    assert "nvfp4cal: warning: 3 layers have no Hessian: their scales were chosen by method mse\n" in result.stderr
    reports = {name: report_of("quantize", calibrated / "model", tmp_path / name, *gptq, *arguments)
               for name, arguments in (("fast", ["--effort", "fast"]), ("max", ["--effort", "max"]), ("damped", ["--damping", "0.5"]))}  # fmt: skip
    assert [(r["method"], r["effort"], r["damping"]) for r in reports.values()] == [("gptq", "fast", 0.02), ("gptq", "max", 0.02), ("gptq", "default", 0.5)]
    methods = {tensor["name"]: tensor["method"] for tensor in reports["max"]["tensors"]}
    assert methods == {name: "gptq" if "layers.0" in name else "mse" for name in methods} and len(methods) == 6
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("default", *reports)}
    assert len(set(files.values())) == 4
    verified = report_of("verify", calibrated / "model", tmp_path / "max")
    assert verified["ok"] and verified["totals"]["layers"] == 6
    threads = report_of("quantize", calibrated / "model", tmp_path / "threads", *gptq, "--threads", "1", "--effort", "max", "--damping", "0.02")
    assert (tmp_path / "threads" / "model.safetensors").read_bytes() == files["max"]
    for one, other in zip(threads["tensors"], reports["max"]["tensors"]):
        assert one == other


def test_page(calibrated, tmp_path):
    """The page of a run by GPTQ: codes of all layers are counted, and the same report comes from any number of threads."""
    reports = []
    for threads in ("1", "3"):
        ok("quantize", calibrated / "model", tmp_path / threads, "--method", "gptq", "--hessians", calibrated / "hessians", "--threads", threads, "--quiet",
           "--report", tmp_path / f"{threads}.html")  # fmt: skip
        page = (tmp_path / f"{threads}.html").read_text(encoding="utf-8")
        reports.append(json.loads(re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.S)[1]))
    one, three = reports
    assert sum(one["scale_codes"]) == 6 * 48 * 128 // 16 and one["method"] == "gptq"
    assert all(tensor["max_squared_error"] > 0 for tensor in one["tensors"])
    for key in ("tensors", "scale_codes", "code_offsets"):
        assert one[key] == three[key], key


def test_folders_that_are_none(calibrated, tmp_path):
    result = tool("quantize", calibrated / "model", tmp_path / "out", "--method", "gptq", "--hessians", tmp_path / "nowhere")
    assert result.returncode == 1 and result.stderr == f"nvfp4cal: {tmp_path / 'nowhere'} is no folder\n"
    (tmp_path / "empty").mkdir()
    result = tool("quantize", calibrated / "model", tmp_path / "out", "--method", "gptq", "--hessians", tmp_path / "empty")
    assert result.returncode == 1 and result.stderr == f"nvfp4cal: {tmp_path / 'empty'} has no Hessian of a layer to quantize\n"
    assert not (tmp_path / "out").exists()


def test_a_killed_run_goes_on(tmp_path, rng):
    """With the same effort. Gate and up share a global scale over two shards."""
    model, hessians = tmp_path / "model", tmp_path / "hessians"
    model.mkdir()
    hessians.mkdir()
    files = {f"layers.{i}.{layer}_proj": f"model-{2 * i + j + 1:05}-of-00006.safetensors" for i in range(3) for j, layer in enumerate(("gate", "up"))}
    for i, (name, file) in enumerate(files.items()):
        save_file({f"{name}.weight": rng.standard_normal((128, 128)).astype(np.float32)}, model / file)
        write_hessian(hessians / f"{name}.hessian", 128, 256, i)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {f"{name}.weight": file for name, file in files.items()}}))
    options = {"method": "gptq", "hessians": hessians}
    undisturbed = n.quantize_checkpoint(model, tmp_path / "undisturbed", **options)
    run_until_shards(model, tmp_path / "killed", 3, **options)
    again = n.quantize_checkpoint(model, tmp_path / "killed", **options)
    assert again["totals"]["shards_kept"] >= 3 and again["tensors"] == undisturbed["tensors"]
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
    run_until_shards(model, tmp_path / "other", 3, **options)
    assert n.quantize_checkpoint(model, tmp_path / "other", effort="fast", **options)["totals"]["shards_kept"] == 0


@pytest.fixture(scope="module")
def large_layer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layer")
    for name in ("model", "hessians"):
        (folder / name).mkdir()
    weights = np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype(np.float32)
    save_file({"layers.0.o_proj.weight": weights}, folder / "model" / "model.safetensors")
    write_hessian(folder / "hessians" / "layers.0.o_proj.hessian", SIZE, 64, 1)
    return folder


def processor_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def interrupt_after(seconds, command, **options):
    """Ctrl-C after so many seconds of work. Returns exit code, stderr and the processor seconds that were still used, however slow the machine is."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options)
    try:
        deadline = time.monotonic() + LIMIT
        while processor_seconds(process.pid) < seconds and time.monotonic() < deadline:
            time.sleep(0.01)
        before, children = processor_seconds(process.pid), resource.getrusage(resource.RUSAGE_CHILDREN)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=LIMIT)[1]
    finally:
        process.kill()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process.returncode, stderr, after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime - before


@pytest.mark.parametrize("seconds", [0.5, 1.5, 3.0, 6.0])
def test_ctrl_c_inside_a_layer(large_layer, tmp_path, seconds):
    """While the Hessian is read and factored, and while rows are rounded."""
    command = [TOOL, "quantize", large_layer / "model", tmp_path / "out", "--method", "gptq", "--hessians", large_layer / "hessians", "--effort", "max"]
    code, stderr, used = interrupt_after(seconds, [*command, "--threads", "1", "--quiet"])
    assert code == 130 and stderr == "nvfp4cal: interrupted; nothing was written\n" and not (tmp_path / "out").exists()
    assert used < 0.4, used


def test_ctrl_c_inside_a_layer_in_python(large_layer, tmp_path, child_environment):
    run = f"n.quantize_checkpoint({str(large_layer / 'model')!r}, {str(tmp_path / 'out')!r}, 'gptq', hessians={str(large_layer / 'hessians')!r}, effort='max', "
    code, stderr, used = interrupt_after(4.0, [sys.executable, "-c", f"import nvfp4cal as n; {run}context=n.Context(threads=1))"], env=child_environment)
    assert code != 0 and stderr.rstrip().endswith("KeyboardInterrupt") and not (tmp_path / "out").exists()
    assert used < 1.0, used  # the pulse of progress callbacks, and the end of the interpreter


def test_progress_inside_a_layer(calibrated, tmp_path):
    """1024 rows in steps of four times 64."""
    (tmp_path / "one").mkdir()
    save_file({"layers.0.q_proj.weight": np.random.default_rng(2).standard_normal((1024, 128)).astype(np.float32)}, tmp_path / "one" / "model.safetensors")
    result = ok("quantize", tmp_path / "one", tmp_path / "out", "--method", "gptq", "--hessians", calibrated / "hessians", "--threads", "1",
                "--progress-interval", "0")  # fmt: skip
    parts = [int(line.split()[1]) for line in result.stderr.splitlines() if "%" in line]
    assert {50, 62, 75, 88} <= set(parts) and parts == sorted(parts), parts
    assert json.loads(ok("inspect", tmp_path / "out", "--json").stdout)["totals"]["layers"] == 1


def test_options_of_another_method_are_refused(tmp_path):
    for options in ({"effort": "fast"}, {"damping": 0.1}):
        with pytest.raises(ValueError, match="effort and damping are of method gptq, not of max"):
            n.quantize_checkpoint(tmp_path, tmp_path / "out", "max", **options)
