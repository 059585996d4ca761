"""All that a running stage or an open sink has."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from simmer_plugin.artifacts import Artifact, Row, Table, write_parquet
from simmer_plugin.errors import Canceled, HostError
from simmer_plugin.generated.simmer.plugin.v1 import event_pb2
from simmer_plugin.generation import Policy, Prompt, Sample, Sampling, Thinking
from simmer_plugin.grading import Grade, GradeItem
from simmer_plugin.host import Host
from simmer_plugin.inspection import InspectedRow, TrainerInfo
from simmer_plugin.options import GraderChoice
from simmer_plugin.structs import struct_of
from simmer_plugin.training import TrainedModel

OptionsT = TypeVar("OptionsT", bound=BaseModel)


class Log:
    """Lines for people, in the log of the run."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def debug(self, message: str) -> None:
        self._write(event_pb2.LOG_LEVEL_DEBUG, message)

    def info(self, message: str) -> None:
        self._write(event_pb2.LOG_LEVEL_INFO, message)

    def warning(self, message: str) -> None:
        self._write(event_pb2.LOG_LEVEL_WARNING, message)

    def error(self, message: str) -> None:
        self._write(event_pb2.LOG_LEVEL_ERROR, message)

    def _write(self, level: Any, message: str) -> None:
        line = event_pb2.LogWritten(level=level, message=message)
        self._host.emit(event_pb2.StageEvent(log_written=line))


class Reservation:
    """Money that is set aside for one request.

    `with context.reserve(...) as reservation:` settles it at the end of the block, where nothing else did. It counts as
    the most that the request could cost then, since nobody knows what it did cost.
    """

    def __init__(self, host: Host, id: str, most: float | None) -> None:
        self._host = host
        self._id = id
        self._most = most
        self._is_settled = False

    def settle(self, usd: float | None, *, input_tokens: int | None = None, output_tokens: int | None = None) -> None:
        """Tells what it did cost, once it is over, well or badly; at most what was set aside."""
        self._host.settle(self._id, usd, input_tokens, output_tokens)
        self._is_settled = True

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_settled:
            return
        try:
            self.settle(self._most)
        except HostError:
            # What went wrong first is what the user is told.
            if kind is None:
                raise


class CallContext:
    """What stages and graders have alike. Raises HostError where what is asked of Simmer fails."""

    def __init__(
        self,
        *,
        host: Host,
        recipe_folder: Path,
        cache_folder: Path,
        canceled: threading.Event,
        is_spending_limited: bool = False,
        python: str | None = None,
    ) -> None:
        self._host = host
        #: What relative paths in options are relative to.
        self.recipe_folder = recipe_folder
        #: Shared by all projects of the user.
        self.cache_folder = cache_folder
        self.canceled = canceled
        #: Whether the run's budget limits dollars: what is paid for needs a price then.
        self.is_spending_limited = is_spending_limited
        #: The Python that the user's settings name.
        self.python = python
        self.log = Log(host)

    def reserve(self, source: str, usd: float | None, *, seconds: float | None = None) -> Reservation:
        """Sets money aside for a request that is about to be made to somebody who is paid.

        source: who is paid, as the report is to name it. usd: the most that it can cost; None where no price is known.
        seconds: how long it may take, since a run that ends early waits for it; None: 8 minutes.
        Waits while requests under way leave no room. Raises HostError `budget_reached`, `price_missing`.
        """
        return Reservation(self._host, self._host.reserve(source, usd, seconds), usd)


class StageContext(CallContext, Generic[OptionsT]):
    """All that a running stage has.

    What it asks of Simmer raises HostError where that fails, Canceled where the stage is to stop.
    """

    def __init__(
        self,
        *,
        host: Host,
        options: OptionsT,
        inputs: Mapping[str, Sequence[Artifact]],
        seed: int,
        run_id: str,
        stage: str,
        attempt: int,
        temporary_folder: Path,
        scratch_folder: Path,
        recipe_folder: Path,
        cache_folder: Path,
        canceled: threading.Event,
        is_spending_limited: bool = False,
        python: str | None = None,
    ) -> None:
        super().__init__(
            host=host,
            recipe_folder=recipe_folder,
            cache_folder=cache_folder,
            canceled=canceled,
            is_spending_limited=is_spending_limited,
            python=python,
        )
        self._files = 0
        self.options = options
        self.inputs = inputs
        #: Draw all randomness from it; see `random`.
        self.seed = seed
        self.run_id = run_id
        #: The stage's name in the recipe.
        self.stage = stage
        #: From 1.
        self.attempt = attempt
        #: Empty; what is written here is gone after the stage.
        self.temporary_folder = temporary_folder
        #: Survives kills and later attempts of the same work: keep here what is paid for.
        self.scratch_folder = scratch_folder

    def input(self, name: str) -> Artifact:
        """An input that must be there, or KeyError."""
        found = self.optional(name)
        if found is None:
            raise KeyError(f"the recipe gave no input {name!r}")
        return found

    def optional(self, name: str) -> Artifact | None:
        """An input that may have been left out."""
        return next(iter(self.inputs.get(name, ())), None)

    def many(self, name: str) -> Sequence[Artifact]:
        """An input that takes many."""
        return self.inputs.get(name, ())

    def table(self, name: str) -> Table:
        """An input that is a dataset or generations, or KeyError."""
        found = self.input(name)
        if not isinstance(found, Table):
            raise TypeError(f"the input {name!r} is a {found.type}, not a table")
        return found

    def random(self, purpose: str) -> random.Random:
        """Randomness of the stage's seed, another for each purpose."""
        digest = hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()
        return random.Random(int.from_bytes(digest[:8], "big"))

    def stop_if_canceled(self) -> None:
        """Raises Canceled where the stage is to stop: call it in long loops."""
        if self.canceled.is_set():
            raise Canceled("Simmer stops the stage.")

    def kept_folder(self, of: Mapping[str, Any]) -> Path:
        """A folder that stays when the stage is done, for what was paid for.

        Beside it stand those of the stage with other inputs: whose name, seed and `of` are the same. of: what the kept
        things depend on besides, as plain JSON.
        """
        return self._host.open_kept_folder(of)

    def write_dataset(
        self,
        rows: Iterable[Row],
        *,
        columns: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Table:
        """Makes a dataset.

        columns: name to DuckDB's type. With them rows are written as they come; without, all are held in memory first.
        A row may leave a column out, which is null then, and have no other.
        """
        return self._write_table("dataset", rows, columns, metadata)

    def write_generations(
        self,
        rows: Iterable[Row],
        *,
        columns: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Table:
        """Makes a table of what models answered, as `write_dataset` does."""
        return self._write_table("generations", rows, columns, metadata)

    def write_report(self, content: Any, *, metadata: Mapping[str, Any] | None = None) -> Artifact:
        """Makes a report. content: JSON of any kind."""
        return self._host.commit_report(content, metadata or {})

    def commit_model(self, folder: Path, *, metadata: Mapping[str, Any] | None = None) -> Artifact:
        """Makes a model of a Hugging Face folder inside `temporary_folder`, which is gone from there afterwards."""
        return self._host.commit_model(folder, False, metadata or {})

    def reference_model(self, folder: Path, *, metadata: Mapping[str, Any] | None = None) -> Artifact:
        """Makes a model of a Hugging Face folder that stays where it is."""
        return self._host.commit_model(folder, True, metadata or {})

    def generate(
        self,
        trainer: str,
        model: Artifact,
        prompts: Iterable[Prompt],
        sampling: Sampling,
        *,
        thinking: Thinking | None = None,
        policies: Sequence[Policy] = (),
        max_batch_size: int | None = None,
        precision: str | None = None,
    ) -> Iterator[Sample]:
        """Answers every prompt under every policy, `sampling.samples` times, in no promised order.

        trainer: the value of an option made by `trainer_name()`. model: an input, or what was committed. prompts: any
        number; two with the same id raise HostError `request_invalid`.
        max_batch_size: sequences decoded side by side. precision: of the weights, e.g. "PRECISION_BFLOAT16". Of what is
        None, the trainer chooses.
        """
        # Before the first answer: prompts may go to Simmer in several requests, each of which is checked by itself.
        by_id: dict[str, Prompt] = {}
        for prompt in prompts:
            if prompt.id in by_id:
                message = f"Two prompts have the id {prompt.id!r:.200}, by which samples are told apart."
                hint = "The id of a row is made of its question: put curation/deduplicate before this stage."
                raise HostError("request_invalid", message, hint)
            by_id[prompt.id] = prompt
        asked = (trainer, model, list(by_id.values()), sampling, thinking, policies, max_batch_size, precision)
        for sample in self._host.generate(*asked):
            self.stop_if_canceled()
            yield sample

    def train(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        hyperparameters: Mapping[str, Any],
        *,
        evaluation: Artifact | None = None,
        extensions: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> TrainedModel:
        """Trains to the end and makes a model of what comes out; of LoRA the adapter. A stage trains once.

        dataset, evaluation: with columns `prompt` and `completion`. hyperparameters: named as in trainer.proto, e.g.
        `{"method": "METHOD_FULL", "learning_rate": 1e-5, "epochs": 1, "global_batch_size": 16, ...}`.
        extensions: what the trainer's backend takes besides; its own schema checks it.
        """
        return self._host.train(trainer, model, dataset, evaluation, hyperparameters, extensions, metadata or {})

    def export(
        self,
        trainer: str,
        model: Artifact,
        *,
        adapter: Artifact | None = None,
        metadata: Mapping[str, Any] | None = None,
        precision: str | None = None,
        format: str | None = None,
    ) -> Artifact:
        """Makes a model of another by the trainer: with the adapter merged into it, where one is given.

        precision: of the weights written, e.g. "PRECISION_BFLOAT16"; None: as in the model. format: of the files, e.g.
        "EXPORT_FORMAT_GGUF"; None: a Hugging Face folder.
        """
        return self._host.export(trainer, model, adapter, metadata or {}, precision, format)

    def describe_trainer(self, trainer: str) -> TrainerInfo:
        """What a trainer of the recipe is and can do; starts it, where it does not run."""
        return self._host.describe_trainer(trainer)

    def inspect(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        rows: Sequence[int],
        hyperparameters: Mapping[str, Any],
        *,
        extensions: Mapping[str, Any] | None = None,
    ) -> list[InspectedRow]:
        """What the trainer would make of rows: their tokens, and which of them count for the loss.

        rows: positions in the dataset, from 0. The rest is as `train` takes it.
        """
        return self._host.inspect(trainer, model, dataset, rows, hyperparameters, extensions)

    def grade(self, grader: GraderChoice, items: Sequence[GradeItem]) -> list[Grade]:
        """Grades answers, in the order given. grader: the value of an option made by `grader_choice()`."""
        return self._host.grade(grader.uses, grader.options, items)

    def progress(
        self, done: int, total: int | None, unit: str, *, seconds_left: float | None = None, **figures: float
    ) -> None:
        """Says how far the stage is; at most a few times a second, please. seconds_left: by its own estimate."""
        said = event_pb2.StageProgressed(done=done, total=total, unit=unit, seconds_left=seconds_left, figures=figures)
        self._host.emit(event_pb2.StageEvent(stage_progressed=said))

    def funnel(self, step: str, rows_in: int, rows_out: int, dropped: Mapping[str, int]) -> None:
        """Says how many rows were kept, and how many each rule dropped: one bar of the report's funnel."""
        said = event_pb2.FunnelCounted(step=step, rows_in=rows_in, rows_out=rows_out, dropped=dict(dropped))
        self._host.emit(event_pb2.StageEvent(funnel_counted=said))

    def metric(
        self,
        name: str,
        value: float,
        *,
        interval: tuple[float, float] | None = None,
        count: int | None = None,
        unit: str | None = None,
        labels: Mapping[str, str | float] | None = None,
    ) -> None:
        """Says a figure that the run proves. interval: bounds of its 95% interval. count: on how many items."""
        bounds = None if interval is None else event_pb2.Interval(low=interval[0], high=interval[1])
        said = event_pb2.MetricMeasured(
            name=name, value=value, interval=bounds, count=count, unit=unit, labels=struct_of(labels or {})
        )
        self._host.emit(event_pb2.StageEvent(metric_measured=said))

    def _write_table(
        self, kind: str, rows: Iterable[Row], columns: Mapping[str, str] | None, metadata: Mapping[str, Any] | None
    ) -> Table:
        self._files += 1
        file = self.temporary_folder / f"table-{self._files}.parquet"
        write_parquet(file, rows, columns)
        try:
            return self._host.commit_table(kind, file, columns, metadata or {})
        finally:
            file.unlink(missing_ok=True)


class SinkContext(Generic[OptionsT]):
    """All that a sink has."""

    def __init__(self, *, host: Host, options: OptionsT, run_id: str, run_folder: Path, recipe_folder: Path) -> None:
        self._host = host
        self.options = options
        self.run_id = run_id
        #: A file of the run is put here.
        self.run_folder = run_folder
        #: What relative paths in options are relative to.
        self.recipe_folder = recipe_folder
        self.log = Log(host)

    def events_of(self, run_id: str, stage_keys: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """The log of a run of the same home, e.g. of the one that made what was reused. Nothing where it is gone.

        With keys of stages, steps, progress and lines of log of other stages may be left out, which is quicker.
        """
        return self._host.events_of(run_id, stage_keys)

    def open_artifact(self, uri: str) -> Artifact:
        """An artifact of the home, whichever run made it. Raises HostError `artifact_missing`."""
        return self._host.open_artifact(uri)
