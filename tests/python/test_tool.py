"""The command-line tool as people and scripts call it: results, exit codes, messages, progress, help and man page."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys

import pytest
from paths import ROOT

TOOL = os.environ.get("NVFP4CAL_TOOL", str(ROOT / "build" / "release" / "tools" / "nvfp4cal" / "nvfp4cal"))
COMMANDS = ["quantize", "inspect", "verify", "convert"]
LIMIT = 300


def tool(*arguments, **options):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT, **options)


def ok(*arguments, **options):
    result = tool(*arguments, **options)
    assert result.returncode == 0, result.stderr
    return result


def report_of(*arguments):
    return json.loads(ok(*arguments, "--json", "--quiet").stdout)


def make(folder, *arguments):
    subprocess.run([sys.executable, ROOT / "scripts" / "make_checkpoint.py", folder, *arguments], check=True, capture_output=True, timeout=LIMIT)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Llama shape in two shards."""
    return make(tmp_path_factory.mktemp("tool") / "model", "--size", "1.5MB", "--shards", "2")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return make(tmp_path_factory.mktemp("tool") / "large", "--size", "64MB")


@pytest.fixture(scope="module", params=["modelopt", "compressed-tensors"])
def quantized(request, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tool") / request.param
    ok("quantize", model, folder, "--format", request.param, "--quiet")
    return folder


def copy_with(folder, target, suffix, change):
    """A copy of a model in which change(bytes) was done to the first tensor whose name ends in suffix."""
    shutil.copytree(folder, target)
    for path in sorted(target.glob("*.safetensors")):
        raw = bytearray(path.read_bytes())
        size = 8 + int.from_bytes(raw[:8], "little")
        for name, entry in json.loads(raw[8:size]).items():
            if name.endswith(suffix):
                begin, end = (size + at for at in entry["data_offsets"])
                raw[begin:end] = change(raw[begin:end])
                path.write_bytes(raw)
                return name
    raise AssertionError(suffix)


def test_a_sound_model(model, quantized):
    shown = ok("inspect", quantized)
    assert re.search(r"^defects +none$", shown.stdout, re.M) and shown.stderr == ""
    report = report_of("inspect", quantized)
    assert report["format"] == quantized.name and report["defects"] == [] and all(group["equal"] for group in report["fused_groups"])
    shown = ok("verify", model, quantized)
    assert re.search(r"^total .* 8\.\d\d %$", shown.stdout, re.M) and "not the same" not in shown.stdout
    report = report_of("verify", model, quantized)
    assert report["ok"] and 0.07 < report["totals"]["relative_error"] < 0.09
    assert report["totals"]["layers"] + report["totals"]["copied"] == len(json.loads((model / "model.safetensors.index.json").read_text())["weight_map"])


def test_max_error(model, quantized):
    assert tool("verify", model, quantized, "--max-error", "0.09", "--quiet").stdout == ""
    result = tool("verify", model, quantized, "--max-error", "0.01", "--quiet")
    assert result.returncode == 1 and re.fullmatch(r"nvfp4cal: the relative error is 0\.08\d+, more than 0\.01\n", result.stderr)


def test_defects_are_an_exit_code(quantized, tmp_path):
    name = copy_with(quantized, tmp_path / "bad", ".weight_scale", lambda data: b"\x7f\x00" + data[2:])
    result = tool("inspect", tmp_path / "bad")
    assert result.returncode == 1 and result.stderr == ""
    assert f"  nan: {name}: 1 of the block scales are NaN\n" in result.stdout and f"  zero: {name}: 1 of" in result.stdout
    assert tool("inspect", tmp_path / "bad", "--quiet").returncode == 1
    assert len(json.loads(tool("inspect", tmp_path / "bad", "--json").stdout)["defects"]) == 2


def test_differences_are_an_exit_code(model, quantized, tmp_path):
    copy_with(quantized, tmp_path / "bad", "model.norm.weight", lambda data: data[:9] + b"\x01" + data[10:])
    result = tool("verify", model, tmp_path / "bad")
    assert result.returncode == 1 and "  model.norm.weight: the bytes differ from byte 9 on\n" in result.stdout
    assert result.stdout.endswith("not the same model\n")


def test_convert_there_and_back(quantized, tmp_path):
    other = {"modelopt": "compressed-tensors", "compressed-tensors": "modelopt"}[quantized.name]
    shutil.copytree(quantized, tmp_path / "more")
    (tmp_path / "more" / "1_Pooling").mkdir()
    (tmp_path / "more" / "1_Pooling" / "config.json").write_text("{}")
    (tmp_path / "more" / "model.onnx").write_text("x")
    shown = ok("convert", tmp_path / "more", tmp_path / "there", "--format", other)
    assert re.search(rf"^\d+ layers from {quantized.name} to {other}, .*\n\nleft behind  model.onnx \(weights in another format, or an archive\)\n$", shown.stdout)
    assert (tmp_path / "there" / "1_Pooling" / "config.json").read_text() == "{}"
    ok("convert", tmp_path / "there", tmp_path / "back", "--format", quantized.name)
    for path in quantized.iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes(), path.name
    assert report_of("inspect", tmp_path / "there")["format"] == other
    # what is in the codes and block scales is not convert's business
    copy_with(quantized, tmp_path / "flawed", ".weight_scale", lambda data: b"\x7f\x00" + data[2:])
    ok("convert", tmp_path / "flawed", tmp_path / "moved", "--format", other)
    defects = [sorted((d["kind"], d["name"]) for d in json.loads(tool("inspect", tmp_path / name, "--json").stdout)["defects"])
               for name in ("flawed", "moved")]  # fmt: skip
    assert defects[0] == defects[1] and len(defects[0]) == 2
    result = tool("convert", quantized, tmp_path / "same", "--format", quantized.name)
    assert result.returncode == 1 and "has that format already" in result.stderr and not (tmp_path / "same").exists()


def quantized_names(report):
    return {tensor["name"] for tensor in report["tensors"] if tensor["action"] == "quantized"}


def test_options_of_quantize(model, tmp_path):
    everything = quantized_names(report_of("quantize", model, tmp_path / "all"))
    some = report_of("quantize", model, tmp_path / "some", "--include", "*mlp*", "--exclude", "*layers.0.*", "--exclude", "*layers.1.*")
    assert quantized_names(some) == {name for name in everything if "mlp" in name and not re.search(r"layers\.[01]\.", name)}
    fused = report_of("quantize", model, tmp_path / "fused", "--fuse-group", "*.self_attn.{q,k,v,o}_proj")
    groups = {tensor["name"]: tensor.get("group") for tensor in fused["tensors"]}
    assert groups["model.layers.0.self_attn.o_proj.weight"] == groups["model.layers.0.self_attn.q_proj.weight"]
    assert report_of("quantize", model, tmp_path / "46", "--method", "four-over-six")["method"] == "four-over-six"
    ok("quantize", model, tmp_path / "w4a4", "--input-scale", "1.0", "--quiet")
    report = report_of("inspect", tmp_path / "w4a4")
    assert report["algorithm"] == "NVFP4" and all(layer["input_scale"] == 1.0 for layer in report["layers"]) and report["defects"] == []
    scales = {name.removesuffix(".weight"): 0.5 for name in everything}
    (tmp_path / "scales.json").write_text(json.dumps(scales))
    ok("quantize", model, tmp_path / "map", "--input-scales", tmp_path / "scales.json", "--quiet")
    assert all(layer["input_scale"] == 0.5 for layer in report_of("inspect", tmp_path / "map")["layers"])


def test_dry_run(model, tmp_path):
    result = ok("quantize", model, tmp_path / "out", "--dry-run")
    assert "rel. error" not in result.stdout
    assert not (tmp_path / "out").exists() and "nothing was written" in result.stdout
    dry = json.loads(ok("quantize", model, tmp_path / "out", "--dry-run", "--json").stdout)
    wet = report_of("quantize", model, tmp_path / "out")
    assert dry["totals"]["bytes_out"] == wet["totals"]["bytes_out"] and quantized_names(dry) == quantized_names(wet)


def page_of(model, folder):
    """The page of a run and the report inside it."""
    ok("quantize", model, folder / "out", "--quiet", "--report", folder / "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    return page, json.loads(re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.S)[1])


def test_page(model, tmp_path):
    page, report = page_of(model, tmp_path)
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    assert report["totals"]["max_relative_error"] > report["totals"]["relative_error"] > 0
    blocks = report["totals"]["elements_quantized"] // 16
    assert sum(report["scale_codes"]) == sum(count for _, count in report["code_offsets"]) == blocks
    # nothing is fetched, and every part is there
    assert not re.search(r"""(src|href)\s*=|@import|url\(|fetch\(|XMLHttpRequest""", page)
    assert page.count("<script") == page.count("</script>") == 3 and page.count("<style>") == page.count("</style>") == 2
    assert "Permission is hereby granted, free of charge" in page and "uPlot (v1." in page
    assert not re.search(r"@(report|page|uPlot)[.@]", page)


def test_page_of_hostile_names(model, tmp_path):
    """A name from a file is text, whatever it holds."""
    bad = tmp_path / "bad"
    shutil.copytree(model, bad)
    index = json.loads((bad / "model.safetensors.index.json").read_text())
    name, evil = "model.norm.weight", "</script><script>alert(1)</script>"
    path = bad / index["weight_map"].pop(name)
    index["weight_map"][evil] = path.name
    (bad / "model.safetensors.index.json").write_text(json.dumps(index))
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header[evil] = header.pop(name)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
    page, report = page_of(bad, tmp_path)
    assert evil in {tensor["name"] for tensor in report["tensors"]} and evil not in page and page.count("<script") == 3


def test_report_as_json(model, tmp_path):
    printed = ok("quantize", model, tmp_path / "out", "--json", "--report", tmp_path / "report.json").stdout
    assert (tmp_path / "report.json").read_text() == printed and "scale_codes" not in json.loads(printed)


@pytest.mark.parametrize("place", ["in/report.json", "in/sub/report.json", "out/report.json", "link/sub/report.html", "out", "in"])
def test_report_inside_the_folders(model, tmp_path, place):
    shutil.copytree(model, tmp_path / "in")
    (tmp_path / "in" / "sub").mkdir()
    (tmp_path / "link").symlink_to("in")
    result = tool("quantize", tmp_path / "in", tmp_path / "out", "--report", tmp_path / place)
    assert result.returncode == 2 and result.stderr == f"nvfp4cal: the report must not lie in the model's folders: {tmp_path / place}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "link"]


def test_results_that_cannot_be_written(model, tmp_path):
    """What happened to the model is said beside it."""
    with open("/dev/full", "w") as full:
        for dry, done in ([], "the model was written"), (["--dry-run"], "the dry run is done"):
            arguments = [TOOL, "quantize", str(model), str(tmp_path / f"out{len(dry)}"), *dry]
            result = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
            assert result.returncode == 1 and result.stderr.startswith(f"nvfp4cal: {done}, but not the table on stdout: ")
    result = tool("quantize", model, tmp_path / "other", "--dry-run", "--quiet", "--report", "/dev/full")
    assert result.returncode == 1 and result.stderr.startswith("nvfp4cal: the dry run is done, but the report /dev/full was not written: ")


@pytest.mark.parametrize("arguments,message", [
    ([], "Usage"),
    (["polish"], 'unknown command "polish" (commands: quantize, inspect, verify, convert)'),
    (["quantize"], "input is missing"),
    (["quantize", "a"], "output is missing"),
    (["quantize", "a", "b", "c"], "unknown option or argument: c"),
    (["quantize", "a", "b", "--method", "best"], "--method best: expected mse, max, four-over-six or gptq"),
    (["quantize", "a", "b", "--format", "gguf"], "--format gguf: expected modelopt or compressed-tensors"),
    (["quantize", "a", "b", "--threads", "0"], "--threads 0: expected a number from 1 to 1024"),
    (["quantize", "a", "b", "--threads", ""], "--threads: a value is missing"),
    (["quantize", "a", "b", "--include"], "--include: a value is missing"),
    (["quantize", "a", "b", "--input-scale", ""], "--input-scale: a value is missing"),
    (["quantize", "a", "b", "--input-scales", ""], "--input-scales: a value is missing"),
    (["quantize", "a", "b", "--hessians", ""], "--hessians: a value is missing"),
    (["quantize", "a", "b", "--method", "gptq"], "--method gptq: --hessians DIR is missing"),
    (["quantize", "a", "b", "--hessians", "h"], "--hessians: for --method gptq alone, the method is mse"),
    (["quantize", "a", "b", "--hessians", "h", "--method", "max"], "--hessians: for --method gptq alone, the method is max"),
    (["quantize", "a", "b", "--effort", "max"], "--effort: for --method gptq alone, the method is mse"),
    (["quantize", "a", "b", "--damping", "0.1"], "--damping: for --method gptq alone, the method is mse"),
    (["quantize", "a", "b", "--method", "gptq", "--hessians", "h", "--effort", "most"], "--effort most: expected fast, default or max"),
    (["quantize", "a", "b", "--report="], "--report: a value is missing"),
    (["quantize", "a", "b", "--method", "max", "--method", "mse"], "--method: given more than once"),
    (["inspect"], "folder is missing"),
    (["inspect", "--fast"], "unknown option or argument: --fast"),
    (["inspect", "a", "--progress-interval="], "--progress-interval: a value is missing"),
    (["verify", "a"], "quantized is missing"),
    (["verify", "a", "b", "--max-error", ""], "--max-error: a value is missing"),
    (["convert", "a", "b"], "--format is missing"),
    (["convert", "a", "b", "--fast"], "unknown option or argument: --fast"),
    (["--quiet"], "--quiet"),
])  # fmt: skip
def test_usage(arguments, message):
    result = tool(*arguments)
    assert result.returncode == 2 and message in result.stderr and result.stdout == ""
    assert not arguments or result.stderr.count("\n") == 1


NUMBERS = {
    "--damping": ["quantize", "a", "b", "--method", "gptq", "--hessians", "h"],
    "--max-error": ["verify", "a", "b"],
    "--progress-interval": ["inspect", "a"],
    "--input-scale": ["quantize", "a", "b"],
}


@pytest.mark.parametrize("option", NUMBERS)
def test_numbers(option):
    """The message of one that is refused names the option, the value and what is allowed; others are gone on with."""
    allowed = "a number from 0 on, below 1.79e308"
    refused = ["-1", "nan", "inf", "abc", "1e", "0x1", "1,5", " 1", "1 ", ".", "1e309", "1e999999999999"]
    taken = ["1", "+1", ".5", "5.", "1e30"]
    if option == "--input-scale":
        allowed = "a number from 1.18e-38 to 8.5e37: float32 has to hold it and its reciprocal"
        refused += ["0", "-0", "1e-60", "1e-400", "1.17e-38", "8.6e37", "1e60"]
        taken += ["1.18e-38", "8.5e37"]
    else:
        taken += ["0", "-0", "1e-400", "1e300", "1.7e308"]
    for value in refused:
        result = tool(*NUMBERS[option], f"{option}={value}")
        assert result.returncode == 2 and result.stderr.startswith(f"nvfp4cal: {option} {value}: expected {allowed} (see "), value
        assert result.stderr.count("\n") == 1 and result.stdout == ""
    for value in taken:
        result = tool(*NUMBERS[option], f"{option}={value}")
        assert result.returncode == 1 and re.fullmatch("nvfp4cal: (the input folder a does not exist|h is no folder)\n", result.stderr), value


def test_environment(tmp_path):
    result = tool("inspect", tmp_path, env={**os.environ, "NVFP4CAL_NUM_THREADS": "many"})
    assert result.returncode == 2 and "NVFP4CAL_NUM_THREADS=many" in result.stderr


@pytest.mark.parametrize("command", ["inspect", "verify", "convert"])
def test_malformed_files(quantized, model, tmp_path, command):
    arguments = {"inspect": [], "verify": [], "convert": [tmp_path / "out", "--format", "modelopt"]}[command]
    bad = tmp_path / "bad"

    def error(change):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(quantized, bad)
        change()
        result = tool(command, *([model] if command == "verify" else []), bad, *arguments)
        assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return result.stderr

    shard, index = sorted(bad.parent.joinpath(quantized).glob("*.safetensors"))[0].name, "model.safetensors.index.json"
    assert shard in error(lambda: (bad / shard).write_bytes((bad / shard).read_bytes()[:-1]))
    assert shard in error(lambda: (bad / shard).write_bytes(b"\xff" * 16))
    assert shard in error(lambda: (bad / shard).unlink())
    assert index in error(lambda: (bad / index).write_text("{"))
    assert "config.json" in error(lambda: (bad / "config.json").write_text('{"a": 1, "a": 2}'))
    assert "does not exist" in error(lambda: shutil.rmtree(bad))


def test_a_full_disk_for_words(quantized):
    with open("/dev/full", "w") as full:
        result = subprocess.run([TOOL, "inspect", quantized], stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    assert result.returncode == 1 and result.stderr == "nvfp4cal: cannot write to stdout: No space left on device\n"


def test_lines_in_a_pipe(large, tmp_path):
    result = ok("quantize", large, tmp_path / "a", "--progress-interval", "0")
    lines = result.stderr.splitlines()
    assert len(lines) > 3
    for line in lines:
        assert re.fullmatch(r"nvfp4cal: \d+ %, [\d.]+ [kMG]?B of \d+ MB, [\d.]+ [kMG]?B/s(, \d+ s left)?", line), line
    assert ok("quantize", large, tmp_path / "b").stderr == ""  # shorter than the default interval
    assert ok("quantize", large, tmp_path / "c", "--quiet", "--progress-interval", "0").stderr == ""


def on_a_terminal(*arguments):
    """What it writes to a terminal on stderr, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([TOOL, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            text += piece
        return text.decode(), process.wait(LIMIT)
    finally:
        process.kill()
        os.close(ours)


def test_a_bar_on_a_terminal(large, tmp_path):
    text, code = on_a_terminal("quantize", large, tmp_path / "a")
    drawn = [part for part in text.split("\r") if part.startswith("[")]
    assert code == 0 and drawn and all(re.match(r"\[#*\.*\] +\d+ %  [\d.]+ [kMG]?B/s", part) for part in drawn), text
    assert text.endswith("\r\x1b[K")  # nothing stays on the line
    assert on_a_terminal("quantize", large, tmp_path / "b", "--quiet") == ("", 0)


def test_ctrl_c(large, tmp_path):
    process = subprocess.Popen([TOOL, "quantize", large, tmp_path / "out", "--threads", "1", "--progress-interval", "0"], stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    try:
        assert "%" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=LIMIT)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and stderr.endswith("nvfp4cal: interrupted; nothing was written\n") and not (tmp_path / "out").exists()


def test_the_table_says_what_was_kept(tmp_path):
    model = make(tmp_path / "model", "--size", "64MB", "--shards", "5")
    for attempt in range(20):
        out = tmp_path / str(attempt)
        process = subprocess.Popen([TOOL, "quantize", model, out, "--threads", "1", "--quiet"])
        while process.poll() is None:
            journal = out / ".nvfp4cal-journal"
            if journal.exists() and journal.read_bytes().count(b'"shard"') >= 2:
                process.kill()
        if process.wait() == -signal.SIGKILL:
            break
    else:
        pytest.fail("no run could be killed in time")
    last = ok("quantize", model, out).stdout.splitlines()[-1]
    assert re.fullmatch(r".* in [\d.]+ s; [2-5] of 5 shards kept from an earlier run", last), last
    assert "kept" not in ok("quantize", model, tmp_path / "undisturbed").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_man_page(command):
    text = ok(command, "--help").stdout
    body, rest = text.split("Examples:")
    assert f"  nvfp4cal {command} " in rest and "Exit codes: 0 " in rest
    options = {match[1] for match in re.finditer(r"^  (?:-\w,)?(--[a-z-]+)", body, re.M)}
    page = (ROOT / "tools" / "nvfp4cal" / "nvfp4cal.1").read_text().replace("\\-", "-")
    section = re.search(rf"^\.SH {command.upper()}\n(.*?)^\.SH ", page, re.M | re.S)[1]
    assert options == set(re.findall(r"^\.BI? (--[a-z-]+)", section, re.M)) and len(options) > 4
    synopsis = re.search(r"^\.SH SYNOPSIS\n(.*?)^\.SH ", page, re.M | re.S)[1]
    assert f".B nvfp4cal {command}\n" in synopsis
    # examples use options that there are
    known = options | {"--help"}
    for line in rest.splitlines():
        if line.startswith(f"  nvfp4cal {command} "):
            assert set(re.findall(r"(--[a-z-]+)", line)) <= known, line


def test_top_level():
    assert re.fullmatch(r"nvfp4cal \d+\.\d+\.\d+\n", ok("--version").stdout)
    text = ok("--help").stdout
    assert all(f"\n  {command} " in text for command in COMMANDS) and "Exit codes" in text
