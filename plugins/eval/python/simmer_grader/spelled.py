"""Numbers in words: "twelve apples", "minus forty-two", "three quarters", "two and a half hours"."""

from __future__ import annotations

import re
from fractions import Fraction

_CARDINALS = {
    **{"none": 0, "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8},
    **{"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16},
    **{"seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50},
    **{"sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90},
}
_PARTS = {
    **{"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8},
    **{"ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100},
}
_SEVERAL_PARTS = {"halves": 2, **{f"{word}s": value for word, value in _PARTS.items()}}
#: No name of what was counted: "none of these", "one or two", "one moment please".
_UNCOUNTED = re.compile(
    r"a|an|and|at|by|if|in|is|are|of|on|or|the|to|was|less|more|please|point|plus|minus|times|\w+ths?"
)
_MOST_COUNTED = 3
_STATED = re.compile(r".*\banswer\s+is\b|\A\s*there\s+(?:is|are)\b", re.IGNORECASE | re.DOTALL)


def in_digits(answer: str) -> str:
    """An answer that says no more than a number in words, and in few words what is counted, in digits."""
    words = re.findall(r"[a-z]+", _STATED.sub("", answer).lower()) if len(answer) < 200 else []
    if not words or re.search(r"\d|\\", answer):
        return answer
    is_negative = words[0] in ("minus", "negative")
    value, counted = _value(words[is_negative:])
    if counted == ["of", "them"] and value is not None and value > 1:
        counted = []
    known = {*_CARDINALS, *_PARTS, *_SEVERAL_PARTS}
    is_count = not any(word in known or _UNCOUNTED.fullmatch(word) for word in counted)
    if value is None or len(counted) > _MOST_COUNTED or not is_count:
        return answer
    return f"{'-' * is_negative}{value} {' '.join(counted)}".strip()


def _value(words: list[str]) -> tuple[Fraction | None, list[str]]:
    """The number that words begin with, and the words behind it."""
    whole, rest = _cardinal(words)
    if whole is not None and rest[:1] == ["and"]:
        part, behind = _part(rest[1:])
        return (None, words) if part is None or part >= 1 else (whole + part, behind)
    part, behind = _part(words)
    return (whole, rest) if part is None else (part, behind)


def _cardinal(words: list[str]) -> tuple[Fraction | None, list[str]]:
    first, second = (_CARDINALS.get(word) for word in (*words, "", "")[:2])
    if first is None:
        return None, words
    if first >= 20 and second is not None and 0 < second < 10:
        return Fraction(first + second), words[2:]
    return Fraction(first), words[1:]


def _part(words: list[str]) -> tuple[Fraction | None, list[str]]:
    """ "half", "a third", "two thirds"; but a fifth alone is a place, as in "twenty-fifth"."""
    numerator, rest = _cardinal(words)
    if words[:1] == ["a"]:
        numerator, rest = Fraction(1), words[1:]
    if numerator is None and words[:1] == ["half"]:
        return Fraction(1, 2), words[1:]
    parts = _PARTS if numerator == 1 else _SEVERAL_PARTS
    denominator = parts.get(rest[0]) if rest else None
    return (None, words) if numerator is None or denominator is None else (numerator / denominator, rest[1:])
