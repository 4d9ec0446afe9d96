"""Tiny models with random weights, and batches for them."""
import torch
import transformers

WORDS, HIDDEN = 99, 64


def bert(inner=128):
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=WORDS, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4, intermediate_size=inner)
    return _spread(transformers.BertModel(config).eval())


def llama():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96
    )
    return _spread(transformers.LlamaForCausalLM(config).eval())


def _spread(model):
    """Weights as large as trained ones: with the initializer's 0.02 a block hardly changes its hidden states."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data *= 5
    return model


def batches(count=6, rows=4, tokens=24, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [{"input_ids": torch.randint(0, WORDS, (rows, tokens), generator=generator)} for _ in range(count)]


class Experts(torch.nn.Module):
    """Blocks with a router and two experts, of which a token reaches one; the second one only by tokens of some batches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList([ExpertBlock(), ExpertBlock()])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class ExpertBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = torch.nn.Linear(32, 2)
        self.experts = torch.nn.ModuleList([torch.nn.Linear(32, 32) for _ in range(3)])

    def forward(self, hidden_states):
        self.gate(hidden_states)
        second = hidden_states[..., 0] > 1
        out = hidden_states.clone()
        for number, chosen in enumerate((~second, second)):
            if chosen.any():
                out[chosen] = out[chosen] + torch.tanh(self.experts[number](hidden_states[chosen]))
        return out
