"""What a trainer would make of rows of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2


@dataclass(frozen=True)
class InspectedRow:
    """One row as the trainer sees it; the lists are parallel."""

    #: Its position in the dataset, from 0.
    row: int
    token_ids: Sequence[int]
    tokens: Sequence[str]
    #: True where the token counts for the loss.
    trained: Sequence[bool]
    #: Whether the row was cut.
    truncated: bool


def row_of(message: trainer_pb2.InspectedRow) -> InspectedRow:
    """A row from the wire."""
    return InspectedRow(
        message.row, list(message.token_ids), list(message.tokens), list(message.trained), message.truncated
    )
