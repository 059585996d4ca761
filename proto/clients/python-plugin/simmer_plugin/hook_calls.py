"""The calls of hook.proto."""

from __future__ import annotations

import contextlib
import json
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import json_format

from simmer_plugin.calls import abort, answering, end, said_by, sendable
from simmer_plugin.context import Log
from simmer_plugin.errors import Canceled, UserError
from simmer_plugin.generated.simmer.plugin.v1 import hook_pb2 as pb
from simmer_plugin.hooks import AroundStage, HookedStage, OnEvent, StageFailed
from simmer_plugin.host import HostConnection
from simmer_plugin.plugin import Plugin, Sink


class HookCalls:
    """What is asked of hooks."""

    _plugin: Plugin
    _host: HostConnection
    _running: dict[str, threading.Event]
    _sinks: dict[str, Sink]

    @answering
    def BeforePlan(self, request: pb.BeforePlanRequest, context: grpc.ServicerContext) -> pb.BeforePlanResponse:
        hook = self._plugin.hooks.before_plan
        if hook is None:
            _no_hook(context, "before_plan")
        recipe = hook(json.loads(request.recipe_json))
        return pb.BeforePlanResponse(recipe_json=None if recipe is None else json.dumps(recipe, allow_nan=False))

    @answering
    def AfterPlan(self, request: pb.AfterPlanRequest, context: grpc.ServicerContext) -> pb.AfterPlanResponse:
        hook = self._plugin.hooks.after_plan
        if hook is None:
            _no_hook(context, "after_plan")
        objections = [
            pb.PlanObjection(code=each.code, message=each.message, path=each.path, hint=each.hint)
            for each in hook(json.loads(request.plan_json)) or ()
        ]
        return pb.AfterPlanResponse(objections=objections)

    def AroundStage(
        self, requests: Iterator[pb.AroundStageRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.AroundStageResponse]:
        hook = self._plugin.hooks.around_stage
        if hook is None:
            _no_hook(context, "around_stage")
        about = next(requests).stage
        canceled = self._running.setdefault(about.call_id, threading.Event())
        context.add_callback(canceled.set)
        stage = HookedStage(
            run_id=about.run_id,
            stage=about.stage_name,
            uses=about.uses,
            attempt=about.attempt,
            options=json_format.MessageToDict(about.options),
            log=Log(self._host.for_call(about.call_id)),
            canceled=canceled,
        )
        try:
            yield from _around(hook, stage, requests)
        except Canceled:
            end(context, grpc.StatusCode.CANCELLED, "The hook was stopped.")
        finally:
            self._running.pop(about.call_id, None)

    @answering
    def OpenEventHook(
        self, request: pb.OpenEventHookRequest, context: grpc.ServicerContext
    ) -> pb.OpenEventHookResponse:
        hook = self._plugin.hooks.on_event
        if hook is None:
            _no_hook(context, "on_event")
        self._sinks[request.call_id] = _EventHook(hook)
        return pb.OpenEventHookResponse()


def _around(
    hook: AroundStage, stage: HookedStage, requests: Iterator[pb.AroundStageRequest]
) -> Iterator[pb.AroundStageResponse]:
    """Runs a hook up to its `yield`, has the stage run, and runs the rest; the last message comes once."""
    try:
        with contextlib.contextmanager(hook)(stage):
            yield pb.AroundStageResponse(run_inside=pb.RunInside())
            answer = next(requests, None)
            if answer is None:
                raise Canceled("Simmer is gone.")
            if answer.inside_ended.HasField("failure"):
                failure = answer.inside_ended.failure
                raise StageFailed(failure.code, failure.message)
    except StageFailed:
        # The host knows it: the hook is done all the same.
        pass
    except Canceled:
        raise
    except UserError as error:
        hint = None if error.hint is None else sendable(error.hint)
        failed = pb.HookFailed(code=sendable(error.code), message=sendable(error.message), hint=hint)
        yield pb.AroundStageResponse(failed=failed)
        return
    except (Exception, SystemExit) as error:
        failed = pb.HookFailed(message=said_by(error), stack=sendable(traceback.format_exc()))
        yield pb.AroundStageResponse(failed=failed)
        return
    yield pb.AroundStageResponse(completed=pb.HookCompleted())


@dataclass(frozen=True)
class _EventHook:
    """A hook on events, delivered to as a sink is."""

    hook: OnEvent

    def on_event(self, event: Mapping[str, Any]) -> None:
        self.hook(event)

    def before_completed(self) -> str | None:
        return None

    def close(self) -> None:
        pass


def _no_hook(context: grpc.ServicerContext, name: str) -> NoReturn:
    abort(context, grpc.StatusCode.UNIMPLEMENTED, "unknown_hook", f"The plugin has no hook {name}.")
