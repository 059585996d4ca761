"""The rows of a step that failed, saved for whoever looks into it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simmer_trainer.data import TokenizedRow
from simmer_trainer.durable import write_json

_FILE = "failed-batch.json"
_FORMAT = 1


@dataclass(frozen=True)
class FailedBatch:
    """Where it was saved, and whom to blame."""

    file: str
    row_ids: list[str]
    # Ids of rows that have no finite loss by themselves.
    not_finite: list[str]


def save_failed_batch(folder: Path, step: int, rows: Sequence[TokenizedRow], losses: Sequence[float]) -> FailedBatch:
    """Writes the file that TrainingFailed.batch_file names. @param losses of each row by itself, in nats"""
    entries = [
        {
            "id": row.id,
            "tokens": len(row.token_ids),
            "trainedTokens": row.trained_tokens,
            "loss": loss if math.isfinite(loss) else None,
        }
        for row, loss in zip(rows, losses, strict=True)
    ]
    file = folder / _FILE
    write_json(file, {"format": _FORMAT, "step": step, "rows": entries})
    not_finite = [row.id for row, loss in zip(rows, losses, strict=True) if not math.isfinite(loss)]
    return FailedBatch(str(file), [row.id for row in rows], not_finite)
