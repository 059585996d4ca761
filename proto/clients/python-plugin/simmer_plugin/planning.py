"""What a stage says while a recipe is planned: what is wrong with its options, what it needs, what it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from google.protobuf import json_format
from pydantic import ValidationError

from simmer_plugin.generated.simmer.plugin.v1 import host_pb2, planning_pb2
from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2
from simmer_plugin.options import GraderChoice
from simmer_plugin.structs import struct_of

#: What is known of an artifact that may not exist yet. Of tables: `rows`, `tokensPerRow`, `lengthSpread`, and
#: `isAtMost` where there may be fewer or shorter rows; of models: `config`, as in config.json, and the `uri` of one
#: that exists. Numbers are floats.
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with an option, which its schema cannot see."""

    #: The option at fault, with dots to what is inside of it; empty: the options as a whole.
    path: str
    #: Stable, snake_case, e.g. "missing_file".
    code: str
    #: What is wrong, for the user: names the thing, what was expected, what was found.
    message: str
    #: What to do about it.
    hint: str | None = None


@dataclass(frozen=True)
class CheckContext:
    """What a check knows besides the options."""

    #: What relative paths in options are relative to.
    recipe_folder: Path
    #: Whether the recipe's budget limits dollars: what is paid for needs a price then.
    is_usd_limited: bool = False
    #: How many artifacts the recipe gives each input; 0 for one that it leaves out. Empty where an input is wrong.
    inputs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Resources:
    """What a stage or a trainer needs of the machine. None: one core, and no matter how much of the rest."""

    cpus: int | None = None
    memory_bytes: int | None = None
    #: Over all nodes.
    gpus: int | None = None
    nodes: int | None = None
    #: What the accelerators, or the machines without any, are: a name of the settings' `hardware`.
    hardware: str | None = None


@dataclass(frozen=True)
class MemoryPart:
    """Memory of one accelerator that one thing takes."""

    #: "weights", "gradients", "optimizer", "activations" and the like.
    part: str
    bytes: float


@dataclass(frozen=True)
class TimePart:
    """Time that one thing takes."""

    #: "start", "steps", "checkpoints" and the like.
    part: str
    seconds: float


@dataclass(frozen=True)
class Advice:
    """Something that would take less memory, or offer more."""

    #: As it is written in a recipe: "gradientCheckpointing: true".
    change: str
    #: Of one accelerator, with the change.
    bytes: float
    #: What one accelerator has with the change, where that is another one.
    memory_bytes: float | None = None


@dataclass(frozen=True)
class WorkEstimate:
    """What some work takes. Figures are finite, and 0 or more."""

    #: Time on its hardware; None: not known.
    seconds: float | None = None
    #: Whether that is the most that it can take, rather than what is expected.
    is_at_most: bool = False
    memory: Sequence[MemoryPart] = ()
    #: The mildest first.
    advice: Sequence[Advice] = ()
    #: Other figures, by name: steps, tokensPerSecond.
    figures: Mapping[str, float] = field(default_factory=dict)
    #: Sentences: what was assumed, or why something is not known.
    notes: Sequence[str] = ()
    #: The same time as `seconds`, part by part.
    time: Sequence[TimePart] = ()


@dataclass(frozen=True)
class StageEstimate:
    """What a stage will take and make."""

    work: WorkEstimate = WorkEstimate()
    #: Dollars besides its hardware: what it asks of others.
    usd: float | None = None
    #: Output to what will be known of it.
    outputs: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True)
class GradingEstimate:
    """What grading will take."""

    work: WorkEstimate = WorkEstimate()
    #: Dollars besides its hardware: what it asks of others.
    usd: float | None = None


@dataclass(frozen=True)
class KeptFolders:
    """Folders of what was paid for."""

    #: The stage's own: an attempt of it did not come to its end. None also where its inputs are not there yet.
    own: Path | None = None
    #: Those of its runs with other inputs. Which of it serves this one only its run finds out.
    others: Sequence[Path] = ()


class EstimateHost(Protocol):
    """Who knows what the trainers and graders of a recipe take, and what was paid for."""

    def estimate_job(self, request: host_pb2.EstimateJobRequest) -> WorkEstimate: ...

    def estimate_grading(
        self, uses: str, options: Mapping[str, Any], answers: int | None
    ) -> GradingEstimate | None: ...

    def find_kept_folders(self, of: Mapping[str, Any]) -> KeptFolders: ...


class EstimateContext:
    """What an estimate knows besides the options."""

    def __init__(
        self, *, host: EstimateHost, inputs: Mapping[str, Sequence[Facts]], recipe_folder: Path, cache_folder: Path
    ) -> None:
        self._host = host
        self._inputs = inputs
        #: What relative paths in options are relative to.
        self.recipe_folder = recipe_folder
        self.cache_folder = cache_folder

    def input(self, name: str) -> Facts:
        """What is known of an input; nothing of one that was left out."""
        return next(iter(self._inputs.get(name, ())), {})

    def many(self, name: str) -> Sequence[Facts]:
        """The same for an input that takes many."""
        return self._inputs.get(name, ())

    def training(
        self,
        trainer: str,
        model: Facts,
        data: Facts,
        hyperparameters: Mapping[str, Any],
        *,
        evaluation: Facts | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> WorkEstimate:
        """What training would take of a trainer of the recipe; where its plugin cannot say, the notes do.

        trainer: the value of an option made by `trainer_name()`. hyperparameters: as `StageContext.train` takes them.
        evaluation: what is known of the rows that are evaluated on; None: there are none.
        """
        job = planning_pb2.TrainingJob(
            model=struct_of(model),
            data=struct_of(data),
            hyperparameters=json_format.ParseDict(dict(hyperparameters), trainer_pb2.Hyperparameters()),
            extensions=None if extensions is None else struct_of(extensions),
            evaluation=None if evaluation is None else struct_of(evaluation),
        )
        return self._host.estimate_job(host_pb2.EstimateJobRequest(trainer=trainer, training=job))

    def generation(
        self,
        trainer: str,
        model: Facts,
        *,
        prompts: int | None,
        tokens_per_prompt: int,
        longest_sequence: int,
        batch_size: int | None = None,
        precision: str | None = None,
    ) -> WorkEstimate:
        """What generation would take of a trainer of the recipe; where its plugin cannot say, the notes do.

        prompts: None where nobody knows how many. tokens_per_prompt: decoded for each, at most. longest_sequence: its
        prompt included. precision: of the weights, as trainer.proto names it; None: as in the model.
        """
        job = planning_pb2.GenerationJob(
            model=struct_of(model),
            prompts=prompts,
            tokens_per_prompt=tokens_per_prompt,
            longest_sequence=longest_sequence,
            batch_size=batch_size,
            precision=precision,
        )
        return self._host.estimate_job(host_pb2.EstimateJobRequest(trainer=trainer, generation=job))

    def grading(self, grader: GraderChoice, answers: int | None) -> GradingEstimate | None:
        """What grading would take by a grader; None where it costs little.

        grader: the value of an option made by `grader_choice()`. answers: None where nobody knows how many.
        """
        return self._host.estimate_grading(grader.uses, grader.options, answers)

    def kept(self, of: Mapping[str, Any]) -> KeptFolders:
        """What there is of the folder that is `StageContext.kept_folder(of)` of its run, and beside it."""
        return self._host.find_kept_folders(of)


def problems_of(error: ValidationError) -> list[Problem]:
    """What a model's own validators, which no JSON Schema has, find wrong with options."""
    problems = []
    for found in error.errors(include_url=False):
        path = ".".join(str(part) for part in found["loc"])
        said = found["msg"].removeprefix("Value error, ").rstrip(".")
        problems.append(Problem(path, found["type"], f"{path or 'What is given'} does not fit: {said}."))
    return problems


def problem_message(problem: Problem) -> planning_pb2.OptionProblem:
    """A problem for the wire."""
    return planning_pb2.OptionProblem(path=problem.path, code=problem.code, message=problem.message, hint=problem.hint)


def resources_message(needed: Resources) -> planning_pb2.ResourcesNeeded:
    """What is needed, for the wire."""
    return planning_pb2.ResourcesNeeded(
        cpus=needed.cpus,
        memory_bytes=needed.memory_bytes,
        gpus=needed.gpus,
        nodes=needed.nodes,
        hardware=needed.hardware,
    )


def resources_of(message: planning_pb2.ResourcesNeeded) -> Resources:
    """What is needed, from the wire."""
    given = {name: getattr(message, name) for name in Resources.__dataclass_fields__ if message.HasField(name)}
    return Resources(**given)


def estimate_message(estimate: StageEstimate) -> planning_pb2.StageEstimate:
    """An estimate for the wire."""
    return planning_pb2.StageEstimate(
        work=work_message(estimate.work),
        usd=estimate.usd,
        outputs={name: struct_of(facts) for name, facts in estimate.outputs.items()},
    )


def grading_message(estimate: GradingEstimate) -> planning_pb2.GradingEstimate:
    """What grading takes, for the wire."""
    return planning_pb2.GradingEstimate(work=work_message(estimate.work), usd=estimate.usd)


def grading_of(message: planning_pb2.GradingEstimate) -> GradingEstimate:
    """What grading takes, from the wire."""
    return GradingEstimate(work_of(message.work), message.usd if message.HasField("usd") else None)


def work_message(work: WorkEstimate) -> planning_pb2.WorkEstimate:
    """What work takes, for the wire."""
    return planning_pb2.WorkEstimate(
        seconds=work.seconds,
        is_at_most=work.is_at_most,
        memory=[planning_pb2.MemoryPart(part=each.part, bytes=each.bytes) for each in work.memory],
        advice=[
            planning_pb2.Advice(change=each.change, bytes=each.bytes, memory_bytes=each.memory_bytes)
            for each in work.advice
        ],
        figures=work.figures,
        notes=work.notes,
        time=[planning_pb2.TimePart(part=each.part, seconds=each.seconds) for each in work.time],
    )


def work_of(message: planning_pb2.WorkEstimate) -> WorkEstimate:
    """What work takes, from the wire."""
    return WorkEstimate(
        seconds=message.seconds if message.HasField("seconds") else None,
        is_at_most=message.is_at_most,
        memory=[MemoryPart(each.part, each.bytes) for each in message.memory],
        advice=[
            Advice(each.change, each.bytes, each.memory_bytes if each.HasField("memory_bytes") else None)
            for each in message.advice
        ],
        figures=dict(message.figures),
        notes=list(message.notes),
        time=[TimePart(each.part, each.seconds) for each in message.time],
    )
