"""What tests of plugins run graders and sinks with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from mypy import api as mypy
from pydantic import BaseModel, Field

from simmer_plugin import Artifact, Grade, GradeItem, GraderContext, Plugin, Sink, SinkContext, StageContext, report
from simmer_plugin.testing import grade_answers, run_sink, run_stage

plugin = Plugin("trial", "1.0.0")


class Options(BaseModel):
    usd: float = 0.5


@plugin.grader()
def paid(items: Sequence[GradeItem], options: Options, context: GraderContext) -> list[Grade]:
    """Is paid for each answer."""
    kept = context.kept_folder({"asked": "somebody"}) / "said.txt"
    for item in items:
        context.reserve("somebody", options.usd).settle(options.usd)
        kept.write_text(item.answer)
    context.log.info("asked")
    return [Grade(item.id, "right" if item.answer == item.gold else "wrong") for item in items]


@plugin.grader()
def forgetful(items: Sequence[GradeItem], options: Options) -> list[Grade]:
    """Forgets the last one."""
    return [Grade(item.id, "right") for item in items[:-1]]


class Notes(Sink):
    def __init__(self, file: Path) -> None:
        self.file = file

    def on_event(self, event: Mapping[str, Any]) -> None:
        self.note(f"{event['sequence']} {event['type']} {event['data']}")

    def before_completed(self) -> str:
        self.note("asked")
        return str(self.file)

    def close(self) -> None:
        self.note("closed")

    def note(self, text: str) -> None:
        with self.file.open("a") as file:
            file.write(f"{text}\n")


@plugin.sink()
def notes(context: SinkContext[Options]) -> Sink:
    """Notes what it is told."""
    return Notes(context.run_folder / "notes.txt")


ITEMS = [GradeItem("1", "4", "4"), GradeItem("2", "4", "5")]


def test_a_grader_grades_pays_and_logs() -> None:
    result = grade_answers(plugin, "paid", ITEMS, options={"usd": 0.25})
    assert [grade.verdict for grade in result.grades] == ["right", "wrong"]
    assert result.spent == [("somebody", 0.25), ("somebody", 0.25)]
    assert result.events == [{"logWritten": {"level": "LOG_LEVEL_INFO", "message": "asked"}}]


def test_a_grader_that_forgets_an_answer_is_told() -> None:
    with pytest.raises(AssertionError, match="one grade for each answer"):
        grade_answers(plugin, "forgetful", ITEMS)


def test_a_sink_may_leave_out_what_it_has_nothing_to_do_for(tmp_path: Path) -> None:
    author = tmp_path / "author.py"
    author.write_text("from simmer_plugin import Sink\nclass Quiet(Sink):\n    pass\nQuiet().close()\n")
    said, problems, exit_code = mypy.run(["--strict", "--cache-dir", str(tmp_path), str(author)])
    assert (said.splitlines(), problems, exit_code) == (["Success: no issues found in 1 source file"], "", 0)


def test_a_sink_gets_events_is_asked_before_the_end_and_closed(tmp_path: Path) -> None:
    events = [{"type": "stage.started", "stage": "short", "data": {}}, {"type": "run.completed", "data": {"a": 1}}]
    report = run_sink(plugin, "notes", events, run_folder=tmp_path)
    assert report == str(tmp_path / "notes.txt")
    assert Path(report).read_text() == "1 stage.started {}\nasked\n2 run.completed {'a': 1}\nclosed\n"


@plugin.stage(outputs={"answer": report("What was said.")})
def buy(context: StageContext[Options]) -> dict[str, Artifact]:
    """Asks once, and dies at the first attempt."""
    said, paid = context.kept_folder({"of": "somebody"}) / "said", context.scratch_folder / "paid"
    if not said.exists():
        context.reserve("somebody", context.options.usd).settle(context.options.usd)
        said.write_text("42")
        paid.touch()
        raise InterruptedError
    return {"answer": context.write_report({"said": said.read_text(), "paid": paid.exists()})}


def test_a_stage_goes_on_in_the_folder_of_an_attempt_that_was_killed(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        run_stage(plugin, "buy", scratch_folder=tmp_path)
    result = run_stage(plugin, "buy", scratch_folder=tmp_path)
    assert result.spent == []
    with pytest.raises(InterruptedError):
        run_stage(plugin, "buy")


def test_options_and_inputs_that_there_are_not_are_refused() -> None:
    with pytest.raises(AssertionError, match="there is no option 'dollars'; there are usd"):
        run_stage(plugin, "buy", options={"dollars": 1})
    with pytest.raises(AssertionError, match="there is no input 'datset'; there are none"):
        run_stage(plugin, "buy", inputs={"datset": []})
    with pytest.raises(AssertionError, match="there is no option 'dollars'"):
        grade_answers(plugin, "paid", [], options={"dollars": 1})


class NamedOptions(BaseModel):
    most: int = Field(1, validation_alias="most-words")


def test_options_are_called_as_in_a_recipe() -> None:
    given: list[NamedOptions] = []

    @plugin.stage(outputs={})
    def named(context: StageContext[NamedOptions]) -> dict[str, Artifact]:
        """Has an option whose name is no name in Python."""
        given.append(context.options)
        return {}

    run_stage(plugin, "named", options={"most-words": 2})
    assert [options.most for options in given] == [2]
