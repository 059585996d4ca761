"""What the ranks of a trainer agree on, by collectives that each of them calls in the same order."""

from datetime import timedelta
from typing import Any

# Longer than anything that one rank does while the others wait, such as the commit of a large checkpoint. That one has
# died is noticed elsewhere.
_PATIENCE = timedelta(hours=6)


class RankGroup:
    """All ranks; of one alone, everything is agreed on at once."""

    def __init__(self, rank: int, size: int, group: Any) -> None:
        self.rank = rank
        self.size = size
        self._group = group

    @classmethod
    def alone(cls) -> "RankGroup":
        return cls(0, 1, None)

    @classmethod
    def open(cls, rank: int, size: int, *, on_gpu: bool) -> "RankGroup":
        """Meets the other ranks at MASTER_ADDR and MASTER_PORT. Collective; once a process."""
        from torch import distributed

        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
        # What is agreed on lies in main memory: no GPU is waited for.
        return cls(rank, size, distributed.new_group(backend="gloo", timeout=_PATIENCE))

    @property
    def is_leader(self) -> bool:
        return self.rank == 0

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, for all."""
        if self.size == 1:
            return value
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    def broadcast_number(self, value: int) -> int:
        """The same for what is asked often."""
        if self.size == 1:
            return value
        import torch
        from torch import distributed

        number = torch.tensor([value], dtype=torch.int64)
        distributed.broadcast(number, src=0, group=self._group)
        return int(number)

    def gather(self, value: Any) -> list[Any]:
        """Those of all ranks, for all."""
        if self.size == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self._group)
        return values

    def sum(self, value: float) -> float:
        return self._reduce(value, "SUM")

    def largest(self, value: float) -> float:
        return self._reduce(value, "MAX")

    def barrier(self) -> None:
        """Returns when all have come here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier(group=self._group)

    def _reduce(self, value: float, operation: str) -> float:
        if self.size == 1:
            return value
        import torch
        from torch import distributed

        number = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(number, getattr(distributed.ReduceOp, operation), group=self._group)
        return float(number)
