"""Models so small that an engine takes no time, with a vocabulary that llama.cpp's converter reads."""
import sentencepiece
import torch
import transformers

VOCABULARY = 320
TEXT = [
    "the quick brown fox jumps over the lazy dog while five boxing wizards look on",
    "pack my box with a dozen liquor jugs and bring them over the river before the morning comes",
    "how vexingly quick daft zebras jump when the weather turns and the wind blows from the north",
]


def write_vocabulary(folder):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
    )


def write(folder, kind):
    """kind: a causal language model of transformers. Returns it, in float32 with the weights that were written (bfloat16)."""
    configs = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"intermediate_size": 512}),
        "qwen3-moe": (
            transformers.Qwen3MoeConfig,
            transformers.Qwen3MoeForCausalLM,
            {"intermediate_size": 512, "moe_intermediate_size": 128, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 64, "norm_topk_prob": True},
        ),
    }
    make_config, make_model, sizes = configs[kind]
    config = make_config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        **sizes,
    )
    torch.manual_seed(3)
    model = make_model(config).to(torch.bfloat16).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(4)  # distributions that tell models apart
    model.save_pretrained(folder)
    write_vocabulary(folder)
    return model.float()
