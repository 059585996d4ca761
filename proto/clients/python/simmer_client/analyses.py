"""What the tables of runs tell: what became of a row, and how the evaluations of two runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RowDecision:
    """What a stage decided about a row. A question that came twice is two rows with one id."""

    kept: bool
    #: The rule that dropped or chose it; None where no rule spoke against it.
    rule: str | None
    evidence: str | None
    #: Which of several rows with this id, from 1: its place in the decisions. None where the id is not shared.
    row: int | None = None


@dataclass(frozen=True)
class RowAttempt:
    """One graded answer of a model to a row's question."""

    model: str | None
    policy: str | None
    #: From 0.
    sample: int | None
    #: The answer as it was graded; None where none was found.
    extracted: str | None
    #: "right", "wrong", "unparsed" or "timedOut".
    verdict: str


@dataclass(frozen=True)
class RowStep:
    """What became of a row in one stage."""

    stage: str
    #: What the stage is, e.g. "curation/deduplicate".
    uses: str
    #: "kept" or "dropped", as its decisions say; "graded": models answered it; "seen": it is in an output of a stage
    #: that drops nothing by rule; "leftOut": it is in the stage's dataset and in no output.
    outcome: str
    decisions: tuple[RowDecision, ...]
    attempts: tuple[RowAttempt, ...]
    #: Names of the outputs that hold it.
    outputs: tuple[str, ...]
    #: Of outputs that hold several rows with this id: their places, from 1.
    rows: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class RowHistory:
    """Where a row of a run came from and what became of it."""

    run_id: str
    #: The whole id of the row.
    id: str
    question: str | None
    source: str | None
    #: In the order of the plan.
    steps: tuple[RowStep, ...]
    #: Names of the stages that are not done: the history may go on there.
    stages_left: tuple[str, ...]


@dataclass(frozen=True)
class GradedAnswer:
    """What a model answered in one of two runs."""

    #: "right", "wrong", "unparsed" or "timedOut".
    verdict: str
    #: The answer as it was graded; None where none was found.
    extracted: str | None
    #: The answer in full.
    answer: str | None


@dataclass(frozen=True)
class ChangedItem:
    """An item whose verdict is another one in the second run."""

    prompt_id: str
    #: From 0.
    sample: int
    question: str | None
    gold: str | None
    before: GradedAnswer
    after: GradedAnswer


@dataclass(frozen=True)
class PointDiff:
    """How two runs differ for one model at one point of the sweep."""

    model: str
    #: Empty where the model was asked without one.
    policy: str
    #: How many items both runs graded, and how many only one of them.
    items: int
    only_before: int
    only_after: int
    right_to_wrong: int
    wrong_to_right: int
    #: By id; what was right and is no longer comes first.
    changed: tuple[ChangedItem, ...]
    #: Which one graded them, where several stages of a run graded the model at this point.
    stage: str | None = None


def history_of(text: str) -> RowHistory:
    """A history off the wire: the JSON object of ExplainRowResponse."""
    history = json.loads(text)
    return RowHistory(
        run_id=history["runId"],
        id=history["id"],
        question=history["question"],
        source=history["source"],
        steps=tuple(_step_of(step) for step in history["steps"]),
        stages_left=tuple(history["stagesLeft"]),
    )


def points_of(text: bytes) -> tuple[PointDiff, ...]:
    """Differences off the wire: the JSON list that the parts of DiffEvaluationsResponse make together."""
    return tuple(
        PointDiff(
            model=point["model"],
            policy=point["policy"],
            items=point["items"],
            only_before=point["onlyBefore"],
            only_after=point["onlyAfter"],
            right_to_wrong=point["rightToWrong"],
            wrong_to_right=point["wrongToRight"],
            changed=tuple(_item_of(item) for item in point["changed"]),
            stage=point.get("stage"),
        )
        for point in json.loads(text)
    )


def _step_of(step: Mapping[str, Any]) -> RowStep:
    return RowStep(
        stage=step["stage"],
        uses=step["uses"],
        outcome=step["outcome"],
        decisions=tuple(
            RowDecision(each["kept"], each["rule"], each["evidence"], each.get("row")) for each in step["decisions"]
        ),
        attempts=tuple(
            RowAttempt(each["model"], each["policy"], each["sample"], each["extracted"], each["verdict"])
            for each in step["attempts"]
        ),
        outputs=tuple(step["outputs"]),
        rows={output: tuple(places) for output, places in step.get("rows", {}).items()},
    )


def _item_of(item: Mapping[str, Any]) -> ChangedItem:
    return ChangedItem(
        prompt_id=item["promptId"],
        sample=item["sample"],
        question=item["question"],
        gold=item["gold"],
        before=_answer_of(item["before"]),
        after=_answer_of(item["after"]),
    )


def _answer_of(answer: Mapping[str, Any]) -> GradedAnswer:
    return GradedAnswer(answer["verdict"], answer["extracted"], answer["answer"])
