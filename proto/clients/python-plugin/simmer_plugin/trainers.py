"""Trainers: kinds of processes that speak simmer.trainer.v1, and what starts one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from pydantic import BaseModel

from simmer_plugin.context import Log
from simmer_plugin.errors import Canceled
from simmer_plugin.generated.simmer.plugin.v1 import event_pb2, planning_pb2
from simmer_plugin.generated.simmer.plugin.v1 import trainer_pb2 as pb
from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2
from simmer_plugin.host import Host
from simmer_plugin.planning import Facts, Resources, WorkEstimate


@dataclass(frozen=True)
class TrainerCommand:
    """What starts a trainer."""

    #: The program and its arguments. No shell reads them.
    argv: Sequence[str]
    #: Variables besides those that the launcher gives it.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Where it starts; None: in the plugin's folder.
    cwd: Path | None = None


@dataclass(frozen=True)
class VersionsContext:
    """Where versions are looked for."""

    #: What relative paths in options are relative to.
    recipe_folder: Path
    cache_folder: Path
    #: The Python that the user's settings name, used as it is.
    python: str | None = None


class PrepareContext:
    """What a trainer is made ready with."""

    def __init__(
        self,
        *,
        host: Host,
        recipe_folder: Path,
        cache_folder: Path,
        python: str | None,
        canceled: threading.Event,
    ) -> None:
        self._host = host
        #: What relative paths in options are relative to.
        self.recipe_folder = recipe_folder
        #: Shared by all projects of the user: environments are made here.
        self.cache_folder = cache_folder
        #: The Python that the user's settings name, used as it is.
        self.python = python
        self.canceled = canceled
        self.log = Log(host)

    def stop_if_canceled(self) -> None:
        """Raises Canceled where the run is to stop: call it in long loops."""
        if self.canceled.is_set():
            raise Canceled("Simmer stops the preparation.")

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Says how far it is; at most a few times a second, please."""
        said = event_pb2.StageProgressed(done=done, total=total, unit=unit)
        self._host.emit(event_pb2.StageEvent(stage_progressed=said))


@dataclass(frozen=True)
class TrainingJob:
    """Training that a trainer does not do yet."""

    model: Facts
    data: Facts
    #: Named as in trainer.proto.
    hyperparameters: Mapping[str, Any]
    extensions: Mapping[str, Any] | None = None
    #: Of the rows that are evaluated on; None: there are none.
    evaluation: Facts | None = None


@dataclass(frozen=True)
class GenerationJob:
    """Generation that a trainer does not do yet."""

    model: Facts
    #: None: nobody knows how many.
    prompts: int | None
    #: Decoded for each, at most.
    tokens_per_prompt: int
    #: Its prompt included.
    longest_sequence: int
    #: None: the trainer chooses.
    batch_size: int | None = None
    #: Of the weights, as trainer.proto names it; None: as in the model.
    precision: str | None = None


@dataclass(frozen=True)
class TrainerPlace:
    """Where a trainer is to run."""

    #: As Hardware of trainer.proto names its figures; None: the recipe and the settings do not name it.
    hardware: Mapping[str, float] | None
    #: Over all nodes.
    gpus: int
    nodes: int


@dataclass(frozen=True)
class CalibrationRun:
    """A published run that a trainer's estimates are held against."""

    run: str
    #: Where it was published.
    source: str
    #: Whether constants of the estimate were fixed by it; otherwise it was held out.
    is_fit: bool
    #: Of both figures, e.g. "seconds".
    unit: str
    predicted: float
    published: float


PrepareFunction = Callable[[Any, PrepareContext], TrainerCommand]
VersionsFunction = Callable[[Any, VersionsContext], Mapping[str, str]]
EstimateJobFunction = Callable[[Any, TrainingJob | GenerationJob, TrainerPlace], WorkEstimate | None]


@dataclass(frozen=True)
class TrainerEntry:
    """A trainer that was declared."""

    description: str
    options: type[BaseModel]
    prepare: PrepareFunction
    versions: VersionsFunction
    #: The same for all options, or by them.
    resources: Resources | Callable[[Any], Resources]
    estimate: EstimateJobFunction | None
    calibration: Sequence[CalibrationRun]
    #: What may be given to its trainings besides hyperparameters; None: only the trainer knows.
    extensions: type[BaseModel] | None
    gpus_per_process: int | None


def job_of(request: pb.EstimateTrainerJobRequest) -> TrainingJob | GenerationJob:
    """The work of a request."""
    if request.WhichOneof("job") == "training":
        training: planning_pb2.TrainingJob = request.training
        return TrainingJob(
            model=json_format.MessageToDict(training.model),
            data=json_format.MessageToDict(training.data),
            hyperparameters=json_format.MessageToDict(training.hyperparameters, preserving_proto_field_name=True),
            extensions=json_format.MessageToDict(training.extensions) if training.HasField("extensions") else None,
            evaluation=json_format.MessageToDict(training.evaluation) if training.HasField("evaluation") else None,
        )
    generation = request.generation
    return GenerationJob(
        model=json_format.MessageToDict(generation.model),
        prompts=generation.prompts if generation.HasField("prompts") else None,
        tokens_per_prompt=generation.tokens_per_prompt,
        longest_sequence=generation.longest_sequence,
        batch_size=generation.batch_size if generation.HasField("batch_size") else None,
        precision=trainer_pb2.Precision.Name(generation.precision) if generation.precision else None,
    )


def place_of(message: pb.TrainerPlace) -> TrainerPlace:
    """A place from the wire."""
    known = json_format.MessageToDict(message.hardware, preserving_proto_field_name=True)
    return TrainerPlace(known if message.HasField("hardware") else None, message.gpus, message.nodes)
