"""The synchronous client."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import grpc

from simmer_client import connection
from simmer_client.analyses import PointDiff, RowHistory, history_of, points_of
from simmer_client.errors import Problem, error_of, is_lost, problem_of
from simmer_client.generated.simmer.control.v1 import control_pb2 as pb
from simmer_client.generated.simmer.control.v1 import control_pb2_grpc as pb_grpc
from simmer_client.types import (
    Artifact,
    Event,
    Gap,
    PlannedStage,
    Plugin,
    Removal,
    Report,
    Run,
    Server,
    Status,
    Tls,
    Value,
    artifact_of,
    event_of,
    filter_message,
    gap_of,
    planned_stages_of,
    plugin_of,
    recipe_message,
    removal_of,
    run_of,
    server_of,
    texts_of,
)

_Response = TypeVar("_Response")
_NO_VALUES: Mapping[str, Value] = {}


class Client:
    """The calls of one server. Close it, or use it as a context manager. Safe to share among threads.

    call_seconds: how long a call may take before it fails with "deadline_exceeded"; not of `cancel_run`,
        `remove_runs` and streams.
    reading_seconds: the same for `write_report`, `explain_row` and `diff_evaluations`, which read whole tables.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls: Tls | None = None,
        call_seconds: float = connection.CALL_SECONDS,
        reading_seconds: float = connection.READING_SECONDS,
    ) -> None:
        target = connection.address_of(address)
        credentials = connection.credentials_of(target, tls)
        self._metadata = connection.metadata_of(token)
        self._call_seconds = call_seconds
        self._reading_seconds = reading_seconds
        self._channel = (
            grpc.insecure_channel(target, connection.OPTIONS)
            if credentials is None
            else grpc.secure_channel(target, credentials, connection.OPTIONS)
        )
        self._stub = pb_grpc.ControlServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls that are under way."""
        self._channel.close()

    def describe_server(self) -> Server:
        """What the server is, what its machine has, and what of it is taken."""
        return server_of(self._call(self._stub.DescribeServer, pb.DescribeServerRequest()))

    def list_plugins(self) -> tuple[Plugin, ...]:
        """What recipes may use on the server."""
        response = self._call(self._stub.ListPlugins, pb.ListPluginsRequest())
        return tuple(plugin_of(plugin) for plugin in response.plugins)

    def get_recipe_schema(self) -> Mapping[str, Any]:
        """The JSON Schema (draft 2020-12) of recipes, with the options of every stage that the server knows."""
        response = self._call(self._stub.GetRecipeSchema, pb.GetRecipeSchemaRequest())
        return dict(json.loads(response.schema_json))

    def validate(
        self,
        text: str | None = None,
        *,
        name: str | None = None,
        params: Mapping[str, Value] = _NO_VALUES,
        overrides: Mapping[str, Value] = _NO_VALUES,
        until: str | None = None,
    ) -> tuple[Problem, ...]:
        """Everything that is wrong with a recipe; empty where nothing is. It is given as to `create_run`."""
        request = pb.ValidateRecipeRequest(recipe=recipe_message(text, name, params, overrides, until))
        return tuple(problem_of(problem) for problem in self._call(self._stub.ValidateRecipe, request).problems)

    def plan(
        self,
        text: str | None = None,
        *,
        name: str | None = None,
        params: Mapping[str, Value] = _NO_VALUES,
        overrides: Mapping[str, Value] = _NO_VALUES,
        until: str | None = None,
    ) -> tuple[PlannedStage, ...]:
        """The stages in an order that runs, and what they will take. The recipe is given as to `create_run`."""
        request = pb.PlanRecipeRequest(recipe=recipe_message(text, name, params, overrides, until))
        return planned_stages_of(self._call(self._stub.PlanRecipe, request))

    def create_run(
        self,
        text: str | None = None,
        *,
        name: str | None = None,
        params: Mapping[str, Value] = _NO_VALUES,
        overrides: Mapping[str, Value] = _NO_VALUES,
        until: str | None = None,
        request_id: str | None = None,
    ) -> Run:
        """Queues a run of a recipe. The same `request_id` again is the same run, also after the server was killed.

        text: the recipe itself, YAML or JSON; or name: that of a recipe that the server has.
        params: by name. overrides: by dotted path, e.g. {"seed": "8"}.
        until: name of a stage; only what it needs is run, and itself. A later run of the whole recipe reuses it.
        Raises SimmerError "invalid_recipe" with all `problems`.
        """
        recipe = recipe_message(text, name, params, overrides, until)
        request = pb.CreateRunRequest(request_id=request_id or str(uuid.uuid4()), recipe=recipe)
        return run_of(self._call(self._stub.CreateRun, request).run)

    def get_run(self, run: Run | str) -> Run:
        """How a run stands; by its id, the beginning of its id, or "latest"."""
        return run_of(self._call(self._stub.GetRun, pb.GetRunRequest(run_id=_id_of(run))).run)

    def get_plan(self, run: Run | str) -> Mapping[str, Any]:
        """What a run does: what is kept as plan.json in its folder, e.g. {"recipe", "seed", "params", "stages"}."""
        response = self._call(self._stub.GetRun, pb.GetRunRequest(run_id=_id_of(run)))
        return dict(json.loads(response.plan_json))

    def list_runs(
        self,
        *,
        recipe: str | None = None,
        statuses: Collection[Status] = (),
        created_after: datetime | None = None,
    ) -> Iterator[Run]:
        """The runs of the server, the newest first; what is not given does not matter.

        recipe: its whole name. statuses: any of these. created_after: without a zone, in this machine's.
        """
        wanted = filter_message(recipe, statuses, created_after)
        token = ""
        while True:
            request = pb.ListRunsRequest(page_token=token, filter=wanted)
            page = self._call(self._stub.ListRuns, request)
            yield from (run_of(run) for run in page.runs)
            token = page.next_page_token
            if not token:
                return

    def cancel_run(self, run: Run | str, reason: str = "", *, drop_replies: bool = False) -> Run:
        """Asks a run to stop, or takes it out of the queue, and waits until its slots are free.

        reason: kept in its log, for people. A run that has ended is left as it is.
        drop_replies: does not wait, which may take minutes, for replies of paid servers that are under way; also of a
        run that is being canceled already.
        Raises SimmerError "run_locked" where a process other than the server runs it.
        """
        request = pb.CancelRunRequest(run_id=_id_of(run), reason=reason, drop_replies=drop_replies)
        return run_of(self._call(self._stub.CancelRun, request, timeout=None).run)

    def resume_run(self, run: Run | str, overrides: Mapping[str, Value] | None = None) -> Run:
        """Queues a run that has stopped, to go on after its last event.

        overrides: limits of its budget to change, e.g. {"budget.usd": "20"}.
        """
        request = pb.ResumeRunRequest(run_id=_id_of(run), overrides=texts_of("override", overrides or {}))
        return run_of(self._call(self._stub.ResumeRun, request).run)

    def remove_runs(self, runs: Iterable[Run | str], *, dry_run: bool = False) -> Removal:
        """Removes runs that have ended, with the artifacts that no other run has, and waits until they are gone.

        runs: at most 1,000, but for a dry run; those that are none (any more) are passed over. dry_run: only says what
        would go.
        Raises SimmerError "run_locked" where one waits or runs, and "runs_under_way" while a process other than the
        server runs one of its home; nothing is removed then. "too_many_removals" while others wait: try again.
        """
        request = pb.RemoveRunsRequest(run_ids=[_id_of(run) for run in runs], dry_run=dry_run)
        return removal_of(self._call(self._stub.RemoveRuns, request, timeout=None))

    def watch(self, run: Run | str, from_sequence: int = 1) -> Iterator[Event]:
        """Every event of a run until it ends, each once and in order, also where the connection breaks meanwhile."""
        for item in self._watch(run, from_sequence, pb.WATCH_MODE_COMPLETE):
            if isinstance(item, Event):
                yield item

    def watch_live(self, run: Run | str, from_sequence: int = 1) -> Iterator[Event | Gap]:
        """As `watch`, but telemetry is left out where this client falls behind; a `Gap` says so."""
        yield from self._watch(run, from_sequence, pb.WATCH_MODE_LIVE)

    def list_artifacts(self, run: Run | str) -> tuple[Artifact, ...]:
        """What the stages of a run have made so far."""
        response = self._call(self._stub.ListArtifacts, pb.ListArtifactsRequest(run_id=_id_of(run)))
        return tuple(artifact_of(artifact) for artifact in response.artifacts)

    def read_artifact(
        self, artifact: Artifact | str, path: str, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of a file of an artifact, or a range of them, part by part, each of at most 256 KiB.

        path: as `list_artifacts` gives it. offset: the first byte, from 0. length: how many; None: to the end.
        Raises SimmerError "artifact_missing", and "out_of_range" where `offset` is beyond the end.
        """
        artifact_id = artifact if isinstance(artifact, str) else artifact.id
        request = pb.ReadArtifactRequest(artifact_id=artifact_id, path=path, offset=offset, length=length)
        try:
            for response in self._stub.ReadArtifact(request, metadata=self._metadata):
                yield response.data
        except grpc.RpcError as error:
            raise error_of(error) from error

    def write_report(self, run: Run | str) -> Report:
        """Writes the report of a run anew; `read_artifact` reads it.

        Raises SimmerError "run_not_found", and "too_many_analyses" as `explain_row`.
        """
        request = pb.WriteReportRequest(run_id=_id_of(run))
        response = self._call(self._stub.WriteReport, request, timeout=self._reading_seconds)
        return Report(response.run_id, response.path, response.artifact_id)

    def explain_row(self, run: Run | str, row_id: str) -> RowHistory:
        """Follows one row through the tables that a run's stages have made so far: what kept or dropped it, and why.

        row_id: the row's `id`, or the beginning of it, from 4 characters on; at most 256 characters.
        Raises SimmerError "run_not_found", "row_not_found", "row_ambiguous" where several rows begin so, and
        "too_many_analyses" while the server reads tables for others: try again in a moment.
        """
        request = pb.ExplainRowRequest(run_id=_id_of(run), row_id=row_id)
        response = self._call(self._stub.ExplainRow, request, timeout=self._reading_seconds)
        return history_of(response.history_json)

    def diff_evaluations(self, before: Run | str, after: Run | str) -> tuple[PointDiff, ...]:
        """The items whose verdict changed from one run to another, by model and point of the sweep that both graded.

        Raises SimmerError "run_not_found", "nothing_graded" where one has graded nothing yet, "nothing_in_common" where
        both graded no item of the same model at the same point, and "too_many_analyses" as `explain_row`.
        """
        request = pb.DiffEvaluationsRequest(before_run_id=_id_of(before), after_run_id=_id_of(after))

        def read(request: pb.DiffEvaluationsRequest, **options: Any) -> bytes:
            parts = self._stub.DiffEvaluations(request, **options)
            return b"".join(part.data for part in parts)

        return points_of(self._call(read, request, timeout=self._reading_seconds))

    def _watch(self, run: Run | str, from_sequence: int, mode: pb.WatchMode) -> Iterator[Event | Gap]:
        name = _id_of(run)
        following = from_sequence
        failures = 0
        while True:
            request = pb.WatchRunRequest(run_id=name, from_sequence=following, mode=mode)
            stream = self._stub.WatchRun(request, metadata=self._metadata)
            try:
                for response in stream:
                    failures = 0
                    for item in response.items:
                        if item.WhichOneof("item") == "event":
                            following = item.event.sequence + 1
                            event = event_of(item.event)
                            # By another name, such as "latest", it may be another run by the time that this breaks.
                            name = event.run_id
                            yield event
                        elif item.WhichOneof("item") == "gap":
                            following = item.gap.last_sequence + 1
                            yield gap_of(item.gap)
                return
            except grpc.RpcError as error:
                if not is_lost(error) or failures >= connection.TRIES:
                    raise error_of(error) from error
                time.sleep(connection.PAUSES[min(failures, len(connection.PAUSES) - 1)])
                failures += 1
            finally:
                stream.cancel()

    def _call(self, method: Callable[..., _Response], request: Any, **limit: float | None) -> _Response:
        """Every call may be made twice, so that a server that is being started again is waited for.

        limit: its `timeout`, where that is not `call_seconds`.
        """
        options = {"metadata": self._metadata, "timeout": self._call_seconds, **limit}
        for pause in (*connection.PAUSES, None):
            try:
                return method(request, **options)
            except grpc.RpcError as error:
                if not is_lost(error) or pause is None:
                    raise error_of(error) from error
                time.sleep(pause)
        raise AssertionError("not reached")


def _id_of(run: Run | str) -> str:
    return run if isinstance(run, str) else run.id
