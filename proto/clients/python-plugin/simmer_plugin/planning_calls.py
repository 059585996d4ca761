"""The calls of planning.proto."""

from __future__ import annotations

from pathlib import Path

import grpc
from google.protobuf import json_format
from pydantic import ValidationError

from simmer_plugin.calls import answering, entry_of, options_of
from simmer_plugin.generated.simmer.plugin.v1 import planning_pb2 as pb
from simmer_plugin.host import HostConnection
from simmer_plugin.planning import (
    CheckContext,
    EstimateContext,
    estimate_message,
    grading_message,
    problem_message,
    problems_of,
    resources_message,
)
from simmer_plugin.plugin import Plugin


class PlanningCalls:
    """What is asked while a recipe is planned."""

    _plugin: Plugin
    _host: HostConnection

    @answering
    def CheckStage(self, request: pb.CheckStageRequest, context: grpc.ServicerContext) -> pb.CheckStageResponse:
        entry = entry_of(self._plugin.stages, "stage", request.stage, context)
        try:
            options = entry.options.model_validate(json_format.MessageToDict(request.options))
        except ValidationError as error:
            return pb.CheckStageResponse(problems=[problem_message(problem) for problem in problems_of(error)])
        if entry.check is None:
            return pb.CheckStageResponse()
        where = CheckContext(Path(request.recipe_folder), request.is_usd_limited, dict(request.inputs))
        problems = entry.check(options, where)
        return pb.CheckStageResponse(problems=[problem_message(problem) for problem in problems])

    @answering
    def ResolveStageResources(
        self, request: pb.ResolveStageResourcesRequest, context: grpc.ServicerContext
    ) -> pb.ResolveStageResourcesResponse:
        entry = entry_of(self._plugin.stages, "stage", request.stage, context)
        needed = entry.resources
        if callable(needed):
            needed = needed(options_of(entry.options, request.options, context))
        return pb.ResolveStageResourcesResponse(resources=resources_message(needed))

    @answering
    def EstimateStage(
        self, request: pb.EstimateStageRequest, context: grpc.ServicerContext
    ) -> pb.EstimateStageResponse:
        entry = entry_of(self._plugin.stages, "stage", request.stage, context)
        if entry.estimate is None:
            return pb.EstimateStageResponse()
        known = EstimateContext(
            host=self._host.for_call(request.call_id),
            inputs={
                name: [json_format.MessageToDict(facts) for facts in given.facts]
                for name, given in request.inputs.items()
            },
            recipe_folder=Path(request.recipe_folder),
            cache_folder=Path(request.cache_folder),
        )
        estimate = entry.estimate(options_of(entry.options, request.options, context), known)
        return pb.EstimateStageResponse(estimate=None if estimate is None else estimate_message(estimate))

    @answering
    def EstimateGrader(
        self, request: pb.EstimateGraderRequest, context: grpc.ServicerContext
    ) -> pb.EstimateGraderResponse:
        entry = entry_of(self._plugin.graders, "grader", request.grader, context)
        if entry.estimate is None:
            return pb.EstimateGraderResponse()
        answers = request.answers if request.HasField("answers") else None
        estimate = entry.estimate(options_of(entry.options, request.options, context), answers)
        return pb.EstimateGraderResponse(estimate=None if estimate is None else grading_message(estimate))
