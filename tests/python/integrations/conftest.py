"""Models, and the integrations put in place for one test."""
import os
import pathlib
import subprocess

import pytest
import torch
from paths import ROOT

# Test tensors are small, and machines are shared.
torch.set_num_threads(1)

pytest.importorskip("modelopt", reason="needs the environment of scripts/venv_torch.sh")


@pytest.fixture
def on_cpu():
    """nvfp4cal under ModelOpt."""
    import nvfp4cal.integrations.modelopt as integration

    integration.install()
    yield integration
    integration.uninstall()


@pytest.fixture
def observers():
    """nvfp4cal under llm-compressor."""
    import nvfp4cal.integrations.llmcompressor as integration

    integration.install()
    yield integration
    integration.uninstall()


@pytest.fixture(scope="session")
def llama():
    """A small random Llama, bfloat16; copy it before changing it."""
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=512,
        max_position_embeddings=128, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval().to(torch.bfloat16)


@pytest.fixture(scope="session")
def tokens():
    """Calibration input of ``llama``."""
    return torch.randint(0, 512, (4, 32), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def minilm_folder():
    """all-MiniLM-L6-v2, fetched once by scripts/minilm.sh."""
    folder = os.environ.get("NVFP4CAL_MINILM") or subprocess.run(
        [ROOT / "scripts" / "minilm.sh"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    return pathlib.Path(folder)
