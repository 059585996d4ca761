"""Serving a plugin: simmer.plugin.v1 over gRPC, as plugin.proto says."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import BaseModel

from simmer_plugin.artifacts import Artifact, artifact_of
from simmer_plugin.calls import abort, answering, end, entry_of, options_of, said_by, sendable
from simmer_plugin.context import SinkContext, StageContext
from simmer_plugin.describe import description_of
from simmer_plugin.errors import Canceled, UserError
from simmer_plugin.generated.simmer.plugin.v1 import plugin_pb2 as pb
from simmer_plugin.generated.simmer.plugin.v1 import plugin_pb2_grpc
from simmer_plugin.graders import GraderContext
from simmer_plugin.grading import grade_message, item_of
from simmer_plugin.hook_calls import HookCalls
from simmer_plugin.host import HostCalls, HostConnection
from simmer_plugin.launcher_calls import LauncherCalls
from simmer_plugin.planning_calls import PlanningCalls
from simmer_plugin.plugin import Outputs, Plugin, Sink, StageEntry
from simmer_plugin.trainer_calls import TrainerCalls

SERVICE = "simmer.plugin.v1.PluginService"
PROTOCOL = 1

_MESSAGE_BYTES = 64 * 1024 * 1024
#: Calls at a time, health checks among them.
_THREADS = 32


class PluginServicer(PlanningCalls, HookCalls, TrainerCalls, LauncherCalls, plugin_pb2_grpc.PluginServiceServicer):  # type: ignore[misc]
    """A plugin, over gRPC."""

    def __init__(self, plugin: Plugin, host: HostConnection, ended: threading.Event) -> None:
        self._plugin = plugin
        self._host = host
        self._ended = ended
        self._description = description_of(plugin)
        self._running: dict[str, threading.Event] = {}
        self._sinks: dict[str, Sink] = {}

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeResponse:
        return self._description

    def RunStage(self, request: pb.RunStageRequest, context: grpc.ServicerContext) -> Iterator[pb.RunStageResponse]:
        entry = entry_of(self._plugin.stages, "stage", request.stage, context)
        options = options_of(entry.options, request.options, context)
        canceled = self._running.setdefault(request.call_id, threading.Event())
        context.add_callback(canceled.set)
        host = self._host.for_call(request.call_id)
        done: queue.SimpleQueue[pb.RunStageResponse | Canceled] = queue.SimpleQueue()
        work = threading.Thread(
            target=_run, args=(entry, request, options, host, canceled, done), name=request.stage, daemon=True
        )
        work.start()
        try:
            last = done.get()
        finally:
            self._running.pop(request.call_id, None)
        if isinstance(last, Canceled):
            end(context, grpc.StatusCode.CANCELLED, "The stage was stopped.")
        yield last

    def Cancel(self, request: pb.CancelRequest, context: grpc.ServicerContext) -> pb.CancelResponse:
        running = self._running.get(request.call_id)
        if running is not None:
            running.set()
        return pb.CancelResponse()

    @answering
    def Grade(self, request: pb.GradeRequest, context: grpc.ServicerContext) -> pb.GradeResponse:
        entry = entry_of(self._plugin.graders, "grader", request.grader, context)
        options = options_of(entry.options, request.options, context)
        canceled = self._running.setdefault(request.call_id, threading.Event())
        context.add_callback(canceled.set)
        grading = GraderContext(
            host=self._host.for_call(request.call_id),
            recipe_folder=Path(request.recipe_folder),
            cache_folder=Path(request.cache_folder),
            canceled=canceled,
            is_spending_limited=request.is_spending_limited,
            python=request.python if request.HasField("python") else None,
        )
        try:
            grades = entry.grade([item_of(item) for item in request.items], options, grading)
        except Canceled:
            end(context, grpc.StatusCode.CANCELLED, "The grading was stopped.")
        finally:
            self._running.pop(request.call_id, None)
        return pb.GradeResponse(grades=[grade_message(grade) for grade in grades])

    @answering
    def OpenSink(self, request: pb.OpenSinkRequest, context: grpc.ServicerContext) -> pb.OpenSinkResponse:
        entry = entry_of(self._plugin.sinks, "sink", request.sink, context)
        opened: SinkContext[BaseModel] = SinkContext(
            host=self._host.for_call(request.call_id),
            options=options_of(entry.options, request.options, context),
            run_id=request.run_id,
            run_folder=Path(request.run_folder),
            recipe_folder=Path(request.recipe_folder),
        )
        sink = entry.open(opened)
        if not callable(getattr(sink, "on_event", None)):
            raise TypeError(f"a sink is an object with on_event; what opens {request.sink!r} returned {sink!r:.200}")
        self._sinks[request.call_id] = sink
        return pb.OpenSinkResponse()

    @answering
    def DeliverEvents(
        self, request: pb.DeliverEventsRequest, context: grpc.ServicerContext
    ) -> pb.DeliverEventsResponse:
        sink = self._sink(request.call_id, context)
        for event in request.events:
            sink.on_event(json.loads(event.json))
        return pb.DeliverEventsResponse()

    @answering
    def CompleteSink(self, request: pb.CompleteSinkRequest, context: grpc.ServicerContext) -> pb.CompleteSinkResponse:
        return pb.CompleteSinkResponse(report_path=self._sink(request.call_id, context).before_completed())

    @answering
    def CloseSink(self, request: pb.CloseSinkRequest, context: grpc.ServicerContext) -> pb.CloseSinkResponse:
        self._sink(request.call_id, context).close()
        del self._sinks[request.call_id]
        return pb.CloseSinkResponse()

    def Shutdown(self, request: pb.ShutdownRequest, context: grpc.ServicerContext) -> pb.ShutdownResponse:
        self.cancel_all()
        self._ended.set()
        return pb.ShutdownResponse()

    def cancel_all(self) -> None:
        """Asks every running stage to stop."""
        for canceled in list(self._running.values()):
            canceled.set()

    def _sink(self, call_id: str, context: grpc.ServicerContext) -> Sink:
        sink = self._sinks.get(call_id)
        if sink is None:
            abort(context, grpc.StatusCode.NOT_FOUND, "call_unknown", f"There is no open sink {call_id!r}.")
        return sink


def _run(
    entry: StageEntry,
    request: pb.RunStageRequest,
    options: BaseModel,
    host: HostCalls,
    canceled: threading.Event,
    done: queue.SimpleQueue[pb.RunStageResponse | Canceled],
) -> None:
    """Runs a stage; puts its last message, once, whatever happens."""
    try:
        context: StageContext[BaseModel] = StageContext(
            host=host,
            options=options,
            inputs={name: [artifact_of(each) for each in given.artifacts] for name, given in request.inputs.items()},
            seed=request.seed,
            run_id=request.run_id,
            stage=request.stage_name,
            attempt=request.attempt,
            temporary_folder=Path(request.temporary_folder),
            scratch_folder=Path(request.scratch_folder),
            recipe_folder=Path(request.recipe_folder),
            cache_folder=Path(request.cache_folder),
            canceled=canceled,
            is_spending_limited=request.is_spending_limited,
            python=request.python if request.HasField("python") else None,
        )
        outputs = entry.run(context)
        done.put(pb.RunStageResponse(completed=pb.StageCompleted(outputs=_uris_of(outputs))))
    except Canceled as error:
        done.put(error)
    except UserError as error:
        hint = None if error.hint is None else sendable(error.hint)
        failed = pb.StageFailed(code=sendable(error.code), message=sendable(error.message), hint=hint)
        done.put(pb.RunStageResponse(failed=failed))
    except BaseException as error:
        failed = pb.StageFailed(message=said_by(error), stack=sendable(traceback.format_exc()))
        done.put(pb.RunStageResponse(failed=failed))


def _uris_of(outputs: Outputs) -> dict[str, str]:
    """What a stage returned, which nobody has checked."""
    if not isinstance(outputs, Mapping):
        raise TypeError(f"a stage returns its outputs by their names; this one returned {outputs!r:.200}")
    for name, artifact in outputs.items():
        if not isinstance(artifact, Artifact):
            raise TypeError(f"the output {name!r} is no artifact, as write_dataset makes one, but {artifact!r:.200}")
    return {name: artifact.uri for name, artifact in outputs.items()}


def serve(plugin: Plugin) -> NoReturn:
    """Serves a plugin until Simmer ends the process."""
    address = os.environ.get("SIMMER_PLUGIN_ADDRESS")
    if not address:
        _refuse("SIMMER_PLUGIN_ADDRESS is not set: this program is started by Simmer, or as plugin.proto says.")
    offered = os.environ.get("SIMMER_PLUGIN_PROTOCOLS", "").split(",")
    if str(PROTOCOL) not in offered:
        _refuse(f"This plugin speaks version {PROTOCOL} of simmer.plugin; Simmer offers {', '.join(offered)}.")

    # stdout belongs to the handshake alone: whatever a library prints goes to stderr.
    handshake = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # It is written line by line, which stdout is not where it is a file.
    sys.stdout = sys.stderr

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    host = HostConnection(os.environ.get("SIMMER_HOST_ADDRESS", ""), os.environ.get("SIMMER_HOST_TOKEN", ""))
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="call"),
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ],
    )
    servicer = PluginServicer(plugin, host, ended)
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(servicer, server)
    checks = health.HealthServicer()
    for name in ("", SERVICE):
        checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(address)
    server.start()
    os.write(handshake, f"SIMMER-PLUGIN|1|{PROTOCOL}|{address}\n".encode())
    os.close(handshake)
    threading.Thread(target=_wait_for_end_of_stdin, args=(ended,), name="stdin", daemon=True).start()
    ended.wait()
    servicer.cancel_all()
    # Whoever asked for the end still gets the answer.
    server.stop(grace=0.5).wait()
    sys.stderr.flush()
    # What still runs has nobody to answer to.
    os._exit(0)


def _refuse(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


def _wait_for_end_of_stdin(ended: threading.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        ended.set()
