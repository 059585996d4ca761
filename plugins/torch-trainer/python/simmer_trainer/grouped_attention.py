"""
Attention for decoding: the query heads that share a key head become more queries of that head, so that keys and values
are never repeated in memory. Repeating them costs more than attention itself where one token is decoded at a time.
"""

from typing import Any

import torch
import torch.nn.functional as functional

NAME = "simmer_grouped_sdpa"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # [batch, heads, queries, head_size]
    key: torch.Tensor,  # [batch, key_heads, keys, head_size]
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # [batch, 1, queries, keys], added to the scores
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    unsupported = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if unsupported:
        raise NotImplementedError(f"{type(module).__name__} needs {unsupported[0]}, which Generate does not support")
    if attention_mask is None:
        raise ValueError("grouped attention needs its mask")
    if attention_mask.shape[1] != 1:
        raise NotImplementedError(f"{type(module).__name__} has a mask for each head, which Generate does not support")
    batch, heads, queries, head_size = query.shape
    key_heads = key.shape[1]
    groups = heads // key_heads
    grouped = query.reshape(batch, key_heads, groups * queries, head_size)
    # Where there is one query a row, its mask need not be copied.
    mask = attention_mask if queries == 1 else attention_mask.repeat(1, 1, groups, 1)
    output = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return output.view(batch, heads, queries, head_size).transpose(1, 2).contiguous(), None


def register() -> None:
    """Makes it known to transformers by NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
