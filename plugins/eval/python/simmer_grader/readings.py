"""What an answer may also mean, where the gold answer is of a kind that leaves no other way."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice
from typing import Any

from sympy import (
    Add,
    Basic,
    Eq,
    Expr,
    FiniteSet,
    Float,
    I,
    ImmutableDenseMatrix,
    Interval,
    MatrixBase,
    Mul,
    NumberSymbol,
    Pow,
    Rational,
    Symbol,
    Tuple,
    UnevaluatedExpr,
    ceiling,
    floor,
    preorder_traversal,
)
from sympy.logic.boolalg import BooleanAtom

from .sentences import without_what_is_given
from .spelled import in_digits

_TIME = re.compile(
    r"(?<![\d:.,])0?(\d{1,2})(?::(\d\d)(?![\d:])|(?=[\s~\\]*(?:\\text\s*\{[\s~\\]*)?[ap]\.?\s?m(?![A-Za-z])))"
    r"(?:[\s~\\]*(?:\\text\s*\{[\s~\\]*)?([ap])\.?\s?m(?![A-Za-z])\.?\}?)?",
    re.IGNORECASE,
)
_BARE_TIME = re.compile(r"[\s$]|\\text\s*(?=\{)|[{}]|\\[ ,]")
_CENTS = re.compile(r"(?<![\d.,])(\d+)\s*(?:cents?\b|¢)(?!.*\d)", re.DOTALL)
_MINUTES = re.compile(r"(?<![\d.,])(\d{1,5})\s*minutes?\b(?!.*\d)", re.DOTALL)
#: "1,5" and "0,125", but not "1,500" or "1, 5".
_DECIMAL_COMMA = re.compile(r"(?<![\d.,(\[{])(-?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+))(?![\d.,)\]}])")
_BY_LETTER = re.compile(
    r"(?<![\w.,])((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)([kKM])(?![\w^({\\])(?!\s*[-+*/=]\s*[\dA-Za-z])"
)
#: A number that is written in more than these is no common form of another.
_MOST_PARTS = 30
_GREATEST_EXPONENT = 20
_SCALES = {"k": "thousand", "K": "thousand", "M": "million"}


def is_same_time(gold: str, answer: str) -> bool | None:
    """Whether an answer such as "3:30 PM" is the time of a gold answer; None where one of both may be a ratio."""
    right, said = _TIME.fullmatch(_BARE_TIME.sub("", gold)), [*_TIME.finditer(without_what_is_given(answer))]
    if right is None or not said:
        return None
    halves = {half.lower() for half in (right[3], said[-1][3]) if half}
    if right[1] == said[-1][1] and (right[2] or "00") == (said[-1][2] or "00") and len(halves) < 2:
        return True
    return False if halves else None


def as_number(answer: str) -> str:
    """What an answer is as one number: "1.5" for "1,5", "70 thousand" for "70k", "12" for "twelve"."""
    spelled = _BY_LETTER.sub(lambda found: f"{found[1]} {_SCALES[found[2]]}", in_digits(answer))
    return _DECIMAL_COMMA.sub(lambda found: found[1].replace(",", "."), spelled)


def in_other_units(answer: str, golds: list[Any]) -> list[str]:
    """
    The numbers that an answer in cents or minutes is in dollars or hours, and one in percent as its question asked for
    percent: not where the gold answer may be a share.
    """
    if any(isinstance(gold, Rational | Float) and not gold.is_integer for gold in golds):
        # Of whole hours nobody knows whether they are minutes.
        answer = _MINUTES.sub(lambda found: f"{int(found[1])}/60", answer)
    dollars = _CENTS.sub(lambda found: f"{Decimal(found[1]) / 100}", answer)
    sizes = [abs(gold) for gold in golds if isinstance(gold, Expr)]
    if not any(size.is_comparable and size > 1 for size in sizes):
        return [dollars]
    return [dollars, re.sub(r"(?<=[\d}])\s*\\?%", "", answer)]


def are_numbers(golds: list[Any]) -> bool:
    """Whether a gold answer is one number, and no list, letter or set."""
    expressions = [gold for gold in golds if not isinstance(gold, str)]
    return bool(expressions) and all(isinstance(gold, Expr) and gold.is_number for gold in expressions)


def as_complex(reading: Any) -> Any:
    """With the imaginary unit for the letter i: to math-verify a variable, of another kind in "4 i" than in "4i"."""
    if not isinstance(reading, Basic | MatrixBase):
        return reading
    if reading.has(floor, ceiling):
        # What is rounded is real: there i is a variable.
        return reading
    units = [symbol for symbol in reading.free_symbols if isinstance(symbol, Symbol) and symbol.name == "i"]
    if not units:
        return reading
    if isinstance(reading, FiniteSet):
        return reading.func(*(as_complex(one) for one in reading.args))
    # Beside an i of the one kind, all variables are of it.
    others = {one: Symbol(one.name, real=True) for one in reading.free_symbols if isinstance(one, Symbol)}
    replacements = {**others, **dict.fromkeys(units, I)}
    if isinstance(reading, Eq):
        # What an equation is solved for is a variable, whatever its name.
        lhs = reading.lhs if reading.lhs in units else reading.lhs.xreplace(replacements)
        return Eq(lhs, reading.rhs.xreplace(replacements), evaluate=False)
    try:
        replaced = reading.xreplace(replacements)
    except (TypeError, ValueError):
        # Intervals, comparisons and maxima are of real numbers: there i is a variable.
        return reading
    # So it is where nothing is left to compare: "i \\neq j" would always be true.
    return reading if isinstance(replaced, BooleanAtom) else replaced


def as_one_number(reading: Any) -> Any:
    """A number in the one form of all that equal it: 7/2 of 3.5, 8 of 2^3. As votes they are one."""
    if not isinstance(reading, Expr) or not reading.is_number:
        return reading
    parts = list(islice(preorder_traversal(reading), _MOST_PARTS))
    if len(parts) == _MOST_PARTS or not all(_is_plain(part) for part in parts):
        return reading
    return reading.xreplace({part: Rational(str(part)) for part in parts if isinstance(part, Float)}).doit()


def _is_plain(part: Basic) -> bool:
    """Whether this is soon calculated."""
    if isinstance(part, Pow):
        return isinstance(part.exp, Rational) and abs(part.exp) <= _GREATEST_EXPONENT
    return isinstance(part, Add | Mul | Rational | Float | NumberSymbol | UnevaluatedExpr) or part == I


def as_vectors(golds: list[Any], answers: list[Any]) -> list[Any]:
    """Points as the columns or rows that a gold answer is: (1, 2), which is also an interval, and (1, 2, 3)."""
    shapes = {gold.shape for gold in golds if isinstance(gold, MatrixBase) and 1 in gold.shape}
    points = [
        (answer.start, answer.end) if isinstance(answer, Interval) else tuple(answer)
        for answer in answers
        if isinstance(answer, Tuple) or (isinstance(answer, Interval) and answer.left_open == answer.right_open)
    ]
    return [
        ImmutableDenseMatrix(*shape, list(point))
        for shape in shapes
        for point in points
        if len(point) == shape[0] * shape[1]
    ]
