"""How calls end where a plugin raises. In runs: test/integration/process-plugin."""

import threading
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from simmer_plugin import Artifact, Plugin, Sink, SinkContext, StageContext, UserError, report
from simmer_plugin.calls import Ended
from simmer_plugin.generated.simmer.plugin.v1 import plugin_pb2 as pb
from simmer_plugin.host import HostConnection
from simmer_plugin.plugin import NoOptions
from simmer_plugin.server import PluginServicer


class Context:
    """A call, as grpc has it, as far as it goes."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.status: tuple[grpc.StatusCode, str] | None = None

    def set_trailing_metadata(self, metadata: tuple[tuple[str, Any], ...]) -> None:
        self.metadata = dict(metadata)

    def abort(self, status: grpc.StatusCode, message: str) -> None:
        assert self.status is None, "a call ends once"
        self.status = (status, message)
        raise Exception

    def add_callback(self, callback: object) -> None:
        """Nobody cancels it."""


class Failing:
    """A sink that raises at each event."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        raise KeyError("loss")

    def before_completed(self) -> str | None:
        return None

    def close(self) -> None:
        pass


def servicer_of(plugin: Plugin) -> PluginServicer:
    return PluginServicer(plugin, HostConnection("unix:nowhere", "token"), threading.Event())


def failing_plugin() -> Plugin:
    plugin = Plugin("failing", "1.0.0")

    @plugin.sink()
    def late(context: SinkContext[NoOptions]) -> Sink:
        """Raises at an event."""
        return Failing()

    @plugin.sink()
    def early(context: SinkContext[NoOptions]) -> Sink:
        """Raises as it is opened."""
        raise UserError("no_key", "There is no key.", "Get one.")

    return plugin


def test_what_a_sink_raises_is_told_with_its_place_and_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    servicer, context = servicer_of(failing_plugin()), Context()
    servicer.OpenSink(pb.OpenSinkRequest(call_id="1", sink="late", run_id="r", run_folder="/"), Context())
    with pytest.raises(Ended):
        servicer.DeliverEvents(pb.DeliverEventsRequest(call_id="1", events=[pb.RunEvent(json="{}")]), context)
    assert context.status is not None
    status, message = context.status
    assert status is grpc.StatusCode.UNKNOWN
    assert message.startswith("KeyError: 'loss' (test_calls.py:")
    assert 'raise KeyError("loss")' in capsys.readouterr().err


def test_an_error_for_the_user_keeps_its_code_and_its_hint() -> None:
    context = Context()
    with pytest.raises(Ended):
        servicer_of(failing_plugin()).OpenSink(pb.OpenSinkRequest(call_id="1", sink="early"), context)
    assert context.status == (grpc.StatusCode.FAILED_PRECONDITION, "There is no key.")
    assert context.metadata == {"simmer-error-code": "no_key", "simmer-error-hint-bin": b"Get one."}


def test_a_call_that_was_ended_is_not_ended_again() -> None:
    context = Context()
    with pytest.raises(Ended):
        servicer_of(failing_plugin()).OpenSink(pb.OpenSinkRequest(sink="none"), context)
    assert context.metadata == {"simmer-error-code": "unknown_sink"}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [(None, "returned None"), ({"report": [1]}, "the output 'report' is no artifact")],
)
def test_a_stage_that_returns_no_outputs_is_told_so(outputs: Any, said: str) -> None:
    plugin = Plugin("failing", "1.0.0")

    @plugin.stage(outputs={"report": report("Nothing.")})
    def forgets(context: StageContext[NoOptions]) -> dict[str, Artifact]:
        """Forgets what it made."""
        return outputs  # type: ignore[no-any-return]

    [last] = servicer_of(plugin).RunStage(pb.RunStageRequest(call_id="1", stage="forgets"), Context())
    assert said in last.failed.message


def test_what_opens_no_sink_is_told_so() -> None:
    plugin = Plugin("failing", "1.0.0")

    @plugin.sink()
    def forgets(context: SinkContext[NoOptions]) -> Sink:
        """Forgets the sink that it made."""
        return None  # type: ignore[return-value]

    context = Context()
    with pytest.raises(Ended):
        servicer_of(plugin).OpenSink(pb.OpenSinkRequest(call_id="1", sink="forgets"), context)
    assert context.status is not None
    assert "what opens 'forgets' returned None" in context.status[1]


class Unspeakable(Exception):
    """An error that fails as it is printed."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SystemExit(0), "it called sys.exit(0): return when all is done, raise an error when it is not"),
        (ValueError("no file caf\udce9"), "ValueError: no file caf\\udce9"),
        (UserError("no_file", "There is no caf\udce9."), "There is no caf\\udce9."),
        (Unspeakable(), "Unspeakable, which cannot say what it is"),
    ],
)
def test_whatever_a_plugin_raises_it_is_answered(raised: BaseException, said: str) -> None:
    plugin = Plugin("failing", "1.0.0")

    @plugin.stage(outputs={"report": report("Nothing.")})
    def fails(context: StageContext[NoOptions]) -> dict[str, Artifact]:
        """Raises."""
        raise raised

    @plugin.sink()
    def shut(context: SinkContext[NoOptions]) -> Sink:
        """Raises as it is opened."""
        raise raised

    servicer = servicer_of(plugin)
    last: list[pb.RunStageResponse] = []
    asking = threading.Thread(
        target=lambda: last.extend(servicer.RunStage(pb.RunStageRequest(call_id="1", stage="fails"), Context())),
        daemon=True,
    )
    asking.start()
    asking.join(timeout=20)
    assert [each.failed.message for each in last] == [said]
    context = Context()
    with pytest.raises(Ended):
        servicer.OpenSink(pb.OpenSinkRequest(call_id="2", sink="shut"), context)
    assert context.status is not None
    assert context.status[1].startswith(said)
