"""Chooses tokens. What is drawn for a sample depends on its own seed and its own logits, never on its batch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

# A nucleus is mostly within so many tokens; sorting a whole vocabulary for every token would cost more than the model.
_NUCLEUS = 1024


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None


def sample_seed(seed: int, prompt_id: str, sample_index: int) -> int:
    """The seed of one sample, 64 bits."""
    text = f"{seed}/{sample_index}/{prompt_id}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def uniform(seed: int, stream: int, index: int) -> float:
    """
    A number in [0, 1) that is a function of its arguments: SplitMix64 (Steele, Lea and Flood 2014) over a counter. A
    generator with a state would have to be copied wherever policies part.
    """
    value = (seed + (stream + 1) * 0xD1B54A32D192ED03 + (index + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFFFFFFFFFF
    return ((value ^ (value >> 31)) >> 11) / (1 << 53)


def choose(
    logits: torch.Tensor,  # [rows, vocabulary], float32
    sampling: Sampling,
    banned: Sequence[frozenset[int]],
    draws: Sequence[float],
) -> list[int]:
    """One token for each row."""
    for row, ends in enumerate(banned):
        if ends:
            logits[row, list(ends)] = -torch.inf
    if sampling.temperature == 0:
        return _to_list(logits.argmax(dim=-1))
    logits = logits / sampling.temperature
    draw = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None]
    if sampling.top_k is None and sampling.top_p is None:
        return _to_list(_pick(torch.softmax(logits, dim=-1), draw))
    width = logits.shape[-1] if sampling.top_k is None else min(sampling.top_k, logits.shape[-1])
    most = min(width, _NUCLEUS) if sampling.top_p is not None else width
    # Top-k first, then the nucleus of what it leaves, as transformers' warpers do.
    top, tokens = logits.topk(most, dim=-1)
    if sampling.top_k is not None:
        total = torch.logsumexp(logits.topk(width, dim=-1).values, dim=-1, keepdim=True)
    else:
        total = torch.logsumexp(logits, dim=-1, keepdim=True)
    probabilities = torch.exp(top - total)
    if sampling.top_p is not None:
        if most < width and bool((probabilities.sum(dim=-1) < sampling.top_p).any()):
            top, tokens = logits.topk(width, dim=-1)
            probabilities = torch.exp(top - total)
        before = probabilities.cumsum(dim=-1) - probabilities
        # The first token is always in.
        probabilities = torch.where(before < sampling.top_p, probabilities, 0)
    return _to_list(tokens.gather(1, _pick(probabilities, draw)[:, None])[:, 0])


def _to_list(tokens: torch.Tensor) -> list[int]:
    return [int(token) for token in tokens.tolist()]


def _pick(weights: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """Inverse transform: the first index whose cumulated weight passes the draw. weights: [rows, choices]."""
    cumulated = weights.double().cumsum(dim=-1)
    picked = torch.searchsorted(cumulated, draw * cumulated[:, -1:], right=True)[:, 0]
    # Rounding may lead past the end; never onto a weight of zero.
    last = weights.shape[-1] - 1 - (weights.flip(-1) > 0).int().argmax(dim=-1)
    return torch.minimum(picked, last)
