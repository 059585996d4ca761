"""What budget forcing is compared to: transformers' generate, and s1's way of submitting the text again."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Timed:
    """Tokens of each row after its prompt, and what they took."""

    rows: list[list[int]]
    seconds: float
    # Tokens that the model decoded, over all rows.
    decoded: int
    # Rounds in which a text, tokenized again, had other ids. The ids that were generated are sent on then, so that
    # everyone does the same work.
    retokenized: int = 0


class Script:
    """
    Fixes where a model ends its thinking, so that everyone decodes the same tokens: at these positions it says these
    tokens, and elsewhere never one that ends anything.
    """

    def __init__(self, model: Any, at: dict[int, int], never: Sequence[int]) -> None:
        self._at = at
        self._never = list(never)
        self._handle = model.register_forward_hook(self._say, with_kwargs=True)

    def _say(self, _model: Any, _inputs: Any, keywords: dict[str, Any], output: Any) -> Any:
        logits = output.logits  # [rows, 1, vocabulary]
        positions = keywords["position_ids"][:, -1].expand(logits.shape[0]).tolist()
        logits[:, -1, self._never] = -torch.inf
        for row, position in enumerate(positions):
            token = self._at.get(position + 1)
            if token is not None:
                logits[row, -1, token] = torch.finfo(logits.dtype).max
        return output

    def remove(self) -> None:
        self._handle.remove()


def plain(model: Any, prompts: Sequence[Sequence[int]], tokens: int) -> Timed:
    """generate, as anyone would call it."""
    started = time.perf_counter()
    rows = _continue(model, prompts, tokens, None)[0]
    return Timed(rows, time.perf_counter() - started, tokens * len(prompts))


def resubmit(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    rounds: Sequence[tuple[int, Sequence[int]]],
    answer_tokens: int,
    *,
    reuse: bool = False,
) -> Timed:
    """
    Submits prompt and thinking again for each round: so many tokens are decoded, the end marker among them is taken
    off, and the forced tokens put in its place.
    @param rounds for each: tokens that the model decodes (its end marker left out), tokens that follow
    @param reuse keep the keys and values of the prefix, as a server with a prefix cache does
    """
    started = time.perf_counter()
    sequences = [list(prompt) for prompt in prompts]
    cache = None
    decoded, changed = 0, 0
    for tokens, forced in rounds:
        made, cache = _continue(model, sequences, tokens, cache, reuse)
        decoded += tokens * len(prompts)
        for sequence, row in zip(sequences, made, strict=True):
            sequence += [*row, *forced]
            # The text goes over the wire, and is tokenized there.
            text = tokenizer.decode(sequence)
            changed += tokenizer(text, add_special_tokens=False)["input_ids"] != sequence
    made, _ = _continue(model, sequences, answer_tokens, cache, reuse)
    decoded += answer_tokens * len(prompts)
    rows = [[*sequence, *row][len(prompt) :] for sequence, row, prompt in zip(sequences, made, prompts, strict=True)]
    return Timed(rows, time.perf_counter() - started, decoded, changed)


def _continue(
    model: Any, sequences: Sequence[Sequence[int]], tokens: int, cache: Any, reuse: bool = False
) -> tuple[list[list[int]], Any]:
    ids = torch.tensor(sequences, device=model.device)
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            use_cache=True,
            past_key_values=cache,
            return_dict_in_generate=True,
        )
    return output.sequences[:, ids.shape[1] :].tolist(), output.past_key_values if reuse else None
