"""Answers and gold answers that go on and on, and what breaks parsers."""

from __future__ import annotations

import pytest
from conftest import RunningGrader, name_of

from simmer_grader.generated.simmer.grader.v1 import grader_pb2 as pb

#: Its size is not seen before it is calculated.
POWER_TOWER = r"$9^{9^{3 \cdot 3}}$"


def matrix(first: str) -> str:
    """Of 16 rows and 1,900 characters or more."""
    rows = [[str(1000 * row + column) for column in range(16)] for row in range(16)]
    rows[0][0] = first
    return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(row) for row in rows) + r" \end{pmatrix}"


@pytest.mark.parametrize("repeated", ["\n", " \n", "\n\t", " "])
def test_white_space_that_goes_on_and_on_is_passed_over(grader: RunningGrader, repeated: str) -> None:
    assert grader.verdict("5", f"5{repeated * 50_000}The answer is 5.") == "RIGHT"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("= 42 " * 20_000, "RIGHT"),
        ("42\n" * 30_000, "RIGHT"),
        ("42, where x = 3 " * 900, "RIGHT"),
        (r"$x = 42$ " * 20_000, "RIGHT"),
        ("The answer is 42.\n" + "Wait, 6 is not 5. " * 6_000, "RIGHT"),
        ("42\n\n" + " ".join(f"Here {number} is too much." for number in range(5_000)), "RIGHT"),
        ("Hm. " * 20_000 + "The answer is 42. " + "Let me see. " * 10_000, "RIGHT"),
        ("5 hundred " * 10_000, "WRONG"),
        ("".join(rf"\boxed{{{number}}}, " for number in range(10_000)), "UNPARSED"),
        (" = ".join(map(str, range(400))), "WRONG"),
        ("x = 5\n" * 300, "WRONG"),
        ("+".join(map(str, range(20_000))), "UNPARSED"),
        ("(" * 500, "UNPARSED"),
        ("$" + "(" * 60 + "42" + ")" * 60 + "$", "UNPARSED"),
        (r"\frac{1}{" * 10_000, "UNPARSED"),
        (r"\[ 2 " * 20_000, "WRONG"),
        ("We see " + "".join(f"{number} hundred " for number in range(8_000)), "WRONG"),
        ("7" * 100_000, "UNPARSED"),
        ("The last digits of $7^{9^{9^{9}}}$ are 42.", "RIGHT"),
        ("9^{9^{9^{9}}}", "UNPARSED"),
        ("2^{1000000000}", "UNPARSED"),
        ("25!!", "UNPARSED"),
        ("(25!)!", "UNPARSED"),
        ("10000000!", "UNPARSED"),
    ],
    ids=lambda value: value[:12],
)
def test_reply_that_goes_on_and_on_is_read_in_time(grader: RunningGrader, answer: str, verdict: str) -> None:
    assert grader.verdict("42", answer) == verdict


@pytest.mark.parametrize(
    "form", ["{}", r"\boxed{{{}}}", "The answer is {}.", "[{}]", r"$\{{{}\}}$", "The answer is ({})."]
)
def test_a_list_of_hundreds_of_numbers_is_read(grader: RunningGrader, form: str) -> None:
    numbers = [str(7 * number) for number in range(400)]
    assert grader.verdict(", ".join(numbers), form.format(", ".join(numbers))) == "RIGHT"
    assert grader.verdict(", ".join(numbers), form.format(", ".join(numbers[:-1]))) == "WRONG"


def test_powers_that_are_not_too_great_are_read(grader: RunningGrader) -> None:
    assert grader.verdict("65536", "2^{2^{2^{2}}}") == "RIGHT"
    assert grader.verdict("2^{2007}", "$2^{2007}$") == "RIGHT"
    assert grader.verdict("10^{100}", "10^{100}") == "RIGHT"
    assert grader.verdict("720", "3!!") == "RIGHT"
    assert grader.verdict("40320", "8!") == "RIGHT"


def test_digits_of_a_long_number_are_no_loop(grader: RunningGrader) -> None:
    number = "1" + "0" * 500
    assert grader.verdict(number, f"The answer is {number}.") == "RIGHT"
    assert grader.verdict(number, f"The answer is {number}0.") == "WRONG"


def test_power_tower_is_killed_and_the_next_is_graded(grader: RunningGrader) -> None:
    pairs = [("42", POWER_TOWER), ("1", "1"), ("42", POWER_TOWER), ("2", "3"), ("42", POWER_TOWER), ("4", "4")]
    grades = grader.grade(*pairs, milliseconds=1500)
    assert [name_of(grade.verdict) for grade in grades] == [
        "TIMED_OUT",
        "RIGHT",
        "TIMED_OUT",
        "WRONG",
        "TIMED_OUT",
        "RIGHT",
    ]
    assert "was killed after" in grades[0].explanation


def test_what_breaks_a_parser_fails_only_itself(grader: RunningGrader) -> None:
    nested = "$" + "(" * 3000 + "1" + ")" * 3000 + "$"
    grades = grader.grade(("1", nested), ("1", "\x00\ud7ff$"), ("7", "7"), milliseconds=5000)
    assert len(grades) == 3
    assert grades[2].verdict == pb.VERDICT_RIGHT


@pytest.mark.parametrize("write", ["{}", "${}$", r"\boxed{{{}}}", "A = {}"])
def test_a_large_matrix_of_numbers_is_read(grader: RunningGrader, write: str) -> None:
    gold = matrix(r"-\frac{1}{2}")
    assert grader.verdict(gold, write.format(matrix("-0.5"))) == "RIGHT"
    assert grader.verdict(gold, write.format(matrix("0.5"))) == "WRONG"
