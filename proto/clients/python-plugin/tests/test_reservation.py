"""What is set aside is settled, however the request ends. In runs: test/integration/process-plugin."""

from typing import Any

import pytest

from simmer_plugin import HostError, Plugin, Reservation, StageContext
from simmer_plugin.plugin import NoOptions
from simmer_plugin.testing import run_stage


def stage_that(asks: Any) -> Plugin:
    plugin = Plugin("payer", "1.0.0")

    @plugin.stage(outputs={})
    def pay(context: StageContext[NoOptions]) -> dict[str, Any]:
        """Pays somebody."""
        asks(context)
        return {}

    return plugin


def test_a_block_settles_what_it_was_told_or_else_the_most() -> None:
    def asks(context: StageContext[NoOptions]) -> None:
        with context.reserve("told", 0.5, seconds=60) as reservation:
            reservation.settle(0.2, output_tokens=3)
        with context.reserve("untold", 0.5):
            pass
        with pytest.raises(ConnectionError), context.reserve("failed", 0.5):
            raise ConnectionError

    assert run_stage(stage_that(asks), "pay").spent == [("told", 0.2), ("untold", 0.5), ("failed", 0.5)]


class Gone:
    """A host whose call is over."""

    def settle(self, *settled: object) -> None:
        raise HostError("call_unknown", "There is no running call.")


def test_what_went_wrong_first_is_told() -> None:
    gone: Any = Gone()
    with pytest.raises(ConnectionError), Reservation(gone, "1", 0.5):
        raise ConnectionError
    with pytest.raises(HostError), Reservation(gone, "1", 0.5):
        pass
