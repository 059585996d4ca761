"""How a plugin takes part in the runs of recipes that list it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simmer_plugin.context import Log
from simmer_plugin.errors import Canceled

#: A recipe as it is written, or a plan as `plan.json` has it.
Tree = dict[str, Any]


@dataclass(frozen=True)
class Objection:
    """Something that a plugin has against a plan."""

    #: What is wrong, for the user, naming the thing.
    message: str
    #: Dotted path of the key in the recipe, e.g. "stages.tuned.with.epochs".
    path: str | None = None
    #: Stable, snake_case; None: "plan_refused".
    code: str | None = None
    #: What to do about it.
    hint: str | None = None


class HookedStage:
    """A stage that is about to run."""

    def __init__(
        self,
        *,
        run_id: str,
        stage: str,
        uses: str,
        attempt: int,
        options: Mapping[str, Any],
        log: Log,
        canceled: threading.Event,
    ) -> None:
        self.run_id = run_id
        #: Its name in the recipe.
        self.stage = stage
        #: "plugin/stage".
        self.uses = uses
        #: From 1.
        self.attempt = attempt
        self.options = options
        self.log = log
        self.canceled = canceled

    def stop_if_canceled(self) -> None:
        """Raises Canceled where the run is to stop: call it while waiting."""
        if self.canceled.is_set():
            raise Canceled("Simmer stops the stage.")


class StageFailed(Exception):
    """What a hook around a stage sees, at its `yield`, of a stage that failed.

    The stage fails whatever becomes of it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        #: Stable, snake_case; empty for what nobody foresaw.
        self.code = code
        self.message = message


BeforePlan = Callable[[Tree], Tree | None]
AfterPlan = Callable[[Tree], Iterable[Objection] | None]
AroundStage = Callable[[HookedStage], Iterator[None]]
OnEvent = Callable[[Mapping[str, Any]], None]


@dataclass
class Hooks:
    """The hooks that a plugin has."""

    before_plan: BeforePlan | None = None
    after_plan: AfterPlan | None = None
    around_stage: AroundStage | None = None
    on_event: OnEvent | None = None
