"""Grading answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from simmer_plugin.batches import batches
from simmer_plugin.generated.simmer.grader.v1 import grader_pb2

Verdict = Literal["right", "wrong", "unparsed", "timed_out"]

#: Of one call: messages have at most 64 MiB, and a grade may be as long as what it is for.
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_ITEMS = 1024

_VERDICTS: dict[int, Verdict] = {
    grader_pb2.VERDICT_RIGHT: "right",
    grader_pb2.VERDICT_WRONG: "wrong",
    grader_pb2.VERDICT_UNPARSED: "unparsed",
    grader_pb2.VERDICT_TIMED_OUT: "timed_out",
}


@dataclass(frozen=True)
class GradeItem:
    """One answer to grade. Ids are unique in a call."""

    id: str
    #: The right answer. Empty where nobody knows one: only a grader with `needs_gold=False` is given such an item.
    gold: str
    answer: str
    #: As the model was asked, before its chat template; of a chat its last message. None: not known.
    question: str | None = None


@dataclass(frozen=True)
class Grade:
    """What a grader found."""

    id: str
    verdict: Verdict
    #: How the answers were read; empty where they were not.
    parsed_answer: str = ""
    parsed_gold: str = ""
    #: Why, in one sentence.
    explanation: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            known = ", ".join(get_args(Verdict))
            raise ValueError(f"The verdict of a Grade is one of {known}, not {self.verdict!r}.")


def item_message(item: GradeItem) -> grader_pb2.GradeItem:
    """An item for the wire."""
    return grader_pb2.GradeItem(id=item.id, gold=item.gold, answer=item.answer, question=item.question)


def grade_batches(items: Iterable[GradeItem]) -> Iterator[list[grader_pb2.GradeItem]]:
    """Items for the wire, as many at a time as one message carries, and its answer; a longer one goes by itself."""
    return batches(map(item_message, items), most_bytes=_BATCH_BYTES, most=_BATCH_ITEMS)


def item_of(message: grader_pb2.GradeItem) -> GradeItem:
    """An item off the wire."""
    question = message.question if message.HasField("question") else None
    return GradeItem(message.id, message.gold, message.answer, question)


def grade_of(message: grader_pb2.Grade) -> Grade:
    """A grade off the wire."""
    verdict = _VERDICTS.get(message.verdict, "unparsed")
    return Grade(message.id, verdict, message.parsed_answer, message.parsed_gold, message.explanation)


def grade_message(grade: Grade) -> grader_pb2.Grade:
    """A grade for the wire."""
    return grader_pb2.Grade(
        id=grade.id,
        verdict=f"VERDICT_{grade.verdict.upper()}",
        parsed_answer=grade.parsed_answer,
        parsed_gold=grade.parsed_gold,
        explanation=grade.explanation,
    )
