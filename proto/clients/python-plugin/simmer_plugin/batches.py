"""Many messages in calls that each carry some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)


def batches(messages: Iterable[MessageT], *, most_bytes: int, most: int | None = None) -> Iterator[list[MessageT]]:
    """As many messages at a time as have at most so many bytes; a longer one goes by itself."""
    batch: list[MessageT] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == most or size + message.ByteSize() > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.ByteSize()
    if batch:
        yield batch
