"""
Rows side by side in one sequence instead of padded to one length. A step has the same rows as without packing, so the
mathematics of training do not change: only where its rows lie in the passes that are accumulated.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler

from simmer_trainer.data import DataOrder, TokenizedRow

_NOT_TRAINED = -100


def pack(rows: Sequence[int], lengths: Sequence[int], passes: int) -> list[tuple[int, ...]]:
    """
    Shares rows out over so many passes, each next longest to the pass that is shortest so far (Graham's LPT rule). A
    function of its arguments alone. A pass may be empty where there are fewer rows.
    """
    packed: list[list[int]] = [[] for _ in range(passes)]
    loads = [(0, index) for index in range(passes)]
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        load, index = heapq.heappop(loads)
        packed[index].append(row)
        heapq.heappush(loads, (load + lengths[row], index))
    return [tuple(one) for one in packed]


def passes_needed(rows: Sequence[int], lengths: Sequence[int], tokens_per_pass: int) -> int:
    """The fewest passes into which `pack` puts rows with at most so many tokens in each; a row always fits alone."""
    passes = min(len(rows), -(-sum(lengths[row] for row in rows) // tokens_per_pass))
    while passes < len(rows):
        if all(sum(lengths[row] for row in one) <= tokens_per_pass for one in pack(rows, lengths, passes)):
            break
        passes += 1
    return passes


class PackingPlan:
    """Which rows each pass of each optimizer step has. Every step has the same number of passes."""

    def __init__(
        self, lengths: Sequence[int], order: DataOrder, *, total_steps: int, tokens_per_pass: int, ranks: int = 1
    ) -> None:
        """@param ranks processes that share a step; its passes are a multiple of them"""
        self._lengths = lengths
        self._order = order
        needed = max(passes_needed(order.step(step), lengths, tokens_per_pass) for step in range(1, total_steps + 1))
        self.passes_per_step = -(-needed // ranks) * ranks

    def step(self, step: int) -> list[tuple[int, ...]]:
        """The passes of a step, numbered from 1 over all epochs."""
        return pack(self._order.step(step), self._lengths, self.passes_per_step)

    def epoch(self, epoch: int) -> Iterator[tuple[int, ...]]:
        """All passes of an epoch."""
        for step in self._order.steps_of(epoch):
            yield from self.step(step)

    @property
    def passes_per_epoch(self) -> int:
        return self.passes_per_step * self._order.steps_per_epoch


class PassSampler(Sampler[tuple[int, ...]]):
    """Samples passes, as the plan has them."""

    def __init__(self, plan: PackingPlan) -> None:
        self._plan = plan
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return self._plan.epoch(self._epoch)

    def __len__(self) -> int:
        return self._plan.passes_per_epoch


class PackedRows(Dataset[dict[str, list[int]]]):
    """Rows by the positions of those that share a pass."""

    def __init__(self, rows: Sequence[TokenizedRow], pad_token_id: int) -> None:
        self._rows = rows
        self._pad_token_id = pad_token_id

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: tuple[int, ...]) -> dict[str, list[int]]:
        # A pass that has no row still takes part in the step: one token that nothing is learned from.
        return join_rows([self._rows[position] for position in positions]) or {
            "input_ids": [self._pad_token_id],
            "labels": [_NOT_TRAINED],
            "seq_lengths": [1],
        }


def join_rows(rows: Sequence[TokenizedRow]) -> dict[str, list[int]]:
    """Rows end to end. No row's first token is trained, so nothing is predicted across a border."""
    if not rows:
        return {}
    return {
        "input_ids": [token for row in rows for token in row.token_ids],
        "labels": [label for row in rows for label in row.labels],
        "seq_lengths": [len(row.token_ids) for row in rows],
    }


def collate_packed(examples: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """
    A batch of one sequence, [1, tokens]. Positions begin anew with each row: from them transformers makes masks, block
    by block, for attention that needs one; attention of variable length takes the borders. There is no attention mask
    in the batch, which would have FlashAttention ignore both.
    """
    (example,) = examples
    lengths = torch.tensor(example["seq_lengths"], dtype=torch.int32)
    borders = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    longest = int(lengths.max())
    return {
        "input_ids": torch.tensor([example["input_ids"]]),
        "labels": torch.tensor([example["labels"]]),
        "position_ids": torch.cat([torch.arange(length) for length in example["seq_lengths"]])[None],
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def packs_of(rows: Sequence[TokenizedRow], tokens_per_pass: int) -> list[list[TokenizedRow]]:
    """Rows in as few passes as fit, for what needs no order."""
    lengths = [len(row.token_ids) for row in rows]
    positions = range(len(rows))
    packed = pack(positions, lengths, passes_needed(positions, lengths, tokens_per_pass))
    return [[rows[position] for position in one] for one in packed]
