"""A grader that is paid, and keeps what it was told; and a stage that says beforehand what it costs."""

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, field_validator
from simmer_plugin import (
    Artifact,
    EstimateContext,
    Grade,
    GradeItem,
    GraderChoice,
    GraderContext,
    GradingEstimate,
    Plugin,
    StageContext,
    StageEstimate,
    WorkEstimate,
    grader_choice,
    report,
)

plugin = Plugin("referee", "1.0.0")


class Options(BaseModel):
    usd: float | None = 0.25
    slow: bool = False
    forgets: bool = False


def fee(options: Options, answers: int | None) -> GradingEstimate | None:
    """By the answer."""
    return None if answers is None or options.usd is None else GradingEstimate(usd=answers * options.usd)


@plugin.grader(estimate=fee)
def referee(items: Sequence[GradeItem], options: Options, context: GraderContext) -> list[Grade]:
    """Asks a referee who is paid, and remembers what he said."""
    kept = context.kept_folder({"referee": "first"})
    context.log.info(f"limited: {context.is_spending_limited}; recipe: {context.recipe_folder.name}")
    context.progress(0, len(items), "answers")
    while options.slow:
        context.stop_if_canceled()
        time.sleep(0.02)
    return [grade(item, kept, options, context) for item in items]


def grade(item: GradeItem, kept: Path, options: Options, context: GraderContext) -> Grade:
    for folder in sorted(kept.parent.iterdir()):
        said = folder / item.answer
        if said.exists():
            return Grade(item.id, "right" if said.read_text() == item.gold else "wrong", explanation="Remembered.")
    request = context.reserve("referee", options.usd)
    (kept / item.answer).write_text(item.answer)
    if not options.forgets:
        request.settle(options.usd, input_tokens=1, output_tokens=1)
    return Grade(item.id, "right" if item.answer == item.gold else "wrong", explanation="Asked.")


class NoOptions(BaseModel):
    pass


@plugin.grader(needs_gold=False)
def brevity(items: Sequence[GradeItem], options: NoOptions) -> list[Grade]:
    """Right is what is short."""
    return [Grade(item.id, "right" if len(item.answer) < 4 and not item.gold else "wrong") for item in items]


class Match(BaseModel):
    grader: GraderChoice = grader_choice("referee/referee")
    day: int = 1

    @field_validator("day")
    @classmethod
    def of_a_year(cls, day: int) -> int:
        if day > 366:
            raise ValueError("no year has so many days")
        return day


@plugin.stage(outputs={"report": report("The result.")})
def match(context: StageContext[Match]) -> dict[str, Artifact]:
    """Keeps something."""
    (context.kept_folder({"league": "first"}) / "result.txt").write_text("1:0")
    return {"report": context.write_report({"day": context.options.day})}


@plugin.stage(outputs={"report": report("The verdicts.")})
def marathon(context: StageContext[Match]) -> dict[str, Artifact]:
    """Has more text graded than one message holds, and one answer that is longer than others together."""
    lengths = [*([70_000] * 1000), 9_000_000, 1]
    items = [GradeItem(str(place), "", "a" * length) for place, length in enumerate(lengths)]
    grades = context.grade(context.options.grader, items)
    assert [grade.id for grade in grades] == [item.id for item in items]
    return {"report": context.write_report({"right": [grade.id for grade in grades if grade.verdict == "right"]})}


@plugin.estimate(match)
def costs(options: Match, context: EstimateContext) -> StageEstimate:
    """What three answers cost, and what matches there were."""
    grading = context.grading(options.grader, 3)
    kept = context.kept({"league": "first"})
    results = [(folder / "result.txt").read_text() for folder in kept.others]
    return StageEstimate(WorkEstimate(notes=[f"{kept.own} {results}"]), usd=grading.usd if grading else None)


if __name__ == "__main__":
    plugin.serve()
