"""transformers' own generate with its cache off, one token at a time: slow, and sure. Shares no code with Generate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM


class PlainGenerate:
    """Greedy continuation of one sequence."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        # Policies ask for the same prefixes; a deterministic model gives the same answer twice.
        self._known: dict[tuple[int, ...], torch.Tensor] = {}

    @classmethod
    def of_folder(cls, folder: Path, dtype: torch.dtype) -> "PlainGenerate":
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True
        )
        return cls(model)

    @classmethod
    def with_weights_of(cls, other: Any) -> "PlainGenerate":
        """The same weights, without the attention that Generate brings."""
        model = AutoModelForCausalLM.from_config(other.config, dtype=other.dtype, attn_implementation="sdpa")
        model.load_state_dict(other.state_dict())
        return cls(model)

    def logits(self, sequence: Sequence[int]) -> torch.Tensor:
        """Of the token that follows [vocabulary], float32."""
        key = tuple(sequence)
        if key not in self._known:
            ids = torch.tensor([key])
            with torch.inference_mode():
                output = self.model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=1,
                    do_sample=False,
                    use_cache=False,
                    output_logits=True,
                    return_dict_in_generate=True,
                )
            self._known[key] = output.logits[0][0].float()
        return self._known[key]

    def next_token(self, sequence: Sequence[int], banned: frozenset[int]) -> int:
        logits = self.logits(sequence)
        if banned:
            logits = logits.clone()
            logits[list(banned)] = -torch.inf
        return int(logits.argmax())

    def gap(self, sequence: Sequence[int], chosen: tuple[int, int] | None = None) -> float:
        """
        How near the choice of what follows was: the difference between the logits of the two tokens that were chosen,
        or of the first two. Those that were chosen count where a token that was banned would be first.
        """
        logits = self.logits(sequence)
        first, second = logits.topk(2).values.tolist() if chosen is None else logits[list(chosen)].tolist()
        return float(abs(first - second))

    def forget(self) -> None:
        """Lets go of what is known: the logits of many sequences are much memory."""
        self._known.clear()
