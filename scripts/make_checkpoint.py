#!/usr/bin/env python3
"""Writes a synthetic model folder (config.json, sharded safetensors, index) with the names and shapes of a real architecture and weights that
look like trained ones: for tests and benchmarks of any size.

usage: make_checkpoint.py OUT [--layout llama|qwen-moe|bert] [--size 2GB] [--dtype bf16|f16|f32] [--shards N] [--seed N] [--with-expert-stacks]

Weights are a normal variable with a heavier tail (kurtosis about 5) times lognormal factors of its row and column; some columns are outliers.
A tensor is made in pieces of some MB, so memory does not depend on the size. The same arguments give the same bytes; an expert has the same
weights alone and in a stack. Needs numpy and nothing else.
"""
import argparse
import json
import math
import pathlib
import re
import sys
import zlib

import numpy as np

PIECE = 1 << 21  # elements made at once
DTYPES = {"bf16": ("BF16", "bfloat16", 2), "f16": ("F16", "float16", 2), "f32": ("F32", "float32", 4)}
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
HIDDEN = [64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 5120, 8192]


class Tensor:
    """`parts` are 2-D (rows, cols) matrices behind one another, made from the names of their own; shape is that of all."""

    def __init__(self, name, shape, parts=None):
        self.name, self.shape = name, list(shape)
        rows = math.prod(shape[:-1])
        self.parts = parts or [(name, rows, shape[-1])]
        self.elements = math.prod(shape)


def llama_layer(prefix, h):
    heads = {"q": h, "k": max(h // 4, 16), "v": max(h // 4, 16)}
    yield Tensor(f"{prefix}.input_layernorm.weight", [h])
    for name, rows in heads.items():
        yield Tensor(f"{prefix}.self_attn.{name}_proj.weight", [rows, h])
    yield Tensor(f"{prefix}.self_attn.o_proj.weight", [h, h])
    yield Tensor(f"{prefix}.post_attention_layernorm.weight", [h])


def llama(h, layers, _):
    for i in range(layers):
        prefix = f"model.layers.{i}"
        yield from llama_layer(prefix, h)
        inner = 7 * h // 2
        for name in ("gate_proj", "up_proj"):
            yield Tensor(f"{prefix}.mlp.{name}.weight", [inner, h])
        yield Tensor(f"{prefix}.mlp.down_proj.weight", [h, inner])
    yield Tensor("model.norm.weight", [h])


def experts_of(h):
    return 8 if h <= 512 else 32 if h <= 1024 else 128


def qwen_moe(h, layers, stacks):
    experts, inner = experts_of(h), 3 * h // 8 // 16 * 16
    for i in range(layers):
        prefix = f"model.layers.{i}"
        yield from llama_layer(prefix, h)
        for name in ("q_norm", "k_norm"):
            yield Tensor(f"{prefix}.self_attn.{name}.weight", [64])
        mlp = f"{prefix}.mlp"
        yield Tensor(f"{mlp}.gate.weight", [experts, h])
        single = [[(f"{mlp}.experts.{e}.{name}.weight", *shape) for name, shape in
                   (("gate_proj", (inner, h)), ("up_proj", (inner, h)), ("down_proj", (h, inner)))] for e in range(experts)]  # fmt: skip
        if stacks:
            yield Tensor(f"{mlp}.experts.gate_up_proj", [experts, 2 * inner, h], [part for e in single for part in e[:2]])
            yield Tensor(f"{mlp}.experts.down_proj", [experts, h, inner], [e[2] for e in single])
        else:
            for name, rows, cols in (part for e in single for part in e):
                yield Tensor(name, [rows, cols])
    yield Tensor("model.norm.weight", [h])


def bert(h, layers, _):
    yield Tensor("embeddings.position_embeddings.weight", [512, h])
    yield Tensor("embeddings.token_type_embeddings.weight", [2, h])
    linear = {"attention.self.query": (h, h), "attention.self.key": (h, h), "attention.self.value": (h, h), "attention.output.dense": (h, h),
              "intermediate.dense": (4 * h, h), "output.dense": (h, 4 * h)}  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for i in range(layers):
        prefix = f"encoder.layer.{i}"
        for name, shape in linear.items():
            yield Tensor(f"{prefix}.{name}.weight", shape)
            yield Tensor(f"{prefix}.{name}.bias", [shape[0]])
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    for norm in norms:
        yield Tensor(f"{norm}.weight", [h])
        yield Tensor(f"{norm}.bias", [h])
    yield Tensor("pooler.dense.weight", [h, h])
    yield Tensor("pooler.dense.bias", [h])


# layout: its tensors but those of the vocabulary, their names, config.json
LAYOUTS = {
    "llama": (llama, ["model.embed_tokens.weight", "lm_head.weight"], {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}),
    "qwen-moe": (qwen_moe, ["model.embed_tokens.weight", "lm_head.weight"], {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"}),
    "bert": (bert, ["embeddings.word_embeddings.weight"], {"architectures": ["BertModel"], "model_type": "bert"}),
}


def elements_of(tensors):
    return sum(t.elements for t in tensors)


def make_model(layout, size, dtype, stacks):
    """The tensors of a model of `size` bytes: as wide and as deep as real ones of that size; the vocabulary takes the rest."""
    make, vocabulary, config = LAYOUTS[layout]
    wanted = size // DTYPES[dtype][2]
    found = None
    for h in HIDDEN:
        fixed = elements_of(make(h, 0, stacks))
        layer = elements_of(make(h, 1, stacks)) - fixed
        layers = (wanted * 9 // 10 - fixed) // layer
        if layers >= max(2, h // 128) or (found is None and h == HIDDEN[0]):
            found = h, max(layers, 1)
    h, layers = found
    tensors = list(make(h, layers, stacks))
    rows = (wanted - elements_of(tensors)) // (h * len(vocabulary)) // 16 * 16
    if rows < 16:
        smallest = (elements_of(tensors) + 16 * h * len(vocabulary)) * DTYPES[dtype][2]
        raise SystemExit(f"make_checkpoint.py: --size {size}: a {layout} model has at least {smallest} bytes")
    tensors = [Tensor(name, [rows, h]) for name in vocabulary] + tensors
    config = dict(config, hidden_size=h, num_hidden_layers=layers, vocab_size=rows, torch_dtype=DTYPES[dtype][1])
    if layout == "qwen-moe":
        config.update(num_experts=experts_of(h), moe_intermediate_size=3 * h // 8 // 16 * 16)
    return tensors, config


def values(name, rows, cols, seed):
    """Pieces of a [rows, cols] matrix, float32, some whole rows each."""
    random = np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))
    if name.endswith(".bias") or "norm" in name.lower():
        offset = 0.0 if name.endswith(".bias") else 1.0
        yield np.float32(offset) + np.float32(0.1) * random.standard_normal(rows * cols, np.float32)
        return
    columns = np.exp(0.15 * random.standard_normal(cols, np.float32))
    outliers = random.random(cols) < 0.003
    columns[outliers] *= np.float32(4.0)
    columns *= np.float32(0.6 / math.sqrt(cols))
    step = max(1, PIECE // cols)
    for begin in range(0, rows, step):
        n = min(step, rows - begin)
        x = random.standard_normal((n, cols), np.float32)
        x *= np.float32(1.0) + np.float32(0.05) * np.square(x)
        x *= np.exp(0.2 * random.standard_normal((n, 1), np.float32))
        x *= columns
        yield x.reshape(-1)


def encode(x, dtype):
    if dtype == "f32":
        return x.tobytes()
    if dtype == "f16":
        return x.astype(np.float16).tobytes()
    bits = x.view(np.uint32)  # to nearest even
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16).tobytes()


def write_shard(path, tensors, dtype, seed):
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for tensor in tensors:
        end = position + tensor.elements * DTYPES[dtype][2]
        header[tensor.name] = {"dtype": DTYPES[dtype][0], "shape": tensor.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for name, rows, cols in tensor.parts:
                for piece in values(name, rows, cols, seed):
                    file.write(encode(piece, dtype))


def split(tensors, shards):
    """Consecutive runs of about equal size, none empty."""
    if shards > len(tensors):
        raise SystemExit(f"make_checkpoint.py: --shards {shards}: the model has {len(tensors)} tensors")
    runs, total, done = [[] for _ in range(shards)], elements_of(tensors), 0
    for i, tensor in enumerate(tensors):
        at = min(done * shards // total, shards - 1, i)
        at = max(at, shards - (len(tensors) - i))  # the last ones take one tensor each, if need be
        runs[at].append(tensor)
        done += tensor.elements
    return [run for run in runs if run]


def write_model(folder, tensors, config, dtype, shards, seed):
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"make_checkpoint.py: {folder} is not empty")
    runs, weight_map = split(tensors, shards), {}
    for i, run in enumerate(runs):
        name = "model.safetensors" if len(runs) == 1 else f"model-{i + 1:05}-of-{len(runs):05}.safetensors"
        write_shard(folder / name, run, dtype, seed)
        weight_map.update({tensor.name: name for tensor in run})
    if len(runs) > 1:
        index = {"metadata": {"total_size": elements_of(tensors) * DTYPES[dtype][2]}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def size_of(text):
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([KMG]?)B?", text.upper())
    if not match:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of bytes such as 500MB or 2GB")
    return int(float(match[1]) * UNITS[match[2]])


def positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 on")
    return int(text)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=pathlib.Path, metavar="OUT", help="folder to write: new or empty")
    parser.add_argument("--layout", choices=LAYOUTS, default="llama")
    parser.add_argument("--size", type=size_of, default=size_of("100MB"), help="bytes of tensor data: 300K, 500MB, 2GB (default 100MB)")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--shards", type=positive, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--with-expert-stacks", action="store_true", help="qwen-moe: experts as [E, 2I, H] and [E, H, I]")
    options = parser.parse_args(arguments)
    if options.with_expert_stacks and options.layout != "qwen-moe":
        parser.error(f"--with-expert-stacks: the layout {options.layout} has no experts")
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: expected a number from 0 on")
    tensors, config = make_model(options.layout, options.size, options.dtype, options.with_expert_stacks)
    write_model(options.out, tensors, config, options.dtype, options.shards, options.seed)
    size = elements_of(tensors) * DTYPES[options.dtype][2]
    print(f"{options.out}: {options.layout}, {config['num_hidden_layers']} layers of {config['hidden_size']}, {len(tensors)} tensors, {size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
