"""bench/cuda_peers.py: what it calls of ModelOpt is there, takes what it gives, and it measures nothing without a device."""
import importlib.util

import pytest
import torch

from paths import ROOT

PROGRAM = ROOT / "bench/cuda_peers.py"
spec = importlib.util.spec_from_file_location("cuda_peers", PROGRAM)
peers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peers)


def test_the_peers_functions_are_there(capsys):
    peers.main(["--check"])
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == len(peers.PEERS)
    assert "nvfp4_fp8_scale_sweep(x, global_amax, block_size)" in printed


def test_a_function_that_is_gone_is_noticed(monkeypatch):
    monkeypatch.setitem(peers.PEERS, "sweep", (peers.PEERS["sweep"][0], "no_such_sweep", ()))
    with pytest.raises(AttributeError):
        peers.main(["--check"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_nothing_is_measured_without_a_device(capsys):
    peers.main(["libnvfp4cal.so.0"])
    assert capsys.readouterr().out == "SKIPPED torch has no CUDA device\n"
    with pytest.raises(SystemExit):
        peers.main([])
