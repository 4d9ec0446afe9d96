"""llama.cpp's converter and its engine, on the CPU (scripts/llama_cpp.sh)."""
import math
import os
import pathlib
import subprocess
import sys

import torch

FOLDER = pathlib.Path(os.environ["NVFP4CAL_LLAMA_CPP"])
# The converter knows Qwen's own vocabularies by their hash and no other; the tokens do not matter here.
CONVERTER = """
import runpy, sys
sys.path[0] = sys.argv[1]
from conversion.qwen import Qwen3MoeModel
Qwen3MoeModel.set_vocab = Qwen3MoeModel._set_vocab_sentencepiece
del sys.argv[1]
runpy.run_path(sys.path[0] + "/convert_hf_to_gguf.py", run_name="__main__")
"""


def convert(model, file):
    """A model folder to GGUF; returns what the converter said."""
    command = [sys.executable, "-c", CONVERTER, str(FOLDER / "src"), str(model), "--outfile", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def probabilities(file, tokens, vocabulary):
    """What the engine expects after each of the tokens, [tokens, vocabulary]."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 128
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    rows = torch.zeros(len(tokens), vocabulary, dtype=torch.float64)
    for end in range(1, len(tokens) + 1):
        request = {"prompt": tokens[:end], "n_predict": 1, "n_probs": vocabulary, "temperature": 1.0, "samplers": ["temperature"], "seed": 1}
        answer = server.handle_completions(request)
        for candidate in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            rows[end - 1, candidate["id"]] = math.exp(candidate["logprob"])
    return rows
