"""Graders: they say whether answers are right."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from simmer_plugin.context import CallContext
from simmer_plugin.errors import Canceled
from simmer_plugin.generated.simmer.plugin.v1 import event_pb2
from simmer_plugin.grading import Grade, GradeItem
from simmer_plugin.planning import GradingEstimate


class GraderContext(CallContext):
    """What a grader has besides answers and options."""

    def stop_if_canceled(self) -> None:
        """Raises Canceled where nobody waits for the grades any more: call it between answers that take long."""
        if self.canceled.is_set():
            raise Canceled("Simmer stops the grading.")

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Says how far it is, where it takes long to make itself ready; at most a few times a second, please."""
        said = event_pb2.StageProgressed(done=done, total=total, unit=unit)
        self._host.emit(event_pb2.StageEvent(stage_progressed=said))

    def kept_folder(self, of: Mapping[str, Any]) -> Path:
        """A folder of the run for what was paid for, the same in each call with the same options; it survives kills.

        Beside it stand those of other runs with the same grader, recipe seed and `of`. of: what the kept things depend
        on besides what is asked, as plain JSON.
        """
        return self._host.open_kept_folder(of)


GraderFunction = (
    Callable[[Sequence[GradeItem], Any], Sequence[Grade]]
    | Callable[[Sequence[GradeItem], Any, GraderContext], Sequence[Grade]]
)
EstimateGradingFunction = Callable[[Any, int | None], GradingEstimate | None]


@dataclass(frozen=True)
class GraderEntry:
    """A grader that was declared."""

    description: str
    options: type[BaseModel]
    function: GraderFunction
    estimate: EstimateGradingFunction | None
    needs_gold: bool

    def grade(self, items: Sequence[GradeItem], options: Any, context: GraderContext) -> Sequence[Grade]:
        """Asks the function, with the context where it takes one."""
        function: Callable[..., Sequence[Grade]] = self.function
        takes_context = len(inspect.signature(function).parameters) > 2
        return function(items, options, context) if takes_context else function(items, options)
