"""
Attention over rows that lie end to end in one sequence: each row sees itself alone. Nothing is computed between rows,
so the cost is the sum of the rows' squares, not the square of their sum.
"""

import inspect
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as functional

from simmer_trainer.errors import TrainingError
from simmer_trainer.rank_group import RankGroup

NAME = "simmer_packed"
_ASKING = "simmer_asking"
_EAGER = ", or extensions: { attention: eager }"


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
        raise _unsupported(why, _EAGER)
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
    if not {"scale", "window_size"} <= known.keys():
        return None
    return partial(varlen_attn, enable_gqa=True) if "enable_gqa" in known else _with_all_heads(varlen_attn)


def _with_all_heads(kernel: Any) -> Any:
    """Gives each query head a key head of its own, for PyTorch 2.11, whose kernel is not said to share them."""

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *borders: Any, **options: Any) -> Any:
        groups = query.shape[1] // key.shape[1]
        return kernel(query, *(one.repeat_interleave(groups, dim=1) for one in (key, value)), *borders, **options)

    return attend


def check_packing(model: Any, attention: str, group: RankGroup) -> None:
    """Raises TrainingError packing_unsupported where rows that lie end to end would see each other. Collective."""
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
    others = sorted(kinds - {"full_attention", "sliding_attention"})
    if others or model._is_stateful:
        what = f"layers of type {', '.join(others)}" if others else "layers that remember what came before"
        raise _unsupported(f"{type(model).__name__} has {what}: rows would see each other")
    # Of all ranks but one, weights may not be there yet.
    keeps_apart = group.broadcast(_masks_keep_apart(model))
    if attention == NAME and "sliding_attention" in kinds:
        why = f"{type(model).__name__} has sliding windows, which this attention does not compute"
        raise _unsupported(why, _EAGER if keeps_apart else "")
    takes_borders = attention == NAME or attention.startswith("flash_attention")
    if not (model._supports_attention_backend if takes_borders else keeps_apart):
        why = f"{type(model).__name__} has layers to which no borders of rows can be told: rows would see each other"
        raise _unsupported(why, _EAGER if keeps_apart else "")


def _masks_keep_apart(model: Any) -> bool:
    """Whether a model heeds positions that begin anew where it makes its masks: a few do not."""
    from transformers import AttentionMaskInterface

    AttentionMaskInterface.register(_ASKING, _ask)
    config, device = model.config.get_text_config(), model.device
    chosen = config._attn_implementation
    config._attn_implementation = _ASKING
    try:
        rows = torch.zeros(1, 2, dtype=torch.long, device=device)
        embedded = torch.zeros(1, 2, config.hidden_size, device=device)
        model.base_model(inputs_embeds=embedded, position_ids=rows, use_cache=False)
    except _Asked as asked:
        return not asked.sees_row_before
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, IndexError):
        # It makes its masks by itself.
        return False
    finally:
        config._attn_implementation = chosen
    return False


class _Asked(Exception):
    """A mask was about to be made of two rows of a token each."""

    def __init__(self, mask_function: Any) -> None:
        batch, head, query, key = torch.tensor([0, 0, 1, 0])
        self.sees_row_before = bool(mask_function(batch, head, query, key))


def _ask(*_: Any, mask_function: Any, **__: Any) -> None:
    raise _Asked(mask_function)


def _unsupported(why: str, instead: str = "") -> TrainingError:
    message = f"This model cannot be trained on packed rows: {why}. Use packing: false{instead}."
    return TrainingError("packing_unsupported", message)


def register() -> None:
    """Makes it known to transformers by NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
