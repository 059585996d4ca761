"""What a trainer is, and what it would make of rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simmer_plugin.generated.simmer.plugin.v1 import host_pb2
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


@dataclass(frozen=True)
class TrainerInfo:
    """What a trainer is."""

    #: Its name for itself, e.g. "simmer-trainer".
    name: str
    version: str
    #: As trainer.proto names them: "CAPABILITY_TRAIN".
    capabilities: frozenset[str]
    #: Of what it is built on, e.g. {"torch": "2.13.0"}.
    versions: Mapping[str, str]
    #: What the vendors call its devices.
    devices: Sequence[str]


def info_of(message: host_pb2.DescribeTrainerResponse) -> TrainerInfo:
    """What a trainer is, from the wire."""
    capabilities = frozenset(trainer_pb2.Capability.Name(code) for code in message.capabilities)
    devices = [device.model for device in message.devices]
    return TrainerInfo(message.name, message.version, capabilities, dict(message.versions), devices)
