"""The calls of trainer.proto."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc

from simmer_plugin.calls import answering, end, entry_of, options_of
from simmer_plugin.errors import Canceled
from simmer_plugin.generated.simmer.plugin.v1 import trainer_pb2 as pb
from simmer_plugin.host import HostConnection
from simmer_plugin.planning import resources_message, work_message
from simmer_plugin.plugin import Plugin
from simmer_plugin.trainers import PrepareContext, TrainerEntry, VersionsContext, job_of, place_of


class TrainerCalls:
    """What is asked of trainers before they start."""

    _plugin: Plugin
    _host: HostConnection
    _running: dict[str, threading.Event]

    @answering
    def ReadTrainerVersions(
        self, request: pb.ReadTrainerVersionsRequest, context: grpc.ServicerContext
    ) -> pb.ReadTrainerVersionsResponse:
        entry = self._trainer(request.trainer, context)
        options = options_of(entry.options, request.options, context)
        python = request.python if request.HasField("python") else None
        where = VersionsContext(Path(request.recipe_folder), Path(request.cache_folder), python)
        return pb.ReadTrainerVersionsResponse(versions=entry.versions(options, where))

    @answering
    def ResolveTrainerResources(
        self, request: pb.ResolveTrainerResourcesRequest, context: grpc.ServicerContext
    ) -> pb.ResolveTrainerResourcesResponse:
        entry = self._trainer(request.trainer, context)
        needed = entry.resources
        if callable(needed):
            needed = needed(options_of(entry.options, request.options, context))
        return pb.ResolveTrainerResourcesResponse(resources=resources_message(needed))

    @answering
    def EstimateTrainerJob(
        self, request: pb.EstimateTrainerJobRequest, context: grpc.ServicerContext
    ) -> pb.EstimateTrainerJobResponse:
        entry = self._trainer(request.trainer, context)
        if entry.estimate is None:
            return pb.EstimateTrainerJobResponse()
        options = options_of(entry.options, request.options, context)
        work = entry.estimate(options, job_of(request), place_of(request.place))
        return pb.EstimateTrainerJobResponse(estimate=None if work is None else work_message(work))

    @answering
    def PrepareTrainer(
        self, request: pb.PrepareTrainerRequest, context: grpc.ServicerContext
    ) -> pb.PrepareTrainerResponse:
        entry = self._trainer(request.trainer, context)
        options = options_of(entry.options, request.options, context)
        canceled = self._running.setdefault(request.call_id, threading.Event())
        context.add_callback(canceled.set)
        preparing = PrepareContext(
            host=self._host.for_call(request.call_id),
            recipe_folder=Path(request.recipe_folder),
            cache_folder=Path(request.cache_folder),
            python=request.python if request.HasField("python") else None,
            canceled=canceled,
        )
        try:
            command = entry.prepare(options, preparing)
        except Canceled:
            end(context, grpc.StatusCode.CANCELLED, "The preparation was stopped.")
        finally:
            self._running.pop(request.call_id, None)
        cwd = None if command.cwd is None else str(command.cwd)
        return pb.PrepareTrainerResponse(command=pb.TrainerCommand(argv=command.argv, env=command.env, cwd=cwd))

    def _trainer(self, name: str, context: grpc.ServicerContext) -> TrainerEntry:
        return entry_of(self._plugin.trainers, "trainer", name, context)
