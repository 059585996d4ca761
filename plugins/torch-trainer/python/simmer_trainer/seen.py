"""What a job has seen so far, and how fast: a function of the step alone, but for the clock."""

import time
from collections.abc import Sequence

from simmer_trainer.batching import Batching
from simmer_trainer.data import DataOrder, TokenizedRow
from simmer_trainer.flops import TrainingFlops


class Seen:
    """Counts over all devices since the start of the job. Padding is counted apart from tokens."""

    def __init__(self, rows: Sequence[TokenizedRow], order: DataOrder, batching: Batching) -> None:
        self.rows = 0
        self.tokens = 0
        self.trained_tokens = 0
        self.padding_tokens = 0
        self._all_rows = rows
        self._order = order
        self._batching = batching
        self._flops: TrainingFlops | None = None
        self._operations = 0.0
        self._at_last_lap = (0.0, 0, 0.0)

    def start_clock(self, flops: TrainingFlops) -> None:
        """From here on laps are measured."""
        self._flops = flops
        self._at_last_lap = (time.monotonic(), self.tokens, self._operations)

    def add(self, step: int) -> None:
        """A step is done."""
        rows = [self._all_rows[position] for position in self._order.step(step)]
        self.rows += len(rows)
        self.tokens += sum(len(row.token_ids) for row in rows)
        self.trained_tokens += sum(row.trained_tokens for row in rows)
        self.padding_tokens += self._padding_of(rows)
        if self._flops is not None:
            self._operations += self._flops.of(rows)

    def lap(self) -> tuple[float, float]:
        """Tokens, and floating-point operations of the model, a second since the last lap."""
        now = time.monotonic()
        then, tokens, operations = self._at_last_lap
        seconds = max(now - then, 1e-9)
        self._at_last_lap = (now, self.tokens, self._operations)
        return (self.tokens - tokens) / seconds, (self._operations - operations) / seconds

    def _padding_of(self, rows: Sequence[TokenizedRow]) -> int:
        if self._batching.plan is not None:
            return 0
        size = self._batching.sequences_per_pass
        lengths = [len(row.token_ids) for row in rows]
        passes = [lengths[start : start + size] for start in range(0, len(lengths), size)]
        return sum(max(one) * len(one) - sum(one) for one in passes)
