"""What an answer may also mean, where the gold answer is of a kind that leaves no other way."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from sympy import (
    Add,
    Basic,
    Eq,
    Expr,
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
    preorder_traversal,
)
from sympy.logic.boolalg import BooleanAtom

_TIME = re.compile(r"\s*\$?\d{1,2}:\d\d\$?\s*")
_HALF_OF_DAY = re.compile(r"(?<=\d:\d\d)[\s~]*(?:\\text\s*\{\s*)?[ap]\.?\s?m(?![A-Za-z])\.?\}?", re.IGNORECASE)
_TEXT_WITH_TIME = re.compile(r"\\text\s*\{\s*(\d{1,2}:\d\d)\s*\}")
#: "1,5" and "0,125", but not "1,500" or "1, 5".
_DECIMAL_COMMA = re.compile(r"(?<![\d.,(\[{])(-?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+))(?![\d.,)\]}])")
_BY_LETTER = re.compile(
    r"(?<![\w.,])((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)([kKM])(?![\w^({\\])(?!\s*[-+*/=]\s*[\dA-Za-z])"
)
#: A number that is written in more than these is no common form of another.
_MOST_PARTS = 30
_GREATEST_EXPONENT = 20
_SCALES = {"k": "thousand", "K": "thousand", "M": "million"}


def without_half_of_day(gold: str, answer: str) -> str:
    """An answer such as "3:30 PM" without what a gold answer of 3:30 does not say."""
    if not _TIME.fullmatch(gold):
        return answer
    return _TEXT_WITH_TIME.sub(r"\1", _HALF_OF_DAY.sub("", answer))


def as_number(answer: str) -> str:
    """What an answer is as one number: "1.5" for "1,5", "70 thousand" for "70k"."""
    spelled = _BY_LETTER.sub(lambda found: f"{found[1]} {_SCALES[found[2]]}", answer)
    return _DECIMAL_COMMA.sub(lambda found: found[1].replace(",", "."), spelled)


def are_numbers(golds: list[Any]) -> bool:
    """Whether a gold answer is one number, and no list, letter or set."""
    expressions = [gold for gold in golds if not isinstance(gold, str)]
    return bool(expressions) and all(isinstance(gold, Expr) and gold.is_number for gold in expressions)


def as_complex(reading: Any) -> Any:
    """With the imaginary unit for the letter i: to math-verify a variable, of another kind in "4 i" than in "4i"."""
    if not isinstance(reading, Basic | MatrixBase):
        return reading
    units = [symbol for symbol in reading.free_symbols if isinstance(symbol, Symbol) and symbol.name == "i"]
    if not units:
        return reading
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
