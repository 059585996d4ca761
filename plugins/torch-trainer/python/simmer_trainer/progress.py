"""What a training has learned about itself: whether its loss diverges, and which evaluation was the best."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

# A single batch may be hard; so many in a row are no chance.
_WINDOW = 8


@dataclass
class Progress:
    """Kept in each checkpoint, so that a resumed job decides as the uninterrupted one. Losses in nats a token."""

    recent: list[float] = field(default_factory=list)
    # Lowest mean loss of so many steps in a row.
    lowest_mean: float = math.inf
    best_loss: float = math.inf
    best_step: int = 0
    # Those in a row that were not better than the best by enough.
    evaluations_since_best: int = 0
    last_evaluation: float | None = None
    has_stopped_early: bool = False

    def add_step(self, loss: float) -> float:
        """Returns by how much the mean of the last steps is above the lowest such mean."""
        self.recent = [*self.recent, loss][-_WINDOW:]
        if len(self.recent) < _WINDOW:
            return 0.0
        mean = sum(self.recent) / _WINDOW
        self.lowest_mean = min(self.lowest_mean, mean)
        return mean - self.lowest_mean

    def add_evaluation(self, step: int, loss: float, *, min_improvement: float, patience: int) -> bool:
        """Returns whether it is the best one."""
        self.last_evaluation = loss
        # The lowest loss is the best, also where it is not lower by enough to go on for.
        is_enough = loss < self.best_loss - min_improvement
        is_best = loss < self.best_loss
        if is_best:
            self.best_loss, self.best_step = loss, step
        self.evaluations_since_best = 0 if is_enough else self.evaluations_since_best + 1
        self.has_stopped_early = patience > 0 and self.evaluations_since_best >= patience
        return is_best

    def to_json(self) -> dict[str, Any]:
        """JSON has no infinity."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Progress":
        """Checkpoints of former versions have none of it."""
        known = cls()
        for name, value in values.items():
            if value is not None and hasattr(known, name):
                setattr(known, name, value)
        return known
