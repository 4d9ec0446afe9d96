"""bench/quality: its texts are disjoint and repeatable, and its figures are what they are called."""
import re
import sys
import types

import pytest
import torch
import transformers

import nvfp4cal
from paths import ROOT

sys.path.insert(0, str(ROOT / "bench" / "quality"))
import methods  # noqa: E402
import texts  # noqa: E402
from minilm import MiniLM, cosines  # noqa: E402

SENTENCE = "the quick brown fox jumps over a lazy dog while the slow green turtle watches from its quiet pond number"


def runs(text):
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}


def test_texts_of_this_machine(tmp_path):
    texts.write(tmp_path)
    lines = []
    for name, wanted in (("calibration.txt", 448), ("heldout.txt", 320)):
        lines.append((tmp_path / name).read_text().splitlines())
        assert len(set(lines[-1])) == len(lines[-1]) == wanted and all(20 <= len(line.split()) <= 110 for line in lines[-1])
    shared = set().union(*map(runs, lines[0])) & set().union(*map(runs, lines[1]))
    assert not shared


def test_choice():
    found = [("a", f"{SENTENCE} {one}") for one in "xyz"] + [("b", " ".join(f"w{number}" for number in range(30)))]
    seen = set()
    assert {source for source, _ in texts.choose(iter(found), 10, 8, seen)} == {"a", "b"}
    assert texts.choose(iter(found), 10, 8, seen) == []  # all have been seen
    assert texts.choose(iter(found), 2, 8, set()) == texts.choose(reversed(found), 2, 8, set())
    many = [("a", " ".join(f"w{number}_{one}x" for number in range(30))) for one in range(9)]
    assert len(texts.choose(iter(many), 10, 4, set())) == 4
    parts = f"{SENTENCE}\n\n>>> {SENTENCE}\n\n{SENTENCE}\nand a\tlast  line"
    assert list(texts.paragraphs("a", parts)) == [("a", SENTENCE), ("a", f"{SENTENCE} and a last line")]
    assert list(texts.paragraphs("a", "too few words")) == [] and list(texts.paragraphs("a", "1 = 2; " * 20)) == []


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + sorted(set(SENTENCE.split()))
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    return MiniLM(tmp_path)


def test_figures(model):
    batches = model.batches([SENTENCE, " ".join(reversed(SENTENCE.split())), "the fox", "a dog"])
    assert sum(len(batch["input_ids"]) for batch in batches) == 4 and len(batches) == 2
    seen = {}

    def keep(name):
        return lambda layer, args: seen.setdefault(name, []).append(args[0].flatten(0, 1))

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in model.layers.items()]
    reference = model.embed(batches)
    for hook in hooks:
        hook.remove()
    hessians, amaxes, _ = model.statistics(batches)
    quantized = {name: nvfp4cal.fake_quantize(weight) for name, weight in model.weights.items()}
    by_weight, by_output = [], []
    for name, weight in model.weights.items():
        x, change = torch.cat(seen[name]), quantized[name] - weight
        assert amaxes[name] == float(x.abs().max())
        by_weight.append(float(change.norm() / weight.norm()))
        by_output.append(float((x @ change.T).square().sum() / (x @ weight.T).square().sum()))
    werr, oerr = model.errors(quantized, hessians)
    assert werr == pytest.approx(sum(by_weight) / 12, rel=1e-5) and oerr == pytest.approx(sum(by_output) / 12, rel=1e-4)
    with model.with_weights(quantized):
        worse = model.embed(batches)
        with model.with_fp4_inputs(amaxes):
            worst = model.embed(batches)
    assert torch.equal(model.embed(batches), reference)
    assert cosines(reference, reference) == (pytest.approx(1, abs=1e-12), pytest.approx(0, abs=1e-12))
    first, second = (cosines(one, reference)[0] for one in (worse, worst))
    assert second < first < 1 - 1e-7


def test_methods(model):
    batches = model.batches([" ".join(SENTENCE.split()[start:]) for start in range(12)])
    hessians, _, _ = model.statistics(batches)
    data = types.SimpleNamespace(calibration=batches, hessians=hessians)
    errors = {}
    for name, method in methods.every():
        weights = method(model, data)
        assert weights.keys() == model.weights.keys() and all(weights[key].shape == model.weights[key].shape for key in weights)
        errors[name] = model.errors(weights, hessians)
    by_weight, by_output = ({name: pair[i] for name, pair in errors.items()} for i in (0, 1))
    assert by_weight["MSE sweep 126"] < by_weight["four over six"] < by_weight["max"]
    assert by_output["gptq max"] < by_output["gptq default"] < by_output["gptq fast"] < by_output["local Hessian"] < by_output["max"]
