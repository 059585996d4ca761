"""The calls of launcher.proto."""

from __future__ import annotations

from pathlib import Path

import grpc

from simmer_plugin.calls import answering, entry_of, options_of
from simmer_plugin.context import Log
from simmer_plugin.generated.simmer.plugin.v1 import launcher_pb2 as pb
from simmer_plugin.generated.simmer.plugin.v1 import trainer_pb2
from simmer_plugin.host import HostConnection
from simmer_plugin.launchers import Launcher, LauncherEntry, LaunchRequest, Reach
from simmer_plugin.planning import resources_of
from simmer_plugin.plugin import Plugin
from simmer_plugin.trainers import TrainerCommand

_TRANSPORTS = {"unix": pb.TRANSPORT_UNIX, "tcp": pb.TRANSPORT_TCP}


class LauncherCalls:
    """What is asked of launchers."""

    _plugin: Plugin
    _host: HostConnection

    @answering
    def ResolveLaunch(
        self, request: pb.ResolveLaunchRequest, context: grpc.ServicerContext
    ) -> pb.ResolveLaunchResponse:
        entry = self._entry(request.launcher, context)
        options = options_of(entry.options, request.options, context)
        reach = Reach() if entry.reach is None else entry.reach(options)
        processes = None
        if entry.processes is not None and request.HasField("resources"):
            processes = entry.processes(options, resources_of(request.resources))
        return pb.ResolveLaunchResponse(
            transport=_TRANSPORTS[reach.transport], start_seconds=reach.start_seconds, processes=processes
        )

    @answering
    def Launch(self, request: pb.LaunchRequest, context: grpc.ServicerContext) -> pb.LaunchResponse:
        launcher = self._launcher(request, context)
        asked = LaunchRequest(
            command=_command_of(request.command),
            resources=resources_of(request.resources),
            stdout_file=Path(request.stdout_file),
            stderr_file=Path(request.stderr_file),
            log=Log(self._host.for_call(request.call_id)),
            devices=tuple(request.devices),
        )
        return pb.LaunchResponse(process_id=launcher.launch(asked))

    @answering
    def Attach(self, request: pb.AttachRequest, context: grpc.ServicerContext) -> pb.AttachResponse:
        return pb.AttachResponse(is_running=self._launcher(request, context).attach(request.process_id))

    @answering
    def Terminate(self, request: pb.TerminateRequest, context: grpc.ServicerContext) -> pb.TerminateResponse:
        grace = request.grace_period.seconds + request.grace_period.nanos / 1e9
        self._launcher(request, context).terminate(request.process_id, grace)
        return pb.TerminateResponse()

    def _launcher(
        self, request: pb.LaunchRequest | pb.AttachRequest | pb.TerminateRequest, context: grpc.ServicerContext
    ) -> Launcher:
        entry = self._entry(request.launcher, context)
        return entry.make(options_of(entry.options, request.options, context))

    def _entry(self, name: str, context: grpc.ServicerContext) -> LauncherEntry:
        return entry_of(self._plugin.launchers, "launcher", name, context)


def _command_of(message: trainer_pb2.TrainerCommand) -> TrainerCommand:
    cwd = Path(message.cwd) if message.HasField("cwd") else None
    return TrainerCommand(list(message.argv), dict(message.env), cwd)
