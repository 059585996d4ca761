"""
Attention over rows that lie end to end in one sequence: each row sees itself alone. Nothing is computed between rows,
so the cost is the sum of the rows' squares, not the square of their sum.
"""

import inspect
from functools import cache
from typing import Any

import torch
import torch.nn.functional as functional

from simmer_trainer.errors import TrainingError

NAME = "simmer_packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # [1, heads, tokens, head_size]
    key: torch.Tensor,  # [1, key_heads, tokens, head_size]
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,  # [rows + 1], where each row begins, and the end
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Called by transformers. Returns [1, tokens, heads, head_size]."""
    needed = ("softcap", "s_aux", "position_bias", "sliding_window")
    unsupported = [name for name in needed if others.get(name) is not None]
    if unsupported:
        why = f"{type(module).__name__} needs {unsupported[0]}, which this attention does not compute"
        raise _unsupported(why, ", or extensions: { attention: eager }")
    if cu_seq_lens_q is None or max_length_q is None:
        raise _unsupported(f"{type(module).__name__} is not told where rows begin")
    kernel = _varlen_kernel(query, dropout)
    if kernel is not None:
        # Under autocast the positions' rotation leaves queries and keys in float32.
        flat = [one[0].transpose(0, 1).to(torch.bfloat16) for one in (query, key, value)]
        output: torch.Tensor = kernel(
            *flat,
            cu_seq_lens_q,
            cu_seq_lens_q,
            max_length_q,
            max_length_q,
            scale=scaling,
            window_size=(-1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return output[None], None
    lengths = cu_seq_lens_q.diff().tolist()
    attend = _attend_in_float32 if query.device.type == "cpu" else functional.scaled_dot_product_attention
    rows = [
        attend(
            one_query,
            one_key,
            one_value,
            dropout_p=dropout,
            is_causal=True,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for one_query, one_key, one_value in zip(
            *(torch.split(one, lengths, dim=2) for one in (query, key, value)), strict=True
        )
    ]
    return torch.cat(rows, dim=2).transpose(1, 2).contiguous(), None


def _attend_in_float32(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
    """On a CPU, forward and backward take 1.8 times as long in bfloat16, also where it has AMX (PyTorch 2.13)."""
    with torch.autocast("cpu", enabled=False):
        output = functional.scaled_dot_product_attention(query.float(), key.float(), value.float(), **options)
    return output.to(value.dtype)


def _varlen_kernel(query: torch.Tensor, dropout: float) -> Any:
    """PyTorch's own FlashAttention for rows of any length: on a GPU, in bfloat16, without dropout. None elsewhere."""
    is_half = query.dtype == torch.bfloat16 or torch.is_autocast_enabled("cuda")
    return find_varlen_kernel() if query.is_cuda and is_half and dropout == 0 else None


@cache
def find_varlen_kernel() -> Any:
    """What this version of PyTorch has, in the form that is called above; None in versions that have another."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if {"scale", "window_size", "enable_gqa"} <= known.keys() else None


def check_packing(model: Any, attention: str) -> None:
    """Raises TrainingError packing_unsupported where rows that lie end to end would see each other."""
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
    others = sorted(kinds - {"full_attention", "sliding_attention"})
    # Only such models hand their attention, and it alone sees other tokens, what says where rows begin; and of those
    # that SDPA does not do for, gpt-oss makes its masks without it.
    is_told = model._supports_attention_backend and (model._supports_sdpa or attention.startswith("flash_attention"))
    if others or model._is_stateful or not is_told:
        what = f"layers of type {', '.join(others)}" if others else "layers to which no borders of rows can be told"
        raise _unsupported(f"{type(model).__name__} has {what}: rows would see each other")


def _unsupported(why: str, instead: str = "") -> TrainingError:
    message = f"This model cannot be trained on packed rows: {why}. Use packing: false{instead}."
    return TrainingError("packing_unsupported", message)


def register() -> None:
    """Makes it known to transformers by NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
