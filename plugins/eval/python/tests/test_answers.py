"""
The answers that every change of the grader is held against, each with what a careful person says of it. "unparsed" is
wrong, too: there is no answer in it, or none that mathematics has a form for. answers.test.ts has the other graders.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import RunningGrader, name_of

ANSWERS = [json.loads(line) for line in Path(__file__).with_name("answers.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def verdicts(grader: RunningGrader) -> list[str]:
    pairs = [(answer["gold"], answer["reply"]) for answer in ANSWERS]
    return [
        name_of(grade.verdict)
        for start in range(0, len(pairs), 250)
        for grade in grader.grade(*pairs[start : start + 250])
    ]


@pytest.mark.parametrize(
    "place",
    range(len(ANSWERS)),
    ids=[f"{answer['why']}: {answer['reply'][:40]} for {answer['gold'][:20]}" for answer in ANSWERS],
)
def test_verdict(verdicts: list[str], place: int) -> None:
    answer = ANSWERS[place]
    assert verdicts[place].lower() == answer["verdict"], answer


def test_no_pair_is_there_twice() -> None:
    assert len({(answer["gold"], answer["reply"]) for answer in ANSWERS}) == len(ANSWERS)
