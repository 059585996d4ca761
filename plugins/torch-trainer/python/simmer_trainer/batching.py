"""How the rows of an optimizer step are laid out in forward passes."""

from collections.abc import Sequence
from dataclasses import dataclass

from simmer_trainer import describe
from simmer_trainer.data import DataOrder, TokenizedRow
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.packing import PackingPlan

# Tokens, padding included, in one forward pass where the caller leaves the batch to us.
_TOKENS_PER_PASS = {"cpu": 2048, "cuda": 16_384, "mps": 4096}


@dataclass(frozen=True)
class Batching:
    """The layout of every step."""

    # Sequences that a pass of one device takes from its data: with packing one, of many rows.
    sequences_per_pass: int
    # Passes of one device that are accumulated to a step.
    accumulated_passes: int
    # Most tokens in one pass of one device, padding included.
    tokens_per_pass: int
    plan: PackingPlan | None


def choose_batching(
    parameters: pb.Hyperparameters, rows: Sequence[TokenizedRow], order: DataOrder, *, total_steps: int, ranks: int = 1
) -> Batching:
    """
    Padded: as many rows a pass as are asked for, or as fit our number of tokens. Packed: rows as they fill the tokens
    that as many rows of the longest length would have.
    """
    lengths = [len(row.token_ids) for row in rows]
    longest = max(lengths)
    size = _rows_per_pass(parameters, longest, ranks)
    if not parameters.packing:
        return Batching(size, -(-parameters.global_batch_size // (size * ranks)), size * longest, None)
    preferred = _TOKENS_PER_PASS[describe.device().name.partition(":")[0]]
    is_asked_for = parameters.HasField("device_batch_size")
    tokens = size * longest if is_asked_for else max(preferred, longest)
    plan = PackingPlan(lengths, order, total_steps=total_steps, tokens_per_pass=tokens, ranks=ranks)
    return Batching(1, plan.passes_per_step // ranks, tokens, plan)


def _rows_per_pass(parameters: pb.Hyperparameters, longest: int, ranks: int) -> int:
    """The largest part of a rank's share of a step that keeps one pass within our number of tokens."""
    share = -(-parameters.global_batch_size // ranks)
    if parameters.HasField("device_batch_size"):
        return min(parameters.device_batch_size, share)
    fitting = max(1, _TOKENS_PER_PASS[describe.device().name.partition(":")[0]] // longest)
    divisors = [size for size in range(1, share + 1) if share % size == 0]
    return max(size for size in divisors if size <= fitting)
