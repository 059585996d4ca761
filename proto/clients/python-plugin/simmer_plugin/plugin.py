"""Declaring what a plugin contributes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from simmer_plugin.artifacts import Artifact
from simmer_plugin.context import SinkContext, StageContext
from simmer_plugin.graders import EstimateGradingFunction, GraderEntry, GraderFunction
from simmer_plugin.hooks import AfterPlan, AroundStage, BeforePlan, Hooks, OnEvent
from simmer_plugin.launchers import LauncherEntry, MakeLauncher, ProcessesFunction, ReachFunction
from simmer_plugin.planning import CheckContext, EstimateContext, Problem, Resources, StageEstimate
from simmer_plugin.trainers import (
    CalibrationRun,
    EstimateJobFunction,
    PrepareFunction,
    TrainerEntry,
    VersionsFunction,
)

Outputs = Mapping[str, Artifact]
StageFunction = Callable[[StageContext[Any]], Outputs]


class Sink(Protocol):
    """What gets a run's events, in order; after a resume, again from the first one, in another process.

    One that raises is left out; the run goes on. What a class derived from this leaves out does nothing.
    """

    def on_event(self, event: Mapping[str, Any]) -> None:
        """event: as a line of the run's `events.jsonl` has it."""
        return None

    def before_completed(self) -> str | None:
        """All stages are done. Returns the path of the report that it wrote, if it writes one."""
        return None

    def close(self) -> None:
        """After the run's last event, whichever that is. Within 15 seconds."""
        return None


CheckFunction = Callable[[Any, CheckContext], Iterable[Problem]]
ResourcesFunction = Callable[[Any], Resources]
EstimateFunction = Callable[[Any, EstimateContext], StageEstimate | None]
OpenSink = Callable[[SinkContext[Any]], Sink]
StageT = TypeVar("StageT", bound=StageFunction)
CheckT = TypeVar("CheckT", bound=CheckFunction)
ResourcesT = TypeVar("ResourcesT", bound=ResourcesFunction)
EstimateT = TypeVar("EstimateT", bound=EstimateFunction)
BeforePlanT = TypeVar("BeforePlanT", bound=BeforePlan)
AfterPlanT = TypeVar("AfterPlanT", bound=AfterPlan)
AroundStageT = TypeVar("AroundStageT", bound=AroundStage)
OnEventT = TypeVar("OnEventT", bound=OnEvent)
PrepareT = TypeVar("PrepareT", bound=PrepareFunction)
MakeLauncherT = TypeVar("MakeLauncherT", bound=MakeLauncher)
GraderT = TypeVar("GraderT", bound=GraderFunction)
SinkT = TypeVar("SinkT", bound=OpenSink)


@dataclass(frozen=True)
class Port:
    """An input or an output of a stage."""

    types: tuple[str, ...]
    description: str
    is_optional: bool = False
    is_many: bool = False

    def optional(self) -> Port:
        """The recipe may leave it out."""
        return replace(self, is_optional=True)

    def many(self) -> Port:
        """It takes a list, possibly empty."""
        return replace(self, is_many=True)

    def __or__(self, other: Port) -> Port:
        return replace(self, types=self.types + other.types)


def dataset(description: str) -> Port:
    """A table."""
    return Port(("dataset",), description)


def generations(description: str) -> Port:
    """A table of what models answered."""
    return Port(("generations",), description)


def model(description: str) -> Port:
    """A Hugging Face folder."""
    return Port(("model",), description)


def report(description: str) -> Port:
    """JSON."""
    return Port(("report",), description)


class NoOptions(BaseModel):
    """Of what has no options."""


@dataclass(frozen=True)
class StageEntry:
    """A stage that was declared."""

    description: str
    options: type[BaseModel]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    #: The same for all options, or by them.
    resources: Resources | ResourcesFunction
    run: StageFunction
    check: CheckFunction | None = None
    estimate: EstimateFunction | None = None


@dataclass(frozen=True)
class SinkEntry:
    """A sink that was declared."""

    description: str
    options: type[BaseModel]
    open: OpenSink


class Plugin:
    """A plugin: what it contributes is declared with decorators; `serve` then does as Simmer asks.

    name: the first half of `uses: NAME/STAGE`. version: semantic, "1.2.3".
    """

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version
        self.stages: dict[str, StageEntry] = {}
        self.graders: dict[str, GraderEntry] = {}
        self.sinks: dict[str, SinkEntry] = {}
        self.trainers: dict[str, TrainerEntry] = {}
        self.launchers: dict[str, LauncherEntry] = {}
        self.hooks = Hooks()

    def stage(
        self,
        *,
        outputs: Mapping[str, Port],
        inputs: Mapping[str, Port] | None = None,
        name: str | None = None,
        resources: Resources | None = None,
    ) -> Callable[[StageT], StageT]:
        """Declares a stage: a function of a `StageContext[Options]` that returns its outputs.

        The first line of its docstring is its description, and its name, with "-" for "_", that of the stage. The same
        options, inputs and seed must give the same outputs: they are kept, and the stage is not run again.
        """

        def declare(function: StageT) -> StageT:
            self.stages[name or _name_of(function)] = StageEntry(
                _description_of(function),
                _options_of(function, 0),
                inputs or {},
                outputs,
                resources or Resources(),
                function,
            )
            return function

        return declare

    def check(self, stage: StageFunction) -> Callable[[CheckT], CheckT]:
        """Declares what says, of a stage's options, what is wrong that their model cannot see.

        A function of the options and a `CheckContext` that returns or yields each `Problem`. Called by validate and
        plan: it must be quick, and write nothing.
        """

        def declare(function: CheckT) -> CheckT:
            self._add(stage, check=function)
            return function

        return declare

    def resources(self, stage: StageFunction) -> Callable[[ResourcesT], ResourcesT]:
        """Declares what says, by a stage's options, what it needs of the machine. Quick, as a check."""

        def declare(function: ResourcesT) -> ResourcesT:
            self._add(stage, resources=function)
            return function

        return declare

    def estimate(self, stage: StageFunction) -> Callable[[EstimateT], EstimateT]:
        """Declares what says, for `simmer plan`, what a stage will take and what its outputs will be like.

        A function of the options and an `EstimateContext` that returns a `StageEstimate`, or None where it cannot say.
        """

        def declare(function: EstimateT) -> EstimateT:
            self._add(stage, estimate=function)
            return function

        return declare

    def trainer(
        self,
        *,
        versions: VersionsFunction,
        name: str | None = None,
        resources: Resources | ResourcesFunction | None = None,
        estimate: EstimateJobFunction | None = None,
        calibration: Sequence[CalibrationRun] = (),
        extensions: type[BaseModel] | None = None,
        gpus_per_process: int | None = None,
    ) -> Callable[[PrepareT], PrepareT]:
        """Declares a trainer: a function of options and a `PrepareContext` that returns what starts it.

        It makes ready what the trainer needs, and is called before every start. versions: a function of options and a
        `VersionsContext` that reads, from metadata, the versions that results depend on; they are part of the key by
        which results are reused. resources: what it takes while a stage uses it, or a function of options that says so.
        estimate: a function of options, a job and a place that says what some work will take. extensions: what may be
        given to its trainings besides hyperparameters, so that recipes are checked against it. gpus_per_process: GPUs
        that each of its processes uses, whatever it holds; None: all that are there.
        """

        def declare(function: PrepareT) -> PrepareT:
            self.trainers[name or _name_of(function)] = TrainerEntry(
                _description_of(function),
                _options_of(function, 0),
                function,
                versions,
                resources or Resources(),
                estimate,
                calibration,
                extensions,
                gpus_per_process,
            )
            return function

        return declare

    def launcher(
        self,
        *,
        name: str | None = None,
        reach: ReachFunction | None = None,
        processes: ProcessesFunction | None = None,
    ) -> Callable[[MakeLauncherT], MakeLauncherT]:
        """Declares a launcher: a function of options that returns what starts trainers, attaches to them and ends them.

        reach: a function of options that says how Simmer reaches what it starts; without it by a unix socket, within
        180 seconds. processes: a function of options and of what the trainer is to have that says how many processes of
        the trainer are started, over all machines: a recipe that pays for more GPUs than they use is refused. None:
        that is not known, nor checked.
        """

        def declare(function: MakeLauncherT) -> MakeLauncherT:
            options = _options_of(function, 0)
            entry = LauncherEntry(_description_of(function), options, function, reach, processes)
            self.launchers[name or _name_of(function)] = entry
            return function

        return declare

    def grader(
        self,
        *,
        name: str | None = None,
        estimate: EstimateGradingFunction | None = None,
        needs_gold: bool = True,
    ) -> Callable[[GraderT], GraderT]:
        """Declares a grader: a function of items and options that returns a grade for each item, in their order.

        It may take a third parameter, a `GraderContext`, for what it logs, pays and keeps. One process grades for a
        whole run, call after call: what is slow to load is loaded at the first one and kept.

        estimate: a function of options and a number of answers, None where that is not known yet, that says for
        `simmer plan` what grading them will take, or None where it cannot say. needs_gold: whether it can only grade
        answers to questions whose right answer is known; without it, the `gold` of an item may be empty.
        """

        def declare(function: GraderT) -> GraderT:
            entry = GraderEntry(_description_of(function), _options_of(function, 1), function, estimate, needs_gold)
            self.graders[name or _name_of(function)] = entry
            return function

        return declare

    def sink(self, *, name: str | None = None) -> Callable[[SinkT], SinkT]:
        """Declares a sink: a function of a `SinkContext[Options]` that returns what gets the events."""

        def declare(function: SinkT) -> SinkT:
            self.sinks[name or _name_of(function)] = SinkEntry(
                _description_of(function), _options_of(function, 0), function
            )
            return function

        return declare

    def before_plan(self, function: BeforePlanT) -> BeforePlanT:
        """Declares what changes a recipe before it is checked: a function of the recipe, as it is written.

        It returns another recipe, or None to leave it as it is; `plugins` stays as it was. Quick, as a check.
        """
        self._hook("before_plan", function)
        return function

    def after_plan(self, function: AfterPlanT) -> AfterPlanT:
        """Declares what says what the plugin has against a plan: a function of the plan, as `plan.json` has it.

        It returns or yields each `Objection`; a plan is refused with all of them. Quick, as a check.
        """
        self._hook("after_plan", function)
        return function

    def around_stage(self, function: AroundStageT) -> AroundStageT:
        """Declares what runs around the work of each stage that is not reused: a generator that yields once.

        At its `yield` the stage runs. A stage that fails raises `StageFailed` there; it fails whatever becomes of that.
        """
        self._hook("around_stage", function)
        return function

    def on_event(self, function: OnEventT) -> OnEventT:
        """Declares what gets each event of a run, in order, as a line of `events.jsonl` has it.

        After a resume it gets only what comes then, where a sink gets the whole run. One that raises gets no more
        events; the run goes on.
        """
        self._hook("on_event", function)
        return function

    def _hook(self, name: str, function: Callable[..., Any]) -> None:
        if getattr(self.hooks, name) is not None:
            raise TypeError(f"{function.__name__} is the second hook {name} of this plugin: it has one of each at most")
        setattr(self.hooks, name, function)

    def _add(self, stage: StageFunction, **more: Any) -> None:
        for name, entry in self.stages.items():
            if entry.run is stage:
                self.stages[name] = replace(entry, **more)
                return
        raise TypeError(f"{stage.__name__} is no stage of this plugin: declare it with @plugin.stage first")

    def serve(self) -> typing.NoReturn:
        """Serves until Simmer ends the process. Called last, by the program that the manifest names."""
        from simmer_plugin.server import serve

        serve(self)


def _name_of(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", "-")


def _description_of(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function)
    if not text:
        raise TypeError(f"{function.__name__} needs a docstring: its first line is what recipes' authors read")
    return text.split("\n\n")[0].replace("\n", " ")


def _options_of(function: Callable[..., Any], position: int) -> type[BaseModel]:
    """The options' model: of the annotation `StageContext[Options]`, or an annotation that is the model itself."""
    names = list(inspect.signature(function).parameters)
    if len(names) <= position:
        raise TypeError(f"{function.__name__} takes too few parameters")
    hint = typing.get_type_hints(function).get(names[position])
    for candidate in (hint, *typing.get_args(hint)):
        if inspect.isclass(candidate) and issubclass(candidate, BaseModel):
            return candidate
    return NoOptions
