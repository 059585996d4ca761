"""What is right, what is wrong, and what is neither."""

from __future__ import annotations

import pytest
from conftest import RunningGrader

from simmer_grader.generated.simmer.grader.v1 import grader_pb2 as pb


@pytest.mark.parametrize("answer", ["", "  \n", "I do not know.", "hello", "???", r"\frac{3}{", r"\boxed{}"])
def test_answer_that_cannot_be_read(grader: RunningGrader, answer: str) -> None:
    (grade,) = grader.grade(("42", answer))
    assert grade.verdict == pb.VERDICT_UNPARSED
    assert grade.parsed_answer == ""
    assert "gold" not in grade.explanation


@pytest.mark.parametrize("gold", ["", r"\frac{3}{", "???"])
def test_gold_that_cannot_be_read_is_named(grader: RunningGrader, gold: str) -> None:
    (grade,) = grader.grade((gold, "42"))
    assert grade.verdict == pb.VERDICT_UNPARSED
    assert "gold" in grade.explanation


def test_says_how_it_read(grader: RunningGrader) -> None:
    (grade,) = grader.grade((r"\frac{3}{4}", "0.5"))
    assert (grade.parsed_gold, grade.parsed_answer) == ("3/4", "1/2")
    assert grade.explanation
    results = grader.grade(("24", "4 * 6 = 24"), ("24", "x = 24"), ("24", "24"), ("24", "x + y = 24"))
    assert [grade.parsed_answer for grade in results] == ["24", "24", "24", "Eq(x + y, 24)"]


@pytest.mark.parametrize(
    ("answers", "reading"),
    [
        ([r"\frac{7}{2}", "3.5", "3 1/2", "7/2 hours"], "7/2"),
        (["-1/2", "-0.5", r"-\frac{2}{4}", r"-50\%"], "-1/2"),
        (["8", "8.0", "2^3", r"2 \cdot 4"], "8"),
        ([r"\sqrt{8}", r"2\sqrt{2}", "2√2"], "2*sqrt(2)"),
        (["1000", "1,000", "10^3", "1e3"], "1000"),
    ],
)
def test_reads_a_number_alike_however_it_is_written(grader: RunningGrader, answers: list[str], reading: str) -> None:
    grades = grader.grade(*(("41", answer) for answer in answers))
    assert [grade.parsed_answer for grade in grades] == [reading] * len(answers)


def test_answers_in_order(grader: RunningGrader) -> None:
    grades = grader.grade(*((str(number), str(number - number % 2)) for number in range(200)))
    assert [grade.id for grade in grades] == [str(number) for number in range(200)]
    assert [grade.verdict == pb.VERDICT_RIGHT for grade in grades] == [number % 2 == 0 for number in range(200)]
