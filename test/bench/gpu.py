"""
One GPU, models with random weights in the shapes of Qwen2.5: what the trainer's generation reaches beside transformers'
generate, its continuous batching, and what the memory's bandwidth allows. Needs no network and no model files.

    PYTHONPATH=plugins/torch-trainer/python:test/python python test/bench/gpu.py --shape 1.5b

`--training` measures training instead: see gpu_training.py.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

# Sizes as in the models' published configs.
SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "1.5b": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "tie_word_embeddings": False,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "tie_word_embeddings": True,
    },
}
CONTEXT = 8192


def main() -> None:
    # Before torch and the trainer are loaded: they look at the device once.
    if "cpu" in sys.argv:
        os.environ["SIMMER_DEVICE"] = "cpu"
    if "--training" in sys.argv:
        sys.argv.remove("--training")
        import gpu_training

        gpu_training.main()
        return
    from forcing import Bench, add_sizes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="1.5b")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--bandwidth", type=float, help="of the memory, in GB/s; else measured by copying")
    add_sizes(parser)
    options = parser.parse_args()

    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here: --device cpu --shape tiny tries the bench without one")
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    opened, peer = make_models(SHAPES[options.shape], options.device, dtype)
    bandwidth = options.bandwidth or measured_bandwidth(options.device)
    ratios, figures = Bench(opened, peer, options).run()

    tokens = min(256, options.thinking)
    prompts = [[5 + (row + index) % 200 for index in range(options.prompt)] for row in range(options.batch)]
    served = continuous_batching(peer, prompts, tokens)
    if isinstance(served, float):
        figures["continuousBatchingTokensPerSecond"] = round(served, 1)
        if "generate" in figures:
            ratios["vs-continuous-batching"] = round(figures["generate"]["tokensPerSecond"] / served, 3)
    else:
        figures["continuousBatching"] = served
    limit = tokens_per_second_limit(opened.model, options.batch, options.prompt + tokens / 2, bandwidth)
    figures["bandwidthGBPerSecond"] = round(bandwidth, 1)
    figures["bandwidthLimitTokensPerSecond"] = round(limit, 1)
    if "generate" in figures:
        figures["shareOfLimit"] = round(figures["generate"]["tokensPerSecond"] / limit, 3)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    print(json.dumps({"name": "gpu", "device": device, "ratios": ratios, **figures, "sizes": vars(options)}))


def make_models(shape: dict[str, Any], device: str, dtype: Any) -> tuple[Any, Any]:
    """The same random weights twice: with the trainer's attention, and as transformers has them."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    from simmer_trainer import grouped_attention
    from simmer_trainer.byte_tokenizer import make_byte_tokenizer
    from simmer_trainer.models import OpenModel

    grouped_attention.register()
    tokenizer = make_byte_tokenizer(CONTEXT)
    # Nothing ends by chance: everyone decodes the same number of tokens.
    config = Qwen2Config(**shape, max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=None, pad_token_id=0)
    models = []
    for attention in (grouped_attention.NAME, "sdpa"):
        torch.manual_seed(0)
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        models.append(model.eval())
    models[1].load_state_dict(models[0].state_dict())
    return OpenModel(models[0], tokenizer, CONTEXT), models[1]


def continuous_batching(model: Any, prompts: Sequence[Sequence[int]], tokens: int) -> float | str:
    """Tokens/s of transformers' continuous batching, or why it does not serve here."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)
    inputs = [list(prompt) for prompt in prompts]
    # As many pages as the work needs, and some: left alone, it takes what memory is free, which the models share.
    pages = len(inputs) * ((len(inputs[0]) + tokens) // 32 + 2)
    paging = ContinuousBatchingConfig(num_blocks=pages, max_batch_tokens=max(256, len(inputs) * len(inputs[0])))
    try:
        model.generate_batch(inputs=inputs, generation_config=config, continuous_batching_config=paging)
        started = time.perf_counter()
        outputs = model.generate_batch(inputs=inputs, generation_config=config, continuous_batching_config=paging)
        seconds = time.perf_counter() - started
    except Exception as error:  # Whatever stops the peer must not stop the bench.
        return f"does not serve here: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    made = sum(len(output.generated_tokens) for output in outputs.values())
    if made != tokens * len(prompts):
        return f"does not serve here: {made} tokens of {tokens * len(prompts)}"
    return made / seconds


def measured_bandwidth(device: str) -> float:
    """GB/s of reading and writing, by copying a tensor that no cache holds."""
    import torch

    source = torch.ones((1 << 30) if device == "cuda" else (1 << 27), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    best = 0.0
    for _ in range(5):
        wait()
        started = time.perf_counter()
        target.copy_(source)
        wait()
        best = max(best, 2 * source.numel() / (time.perf_counter() - started) / 1e9)
    return best


def tokens_per_second_limit(model: Any, batch: int, length: float, bandwidth: float) -> float:
    """Where every weight, and every key and value so far, is read once for each step of the batch."""
    from simmer_trainer.slot_cache import SlotCache

    parameters = sum(one.numel() for one in model.parameters())
    if not model.config.tie_word_embeddings:
        # Of the embedding only the rows of the batch are read.
        parameters -= model.get_input_embeddings().weight.numel()
    weights = parameters * model.dtype.itemsize
    cache = batch * length * SlotCache.bytes_per_token(model.config, model.dtype)
    return batch * bandwidth * 1e9 / (weights + cache)


if __name__ == "__main__":
    main()
