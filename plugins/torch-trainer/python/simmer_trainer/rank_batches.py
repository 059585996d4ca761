"""Which passes of a step each rank makes."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler

from simmer_trainer.batching import Batching
from simmer_trainer.data import DataOrder
from simmer_trainer.rank_group import RankGroup


class RankBatches(Sampler[list[Any]]):
    """
    One rank's batches. Each optimizer step has the rows that it has for one rank alone, dealt out to all: as many
    passes for every rank, since a sharded pass takes them all. A batch is of positions, or packed, of one pass.
    """

    def __init__(self, order: DataOrder, batching: Batching, group: RankGroup, *, blank: int) -> None:
        """@param blank position of a row that trains nothing, for a rank that has none where others have some"""
        self._order = order
        self._batching = batching
        self._group = group
        self._blank = blank
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[Any]]:
        for step in self._order.steps_of(self._epoch):
            yield from self._passes(step)[self._group.rank :: self._group.size]

    def __len__(self) -> int:
        return sum(len(self._passes(step)) // self._group.size for step in self._order.steps_of(self._epoch))

    def _passes(self, step: int) -> list[list[Any]]:
        """Of all ranks, in turn."""
        if self._batching.plan is not None:
            return [[packed] for packed in self._batching.plan.step(step)]
        rows, size = self._order.step(step), self._batching.sequences_per_pass
        passes = [rows[start : start + size] for start in range(0, len(rows), size)]
        missing = -len(passes) % self._group.size
        return passes + [[self._blank]] * missing


class RankLoader(DataLoader[Any]):
    """Tells its batches of the epoch, as the Trainer asks of a loader."""

    def set_epoch(self, epoch: int) -> None:
        batches = self.batch_sampler
        assert isinstance(batches, RankBatches)
        batches.set_epoch(epoch)
