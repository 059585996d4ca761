"""Models as GGUF files, the format of llama.cpp, by its own package `gguf`: for architectures that need no more."""

import json
from pathlib import Path
from typing import Any

from simmer_trainer.durable import sync_tree
from simmer_trainer.errors import refused
from simmer_trainer.generation_config import end_ids
from simmer_trainer.reply_ends import written_end

FILE = "model.gguf"
# transformers' model types, and whether llama.cpp wants the rows of queries and keys in pairs of rotated halves.
_ARCHITECTURES = {"llama": ("llama", True), "qwen2": ("qwen2", False)}


def write_gguf(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes model.gguf, durably. Raises RequestError format_unsupported for what cannot be written as one."""
    import gguf
    import torch

    config = model.config
    architecture, is_permuted = _architecture_of(config)
    splitting = splitting_of(tokenizer)
    is_half = next(model.parameters()).dtype == torch.bfloat16
    matrices = gguf.GGMLQuantizationType.BF16 if is_half else gguf.GGMLQuantizationType.F32
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    writer = gguf.GGUFWriter(folder / FILE, architecture)
    _add_settings(writer, config, gguf.LlamaFileType.MOSTLY_BF16 if is_half else gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer, config.vocab_size, splitting)
    end = written_end(tokenizer)
    if end != tokenizer.eos_token_id and end in end_ids(model.generation_config):
        # What ends a reply of a fine-tuned base model is not what ends its texts.
        writer.add_eot_token_id(end)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = weight.float()
        for kind, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if is_permuted and kind in name:
                values = _paired(values, heads)
        # Vectors are few, and llama.cpp wants them whole.
        kind = matrices if values.dim() > 1 else gguf.GGMLQuantizationType.F32
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise refused("format_unsupported", f"A GGUF file has no place for {name}.")
        writer.add_tensor(known, gguf.quants.quantize(values.contiguous().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    sync_tree(folder)


def _architecture_of(config: Any) -> tuple[str, bool]:
    if config.model_type not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        raise refused(
            "format_unsupported",
            f"Models of type {config.model_type} cannot be written as GGUF here, only {known}. llama.cpp's "
            "convert_hf_to_gguf.py takes the Hugging Face folder.",
        )
    rotation = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotation != "default" or getattr(config, "use_sliding_window", False):
        what = f"rotation of type {rotation}" if rotation != "default" else "a sliding window"
        raise refused("format_unsupported", f"Models with {what} cannot be written as GGUF here.")
    return _ARCHITECTURES[config.model_type]


def _add_settings(writer: Any, config: Any, file_type: Any) -> None:
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10_000.0))
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(file_type)


def _add_tokenizer(writer: Any, tokenizer: Any, vocabulary: int, splitting: str) -> None:
    import gguf

    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    names = {token: name for name, token in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, kinds = [], []
    for token in range(vocabulary):
        tokens.append(names.get(token, f"[PAD{token}]"))
        if token in added:
            kinds.append(gguf.TokenType.CONTROL if added[token].special else gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.NORMAL if token in names else gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    for kind in ("bos", "eos", "pad"):
        token = getattr(tokenizer, f"{kind}_token_id")
        if token is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    # Chat templates write what begins a text.
    writer.add_add_bos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def splitting_of(tokenizer: Any) -> str:
    """llama.cpp's name for how text is cut before merges, by the rule in the tokenizer's own file."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    described = {} if backend is None else json.loads(backend.to_str())
    if described.get("model", {}).get("type") != "BPE":
        raise refused("format_unsupported", "Only byte-pair tokenizers can be written as GGUF here.")
    rule = json.dumps(described.get("pre_tokenizer") or {})
    for mark, name in (
        ("\\\\p{N}{1,3}", "llama-bpe"),
        ("|\\\\p{N}|", "qwen2"),
        ('"individual_digits": true', "smollm"),
        ('"ByteLevel"', "gpt-2"),
    ):
        # Those that have rules of their own beside these cut in yet another way, as DeepSeek's of type llama do.
        if mark in rule and ("\\p{N}" in mark or '"Split"' not in rule):
            return name
    raise refused("format_unsupported", "How this tokenizer cuts text has no name in llama.cpp that is known here.")


def _paired(weights: Any, heads: int) -> Any:
    """
    From transformers' layout, in which a rotation turns the first half of a head against the second, to llama.cpp's, in
    which it turns neighbours. [heads * size, ...]
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)
