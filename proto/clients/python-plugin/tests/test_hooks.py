"""What authors see of hooks, without Simmer. In runs: test/integration/process-plugin."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from simmer_plugin import HookedStage, Objection, Plugin, StageFailed, UserError
from simmer_plugin.context import Log
from simmer_plugin.describe import description_of
from simmer_plugin.generated.simmer.plugin.v1 import hook_pb2 as pb
from simmer_plugin.hook_calls import _around

RUN = "run_inside"


def conversation(hook: Any, *, failure: pb.InsideFailure | None = None) -> list[pb.AroundStageResponse]:
    """All that a hook says, where what is inside ends so."""
    stage = HookedStage(
        run_id="run", stage="s", uses="p/s", attempt=1, options={}, log=Log(None), canceled=threading.Event()
    )  # type: ignore[arg-type]
    ended = pb.AroundStageRequest(inside_ended=pb.InsideEnded(failure=failure))
    return list(_around(hook, stage, iter([ended])))


def kinds(said: list[pb.AroundStageResponse]) -> list[str | None]:
    return [each.WhichOneof("response") for each in said]


def test_a_hook_says_that_the_stage_may_run_and_then_that_it_is_done() -> None:
    steps: list[str] = []

    def hook(stage: HookedStage) -> Iterator[None]:
        steps.append("before")
        yield
        steps.append("after")

    assert kinds(conversation(hook)) == [RUN, "completed"]
    assert steps == ["before", "after"]


def test_a_stage_that_failed_is_seen_and_needs_no_handling() -> None:
    seen: list[str] = []

    def hook(stage: HookedStage) -> Iterator[None]:
        try:
            yield
        except StageFailed as error:
            seen.append(f"{error.code}: {error.message}")
            raise

    failure = pb.InsideFailure(code="shy", message="It would rather not.")
    assert kinds(conversation(hook, failure=failure)) == [RUN, "completed"]
    assert seen == ["shy: It would rather not."]


def test_a_hook_that_raises_fails_with_its_error() -> None:
    def refuses(stage: HookedStage) -> Iterator[None]:
        raise UserError("shut", "The house is shut.", "Come tomorrow.")
        yield

    def breaks(stage: HookedStage) -> Iterator[None]:
        yield
        raise ValueError("eight")

    def leaves(stage: HookedStage) -> Iterator[None]:
        raise SystemExit(3)
        yield

    [refused] = conversation(refuses)
    assert (refused.failed.code, refused.failed.hint) == ("shut", "Come tomorrow.")
    broken = conversation(breaks)
    assert kinds(broken) == [RUN, "failed"]
    assert (broken[-1].failed.code, broken[-1].failed.message) == ("", "ValueError: eight")
    assert "raise ValueError" in broken[-1].failed.stack
    [left] = conversation(leaves)
    assert left.failed.message.startswith("it called sys.exit(3)")


@pytest.mark.parametrize("yields", [0, 2])
def test_a_hook_that_does_not_yield_once_fails(yields: int) -> None:
    def hook(stage: HookedStage) -> Iterator[None]:
        for _ in range(yields):
            yield

    assert kinds(conversation(hook))[-1] == "failed"


def test_describe_names_the_hooks_that_there_are() -> None:
    plugin = Plugin("house", "1.0.0")
    assert list(description_of(plugin).hooks) == []

    @plugin.after_plan
    def objections(plan: dict[str, Any]) -> list[Objection]:
        return []

    @plugin.on_event
    def note(event: Mapping[str, Any]) -> None:
        return None

    assert list(description_of(plugin).hooks) == [pb.HOOK_AFTER_PLAN, pb.HOOK_ON_EVENT]
    with pytest.raises(TypeError, match="second hook on_event"):
        plugin.on_event(note)
