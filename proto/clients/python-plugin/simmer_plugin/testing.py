"""For tests of plugins: runs a stage, a grader or a sink by itself, without Simmer."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from google.protobuf import json_format

from simmer_plugin.artifacts import Artifact, Row, Table, write_parquet
from simmer_plugin.context import OptionsT, SinkContext, StageContext
from simmer_plugin.generated.simmer.plugin.v1 import event_pb2, host_pb2
from simmer_plugin.generation import Policy, Prompt, Sample, Sampling, Thinking
from simmer_plugin.graders import GraderContext
from simmer_plugin.grading import Grade, GradeItem
from simmer_plugin.inspection import InspectedRow, TrainerInfo
from simmer_plugin.planning import (
    CheckContext,
    EstimateContext,
    Facts,
    GradingEstimate,
    KeptFolders,
    Problem,
    StageEstimate,
    WorkEstimate,
)
from simmer_plugin.plugin import Plugin
from simmer_plugin.training import TrainedModel

Generate = Callable[[Sequence[Prompt], Sampling], Sequence[Sample]]
GradeAll = Callable[[Sequence[GradeItem]], Sequence[Grade]]
#: Rows of a table, JSON of a report, or a folder of a model.
Input = Sequence[Row] | Mapping[str, Any] | Path


@dataclass
class StageResult:
    """What a stage made and said."""

    outputs: Mapping[str, Artifact]
    #: As `{"funnelCounted": {...}}`; numbers of 64 bits are texts.
    events: list[dict[str, Any]] = field(default_factory=list)
    #: (source, dollars) of what was settled.
    spent: list[tuple[str, float | None]] = field(default_factory=list)
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def rows(self, output: str) -> list[dict[str, Any]]:
        """The rows of an output that is a table."""
        return self._rows[self.outputs[output].uri]


def run_stage(
    plugin: Plugin,
    stage: str,
    *,
    options: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Input | Sequence[Input]] | None = None,
    seed: int = 1,
    generate: Generate | None = None,
    grade: GradeAll | None = None,
    scratch_folder: Path | None = None,
) -> StageResult:
    """Runs one stage.

    generate, grade: stand for the trainer and the grader that the stage uses. scratch_folder: stays, with what
    `kept_folder` gives in it, so that another call goes on as after a kill; None: a new one.
    """
    entry = plugin.stages[stage]
    _require_known("input", inputs or {}, entry.inputs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = {kind: folder / kind for kind in ("temporary", "scratch", "recipe", "cache")}
        if scratch_folder is not None:
            folders["scratch"] = scratch_folder
        for each in folders.values():
            each.mkdir(exist_ok=True)
        host = _TestHost(folder, generate, grade, kept=folders["scratch"] / "kept")
        given = {
            port: [host.given(each) for each in (value if entry.inputs[port].is_many else [value])]  # type: ignore[union-attr]
            for port, value in (inputs or {}).items()
        }
        context: StageContext[Any] = StageContext(
            host=host,
            options=_given_options(entry.options, options or {}),
            inputs=given,
            seed=seed,
            run_id="test",
            stage=stage,
            attempt=1,
            temporary_folder=folders["temporary"],
            scratch_folder=folders["scratch"],
            recipe_folder=folders["recipe"],
            cache_folder=folders["cache"],
            canceled=threading.Event(),
        )
        outputs = entry.run(context)
        if set(outputs) != set(entry.outputs):
            raise AssertionError(f"the stage declares {sorted(entry.outputs)} and returned {sorted(outputs)}")
        return StageResult(outputs, host.events, host.spent, host.rows)


@dataclass
class GradingResult:
    """What a grader found and said."""

    grades: Sequence[Grade]
    #: As those of a stage.
    events: list[dict[str, Any]] = field(default_factory=list)
    #: (source, dollars) of what was settled.
    spent: list[tuple[str, float | None]] = field(default_factory=list)


def grade_answers(
    plugin: Plugin, grader: str, items: Sequence[GradeItem], *, options: Mapping[str, Any] | None = None
) -> GradingResult:
    """Has a grader grade answers, once."""
    entry = plugin.graders[grader]
    with tempfile.TemporaryDirectory() as name:
        host = _TestHost(Path(name), None, None, kept=Path(name) / "kept")
        context = GraderContext(
            host=host, recipe_folder=Path(name), cache_folder=Path(name), canceled=threading.Event()
        )
        grades = entry.grade(items, _given_options(entry.options, options or {}), context)
        if [grade.id for grade in grades] != [item.id for item in items]:
            raise AssertionError("a grader gives one grade for each answer, in the order asked")
        return GradingResult(grades, host.events, host.spent)


def run_sink(
    plugin: Plugin,
    sink: str,
    events: Iterable[Mapping[str, Any]],
    *,
    run_folder: Path,
    options: Mapping[str, Any] | None = None,
    recipe_folder: Path = Path("."),
) -> str | None:
    """Opens a sink, gives it events, and closes it. Returns the path of the report that it wrote, if it wrote one.

    events: as lines of `events.jsonl`; `runId`, `sequence` and `time` may be left out.
    """
    entry = plugin.sinks[sink]
    with tempfile.TemporaryDirectory() as name:
        host = _TestHost(Path(name), None, None, kept=Path(name) / "kept")
        given = _given_options(entry.options, options or {})
        context: SinkContext[Any] = SinkContext(
            host=host, options=given, run_id="test", run_folder=run_folder, recipe_folder=recipe_folder
        )
        opened = entry.open(context)
        report = None
        for sequence, event in enumerate(events, 1):
            if event["type"] == "run.completed":
                report = opened.before_completed()
            whole = {"runId": "test", "sequence": sequence, "time": "2026-01-01T00:00:00.000Z", **event}
            opened.on_event(json.loads(json.dumps(whole)))
        opened.close()
        return report


def check_stage(
    plugin: Plugin,
    stage: str,
    *,
    options: Mapping[str, Any] | None = None,
    recipe_folder: Path = Path("."),
    is_usd_limited: bool = False,
    inputs: Mapping[str, int] | None = None,
) -> list[Problem]:
    """What a stage's check finds wrong with options that its model takes."""
    entry = plugin.stages[stage]
    if entry.check is None:
        raise AssertionError(f"the stage {stage} has no check")
    given = _given_options(entry.options, options or {})
    return list(entry.check(given, CheckContext(recipe_folder, is_usd_limited, inputs or {})))


def estimate_stage(
    plugin: Plugin,
    stage: str,
    *,
    options: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Facts | Sequence[Facts]] | None = None,
    job: WorkEstimate | None = None,
    grading: GradingEstimate | None = None,
    kept: KeptFolders | None = None,
) -> StageEstimate | None:
    """What a stage's estimate says.

    job: what any trainer says that any work would take; None: that it is not known. grading: what any grader says;
    None: that it costs little. kept: what was paid for; None: nothing.
    """
    entry = plugin.stages[stage]
    if entry.estimate is None:
        raise AssertionError(f"the stage {stage} has no estimate")
    context = EstimateContext(
        host=_TestForecasts(
            job or WorkEstimate(notes=["its plugin does not say what it takes."]), grading, kept or KeptFolders()
        ),
        inputs={name: [given] if isinstance(given, Mapping) else given for name, given in (inputs or {}).items()},
        recipe_folder=Path("."),
        cache_folder=Path("."),
    )
    return entry.estimate(_given_options(entry.options, options or {}), context)


@dataclass(frozen=True)
class _TestForecasts:
    """Says the same of any work."""

    job: WorkEstimate
    grading: GradingEstimate | None
    kept: KeptFolders

    def estimate_job(self, request: host_pb2.EstimateJobRequest) -> WorkEstimate:
        return self.job

    def estimate_grading(self, uses: str, options: Mapping[str, Any], answers: int | None) -> GradingEstimate | None:
        return self.grading

    def find_kept_folders(self, of: Mapping[str, Any]) -> KeptFolders:
        return self.kept


class _TestHost:
    """Keeps what is committed in a folder."""

    def __init__(self, folder: Path, generate: Generate | None, grade: GradeAll | None, *, kept: Path) -> None:
        self._folder = folder
        self._kept_folders = kept
        self._generate = generate
        self._grade = grade
        self._artifacts: dict[str, Artifact] = {}
        self.events: list[dict[str, Any]] = []
        self.spent: list[tuple[str, float | None]] = []
        self._reserved: dict[str, str] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def given(self, value: Any) -> Artifact:
        """An input."""
        if isinstance(value, Path):
            return self._kept("model", str(value).encode(), value, {})
        if isinstance(value, Mapping):
            return self.commit_report(value, {})
        file = self._folder / f"input-{len(self._artifacts)}.parquet"
        write_parquet(file, value, None)
        return self.commit_table("dataset", file, None, {})

    def open_artifact(self, uri: str) -> Artifact:
        return self._artifacts[uri]

    def events_of(self, run_id: str, stage_keys: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        yield from ()

    def open_kept_folder(self, of: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
        folder = self._kept_folders / digest / "key"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def describe_trainer(self, trainer: str) -> TrainerInfo:
        return TrainerInfo(trainer, "0.0.0", frozenset(), {}, [])

    def commit_table(
        self, kind: str, file: Path, columns: Mapping[str, str] | None, metadata: Mapping[str, Any]
    ) -> Table:
        read = pq.read_table(file)
        rows: list[dict[str, Any]] = read.to_pylist()
        digest = hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()
        folder = self._folder / f"artifact-{digest}"
        folder.mkdir(exist_ok=True)
        (folder / "data.parquet").write_bytes(file.read_bytes())
        types = columns or {
            name: _duckdb_type(str(kind)) for name, kind in zip(read.column_names, read.schema.types, strict=True)
        }
        table = Table(f"simmer://{kind}/sha256-{digest}", kind, folder, metadata, types, len(rows))
        self._artifacts[table.uri] = table
        self.rows[table.uri] = rows
        return table

    def commit_report(self, content: Any, metadata: Mapping[str, Any]) -> Artifact:
        text = json.dumps(content, allow_nan=False).encode()
        folder = self._folder / f"artifact-{hashlib.sha256(text).hexdigest()}"
        folder.mkdir(exist_ok=True)
        (folder / "report.json").write_bytes(text)
        return self._kept("report", text, folder, metadata)

    def commit_model(self, folder: Path, by_reference: bool, metadata: Mapping[str, Any]) -> Artifact:
        return self._kept("model", str(folder).encode(), folder, metadata)

    def generate(
        self,
        trainer: str,
        model: Artifact,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        thinking: Thinking | None,
        policies: Sequence[Policy],
        max_batch_size: int | None,
        precision: str | None,
    ) -> Iterator[Sample]:
        if self._generate is None:
            raise AssertionError(f"the stage asked the trainer {trainer}; the test gave no `generate`")
        yield from self._generate(prompts, sampling)

    def train(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        evaluation: Artifact | None,
        hyperparameters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None,
        metadata: Mapping[str, Any],
    ) -> TrainedModel:
        made = self._kept("model", f"{model.uri} {dataset.uri}".encode(), model.folder, metadata)
        return TrainedModel(made.uri, made.type, made.folder, made.metadata)

    def export(
        self,
        trainer: str,
        model: Artifact,
        adapter: Artifact | None,
        metadata: Mapping[str, Any],
        precision: str | None,
        format: str | None,
    ) -> Artifact:
        return model

    def inspect(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        rows: Sequence[int],
        hyperparameters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None,
    ) -> list[InspectedRow]:
        return [InspectedRow(row, [], [], [], False) for row in rows]

    def grade(self, uses: str, options: Mapping[str, Any], items: Sequence[GradeItem]) -> list[Grade]:
        if self._grade is None:
            raise AssertionError(f"the stage asked the grader {uses}; the test gave no `grade`")
        return list(self._grade(items))

    def emit(self, event: event_pb2.StageEvent) -> None:
        self.events.append(json_format.MessageToDict(event))

    def reserve(self, source: str, usd: float | None, seconds: float | None) -> str:
        id = str(len(self._reserved))
        self._reserved[id] = source
        return id

    def settle(self, reservation: str, usd: float | None, input_tokens: int | None, output_tokens: int | None) -> None:
        self.spent.append((self._reserved[reservation], usd))

    def _kept(self, kind: str, content: bytes, folder: Path, metadata: Mapping[str, Any]) -> Artifact:
        uri = f"simmer://{kind}/sha256-{hashlib.sha256(content).hexdigest()}"
        return self._artifacts.setdefault(uri, Artifact(uri, kind, folder, metadata))


def _given_options(model: type[OptionsT], options: Mapping[str, Any]) -> OptionsT:
    _require_known("option", options, model.model_json_schema().get("properties", {}))
    return model.model_validate(options)


def _require_known(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """As in a recipe: left out in silence, a test of a name that is misspelt would pass with the default."""
    names = list(known)
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise AssertionError(f"there is no {kind} {unknown!r}; there are {', '.join(names) or 'none'}")


def _duckdb_type(arrow: str) -> str:
    plain = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
    listed = arrow.removeprefix("list<").removesuffix(">").split(": ")[-1] if arrow.startswith("list<") else None
    return f"{_duckdb_type(listed)}[]" if listed is not None else plain.get(arrow, "VARCHAR")
