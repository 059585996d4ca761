"""What comes off the wire, without a server. The client against a server: test/integration/python-client.test.ts."""

import json
from datetime import UTC, datetime

import grpc
import pytest

from simmer_client import Problem, SimmerError
from simmer_client.errors import error_of
from simmer_client.generated.simmer.control.v1 import control_pb2 as pb
from simmer_client.types import (
    Resources,
    event_of,
    filter_message,
    planned_stages_of,
    plugin_of,
    recipe_message,
    run_of,
)


def test_an_event_is_what_its_json_says() -> None:
    text = json.dumps(
        {
            "runId": "r",
            "sequence": 3,
            "time": "2026-01-02T03:04:05.678Z",
            "type": "stage.completed",
            "stage": "pool",
            "attempt": 1,
            "data": {"seconds": 1.5},
        }
    )
    event = event_of(pb.Event(sequence=3, type="stage.completed", json=text))
    assert (event.run_id, event.sequence, event.type, event.stage) == ("r", 3, "stage.completed", "pool")
    assert event.time.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert event.data == {"seconds": 1.5}


def test_a_run_has_a_status_in_words_and_its_place_in_the_queue() -> None:
    claim = pb.Resources(cpus=2, memory_bytes=2**33, gpus=1)
    queue = pb.QueuePlace(position=2, waits_for=["gpus"], claim=claim)
    message = pb.Run(run_id="r", status=pb.RUN_STATUS_QUEUED, queue=queue)
    message.created_at.FromJsonString("2026-01-02T03:04:05Z")
    run = run_of(message)
    assert (run.status, run.queue_position, run.waits_for, run.ended_at) == ("queued", 2, ("gpus",), None)
    assert run.claim == Resources(2, 2**33, 1)


def test_a_run_that_crashed_has_no_end_but_a_time_when_it_last_told_something() -> None:
    message = pb.Run(run_id="r", status=pb.RUN_STATUS_CRASHED)
    assert run_of(message).last_event_at is None
    message.last_event_at.FromJsonString("2026-01-02T03:04:05Z")
    run = run_of(message)
    assert (run.ended_at, run.last_event_at) == (None, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_a_run_tells_what_was_changed_in_its_recipe() -> None:
    assert run_of(pb.Run(run_id="r", changes=["-p count=3"])).changes == ("-p count=3",)
    assert run_of(pb.Run(run_id="r", inspects="tuned")).inspects == "tuned"


def test_a_recipe_is_a_text_or_a_name() -> None:
    assert recipe_message("name: x", None, {"a": "1"}, {}).WhichOneof("source") == "text"
    assert recipe_message(None, "quickstart", {}, {}).name == "quickstart"
    with pytest.raises(ValueError, match="name of one"):
        recipe_message(None, None, {}, {})


def test_a_recipe_goes_up_to_a_stage_only_where_one_is_named() -> None:
    assert recipe_message("name: x", None, {}, {}, "pool").until == "pool"
    assert not recipe_message("name: x", None, {}, {}).HasField("until")


def test_params_and_overrides_are_given_as_the_command_line_writes_them() -> None:
    recipe = recipe_message("name: x", None, {"epochs": 2, "rate": 1e-5, "fast": True, "name": "0x"}, {"seed": 8})
    assert recipe.params == {"epochs": "2", "rate": "1e-05", "fast": "true", "name": "0x"}
    assert recipe.overrides == {"seed": "8"}
    with pytest.raises(TypeError, match='the param "epochs" is a list; it may be a str, int, float or bool'):
        recipe_message("name: x", None, {"epochs": [2]}, {})  # type: ignore[dict-item]


def test_runs_are_filtered_by_statuses_in_words_and_by_a_time_in_any_zone() -> None:
    created_after = datetime.fromisoformat("2026-01-02T05:04:05+02:00")
    message = filter_message("small", ["queued", "crashed"], created_after)
    assert list(message.statuses) == [pb.RUN_STATUS_QUEUED, pb.RUN_STATUS_CRASHED]
    assert message.created_after.ToDatetime(UTC) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    anything = filter_message(None, [], None)
    assert not anything.HasField("recipe") and not anything.HasField("created_after")
    with pytest.raises(ValueError, match='"done"; there are queued, running'):
        filter_message(None, ["done"], None)


def test_a_planned_stage_has_no_key_and_no_estimate_where_these_are_not_known() -> None:
    stages = [pb.StagePreview(stage="pool", key="k", cache=pb.CACHE_STATE_HIT), pb.StagePreview(stage="tuned", cache=3)]
    text = json.dumps([{"stage": "pool", "isDone": True}])
    pool, tuned = planned_stages_of(pb.PlanRecipeResponse(stages=stages, estimates_json=text))
    assert (pool.name, pool.cache, pool.key, pool.estimate) == ("pool", "hit", "k", {"isDone": True})
    assert (tuned.cache, tuned.key, tuned.estimate) == ("unknown", None, {})
    assert planned_stages_of(pb.PlanRecipeResponse(stages=stages))[0].estimate == {}


def test_only_stages_of_a_plugin_have_inputs() -> None:
    schema = {"options_schema_json": '{"type": "object"}'}
    stage = pb.Contribution(kind="stages", name="load", inputs_json="{}", outputs_json='{"dataset": {}}', **schema)
    sink = pb.Contribution(kind="sinks", name="console", **schema)
    load, console = plugin_of(pb.Plugin(name="p", contributions=[stage, sink])).contributions
    assert (load.options_schema, load.inputs, load.outputs) == ({"type": "object"}, {}, {"dataset": {}})
    assert (console.inputs, console.outputs) == (None, None)


class Failure(grpc.RpcError):
    """A call that failed."""

    def __init__(self, metadata: tuple[tuple[str, bytes], ...]) -> None:
        self.metadata = metadata

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self.metadata

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INVALID_ARGUMENT

    def details(self) -> str:
        return "plain words"


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field, shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def test_an_error_has_the_code_of_the_server() -> None:
    problem = pb.Problem(code="unknown_key", message="No.", position=pb.Position(file="a", line=2, column=3))
    detail = pb.ErrorDetail(code="invalid_recipe", message="It is wrong.", problems=[problem])
    any_detail = field(1, b"type.googleapis.com/simmer.control.v1.ErrorDetail") + field(2, detail.SerializeToString())
    status = b"\x08\x03" + field(2, b"It is wrong.") + field(3, any_detail)
    error = error_of(Failure((("grpc-status-details-bin", status),)))
    assert (error.code, error.message, error.problems[0].line) == ("invalid_recipe", "It is wrong.", 2)
    assert str(error) == "It is wrong.\na:2:3: No."
    plain = error_of(Failure(()))
    assert (plain.code, plain.message) == ("invalid_argument", "plain words")


def test_an_error_lists_the_first_ten_problems_as_the_command_line_does() -> None:
    placed = Problem("x", "Wrong.", 2, 3, "stages.pool", "Do it right.", "recipe.yaml")
    given = Problem("x", "Wrong.", None, None, "params.count", None)
    lines = str(SimmerError("invalid_recipe", "There are 12 problems.", None, (placed, *[given] * 11))).split("\n")
    assert lines[:4] == [
        "There are 12 problems.",
        "recipe.yaml:2:3: Wrong.",
        "  hint: Do it right.",
        "params.count: Wrong.",
    ]
    assert (len(lines), lines[-1]) == (13, "… and 2 more")
