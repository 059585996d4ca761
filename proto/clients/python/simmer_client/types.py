"""What calls take and give, in Python's own terms."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simmer_client.generated.simmer.control.v1 import control_pb2 as pb

#: How a run stands: "queued", "running", "completed", "failed", "interrupted" or "crashed".
Status = str
#: What a param or an override is given as: a text stands for what it is in YAML.
Value = str | int | float | bool
_STATUSES = ("queued", "running", "completed", "failed", "interrupted", "crashed")


@dataclass(frozen=True)
class Tls:
    """PEM files for an encrypted connection. Without an authority, the machine's own authorities count."""

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Resources:
    """Slots of a machine."""

    #: Logical cores.
    cpus: int
    memory_bytes: int
    #: Accelerators.
    gpus: int


@dataclass(frozen=True)
class Server:
    """What a server is, and what of its machine is taken."""

    #: Of Simmer, e.g. "0.1.0".
    version: str
    #: Absolute folder of runs and artifacts on the server's machine.
    home: str
    #: What runs may take together.
    capacity: Resources
    #: What the runs that run now have claimed.
    claimed: Resources
    #: Ids of the runs that wait, in the order of the queue.
    queued_run_ids: tuple[str, ...]
    running_run_ids: tuple[str, ...]


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
    #: What it claims while it runs; None where it does not wait.
    claim: Resources | None
    #: Absolute, on the server's machine.
    folder: str
    #: When it last told something; None where its log cannot be read.
    last_event_at: datetime | None = None
    #: What was changed in its recipe, as the command line has it: "-p NAME=VALUE", "--set PATH=VALUE".
    changes: tuple[str, ...] = ()
    #: The training stage that it inspects; empty for a run of its recipe.
    inspects: str = ""


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
    """What the cache has of a stage, and what the stage will take."""

    name: str
    #: "hit", "miss", or "unknown" while its inputs do not exist.
    cache: str
    #: Of its outputs in the cache; None while it is unknown.
    key: str | None
    #: {isDone, seconds, usd (dollars), gpuHours, memory: [{part, bytes}], fits, notes}; what is not known is absent.
    estimate: Mapping[str, Any]


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


@dataclass(frozen=True)
class Removal:
    """What went with runs, or would go."""

    run_ids: tuple[str, ...]
    #: Ids of artifacts that no other run had made or reused.
    artifact_ids: tuple[str, ...]
    #: What these artifacts took.
    bytes: int
    #: Ids of other runs that reused stages of these: their reports, written again, cannot tell how those were made.
    reused_by: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The report of a run, as it was written last."""

    run_id: str
    #: Absolute, on the server's machine.
    path: str
    #: For `read_artifact`, with the path "report.html".
    artifact_id: str


@dataclass(frozen=True)
class Contribution:
    """One thing that a plugin has for recipes."""

    #: "stages", "trainers", "launchers", "graders" or "sinks".
    kind: str
    #: The second half of `uses: PLUGIN/NAME`.
    name: str
    description: str
    #: JSON Schema of its options.
    options_schema: Mapping[str, Any]
    #: By name, with their types; None but for stages.
    inputs: Mapping[str, Any] | None
    outputs: Mapping[str, Any] | None


@dataclass(frozen=True)
class Plugin:
    """A plugin that recipes may use."""

    name: str
    version: str
    #: The version of the plugin API that it was written for.
    api_version: int
    #: "built-in", or the name of its npm package.
    source: str
    contributions: tuple[Contribution, ...]


def server_of(message: pb.DescribeServerResponse) -> Server:
    """A server off the wire."""
    return Server(
        version=message.version,
        home=message.home,
        capacity=_resources_of(message.capacity),
        claimed=_resources_of(message.claimed),
        queued_run_ids=tuple(message.queued_run_ids),
        running_run_ids=tuple(message.running_run_ids),
    )


def run_of(message: pb.Run) -> Run:
    """A run off the wire."""
    queue = message.queue if message.HasField("queue") else None
    return Run(
        id=message.run_id,
        recipe=message.recipe,
        status=pb.RunStatus.Name(message.status).removeprefix("RUN_STATUS_").lower(),
        created_at=datetime.fromisoformat(message.created_at.ToJsonString()),
        ended_at=_time_of(message, "ended_at"),
        last_sequence=message.last_sequence,
        stages_done=message.stages_done,
        stages_total=message.stages_total,
        queue_position=queue.position if queue else None,
        waits_for=tuple(queue.waits_for) if queue else (),
        claim=_resources_of(queue.claim) if queue else None,
        folder=message.folder,
        last_event_at=_time_of(message, "last_event_at"),
        changes=tuple(message.changes),
        inspects=message.inspects,
    )


def _time_of(message: pb.Run, field: str) -> datetime | None:
    return datetime.fromisoformat(getattr(message, field).ToJsonString()) if message.HasField(field) else None


def filter_message(recipe: str | None, statuses: Collection[Status], created_after: datetime | None) -> pb.RunFilter:
    """Which runs, for the wire. A time without a zone is taken for one of this machine's zone."""
    for status in statuses:
        if status not in _STATUSES:
            raise ValueError(f'no run has the status "{status}"; there are {", ".join(_STATUSES)}')
    message = pb.RunFilter(recipe=recipe, statuses=[f"RUN_STATUS_{status.upper()}" for status in statuses])
    if created_after is not None:
        message.created_after.FromDatetime(created_after.astimezone(UTC))
    return message


def planned_stages_of(message: pb.PlanRecipeResponse) -> tuple[PlannedStage, ...]:
    """A plan off the wire, with the estimates of a server that estimates."""
    estimates = {each.pop("stage"): each for each in json.loads(message.estimates_json or "[]")}
    return tuple(
        PlannedStage(
            name=stage.stage,
            cache=pb.CacheState.Name(stage.cache).removeprefix("CACHE_STATE_").lower(),
            key=stage.key if stage.HasField("key") else None,
            estimate=estimates.get(stage.stage, {}),
        )
        for stage in message.stages
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


def removal_of(message: pb.RemoveRunsResponse) -> Removal:
    """A removal off the wire."""
    return Removal(tuple(message.run_ids), tuple(message.artifact_ids), message.bytes, tuple(message.reused_by_run_ids))


def plugin_of(message: pb.Plugin) -> Plugin:
    """A plugin off the wire."""
    contributions = tuple(
        Contribution(
            kind=each.kind,
            name=each.name,
            description=each.description,
            options_schema=json.loads(each.options_schema_json),
            inputs=json.loads(each.inputs_json) if each.HasField("inputs_json") else None,
            outputs=json.loads(each.outputs_json) if each.HasField("outputs_json") else None,
        )
        for each in message.contributions
    )
    return Plugin(message.name, message.version, message.api_version, message.source, contributions)


def recipe_message(
    text: str | None,
    name: str | None,
    params: Mapping[str, Value],
    overrides: Mapping[str, Value],
    until: str | None = None,
) -> pb.Recipe:
    """A recipe for the wire: its text, or the name of one that the server has."""
    if (text is None) == (name is None):
        raise ValueError("give the text of a recipe, or the name of one that the server has")
    recipe = pb.Recipe(params=texts_of("param", params), overrides=texts_of("override", overrides), until=until)
    if text is not None:
        recipe.text = text
    else:
        recipe.name = name or ""
    return recipe


def texts_of(kind: str, values: Mapping[str, Value]) -> dict[str, str]:
    """Values for the wire, as they are written on the command line: `true`, `2`. kind: what they are, for messages."""
    for name, value in values.items():
        if not isinstance(value, str | int | float):
            raise TypeError(f'the {kind} "{name}" is a {type(value).__name__}; it may be a str, int, float or bool')
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _resources_of(message: pb.Resources) -> Resources:
    return Resources(message.cpus, message.memory_bytes, message.gpus)
