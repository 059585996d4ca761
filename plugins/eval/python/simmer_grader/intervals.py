"""Inequalities against gold answers that can be nothing but sets of numbers; (1, 2) may be a point."""

from __future__ import annotations

import re
from typing import Any

from sympy import And, FiniteSet, Set, Symbol, Union
from sympy.core.relational import Relational

_IS_SET = re.compile(r"\\infty|\\cup|\\in(?![A-Za-z])|\[[^][()]*\)|\([^][()]*\]")


def is_set(gold: str) -> bool:
    """Whether a gold answer names numbers: by infinity, a union, `x \\in`, or brackets of two kinds."""
    return _IS_SET.search(gold) is not None


def solution_sets(readings: list[Any]) -> list[Set]:
    """The numbers for which `x > 2`, `1 < x \\le 2` or `x < 2 or x > 3` hold; nothing that has to be solved first."""
    sets: list[Set] = []
    for reading in readings:
        parts = list(reading.args) if isinstance(reading, FiniteSet) else [reading]
        if parts and all(_is_solved(part) for part in parts):
            sets.append(Union(*(part.as_set() for part in parts)))
    return sets


def _is_solved(reading: Any) -> bool:
    if isinstance(reading, And):
        return len(reading.free_symbols) == 1 and all(_is_solved(one) for one in reading.args)
    if not isinstance(reading, Relational) or not reading.rel_op.startswith(("<", ">", "!=")):
        return False
    sides = (reading.lhs, reading.rhs)
    return any(isinstance(side, Symbol) for side in sides) and any(side.is_number for side in sides)
