"""What calls take and give, in Python's own terms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simmer_client.generated.simmer.control.v1 import control_pb2 as pb

#: How a run stands: "queued", "running", "completed", "failed", "interrupted" or "crashed".
Status = str


@dataclass(frozen=True)
class Tls:
    """PEM files for an encrypted connection. Without an authority, the machine's own authorities count."""

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Run:
    """A run, as it stood when it was asked for."""

    id: str
    recipe: str
    status: Status
    created_at: datetime
    ended_at: datetime | None
    #: Sequence of its last event.
    last_sequence: int
    stages_done: int
    stages_total: int
    #: Place in the queue, from 1; None where it does not wait.
    queue_position: int | None
    #: What it waits for: "cpus", "memoryBytes", "gpus".
    waits_for: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    """One event of a run. New types may come with new servers: ignore those that you do not know."""

    run_id: str
    #: From 1, without gaps.
    sequence: int
    time: datetime
    #: A past-tense "noun.verb", e.g. "stage.completed".
    type: str
    #: The stage that it belongs to.
    stage: str | None
    #: Ordinal of the stage's attempt, from 1.
    attempt: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Gap:
    """Telemetry that a live watcher was not sent."""

    dropped: int
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True)
class PlannedStage:
    """What the cache has of a stage: "hit", "miss" or "unknown"."""

    name: str
    cache: str


@dataclass(frozen=True)
class ArtifactFile:
    """A file of an artifact."""

    path: str
    #: In bytes.
    size: int
    #: Lower-case hex; empty for a run's report.
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """What a stage made."""

    id: str
    #: "dataset", "model", "generations" or "report".
    type: str
    stage: str
    output: str
    files: tuple[ArtifactFile, ...]


def run_of(message: pb.Run) -> Run:
    """A run off the wire."""
    queue = message.queue if message.HasField("queue") else None
    return Run(
        id=message.run_id,
        recipe=message.recipe,
        status=pb.RunStatus.Name(message.status).removeprefix("RUN_STATUS_").lower(),
        created_at=datetime.fromisoformat(message.created_at.ToJsonString()),
        ended_at=datetime.fromisoformat(message.ended_at.ToJsonString()) if message.HasField("ended_at") else None,
        last_sequence=message.last_sequence,
        stages_done=message.stages_done,
        stages_total=message.stages_total,
        queue_position=queue.position if queue else None,
        waits_for=tuple(queue.waits_for) if queue else (),
    )


def event_of(message: pb.Event) -> Event:
    """An event off the wire."""
    event = json.loads(message.json)
    return Event(
        run_id=event["runId"],
        sequence=event["sequence"],
        time=datetime.fromisoformat(event["time"]),
        type=event["type"],
        stage=event.get("stage"),
        attempt=event.get("attempt"),
        data=event["data"],
    )


def gap_of(message: pb.Gap) -> Gap:
    """A gap off the wire."""
    return Gap(message.dropped, message.first_sequence, message.last_sequence)


def artifact_of(message: pb.Artifact) -> Artifact:
    """An artifact off the wire."""
    files = tuple(ArtifactFile(file.path, file.size, file.sha256) for file in message.files)
    return Artifact(message.artifact_id, message.type, message.stage, message.output, files)


def recipe_message(
    text: str | None,
    name: str | None,
    params: Mapping[str, str],
    overrides: Mapping[str, str],
    until: str | None = None,
) -> pb.Recipe:
    """A recipe for the wire: its text, or the name of one that the server has."""
    if (text is None) == (name is None):
        raise ValueError("give the text of a recipe, or the name of one that the server has")
    recipe = pb.Recipe(params=dict(params), overrides=dict(overrides), until=until)
    if text is not None:
        recipe.text = text
    else:
        recipe.name = name or ""
    return recipe
