"""How much is read of a reply that goes on and on: all of it would take minutes."""

from __future__ import annotations

import re

#: A reply that is longer is read at its begin, where it last names its answer, and at its end.
_MOST_CHARACTERS = 10_000
_BEGIN = 2_000
_STATEMENT = 2_000
_END = 4_000

_STATED = re.compile(r"\banswer(?:\s+is\b|\s*[:*=])", re.IGNORECASE)
#: What is written ten times or more without anything between.
_LOOP = re.compile(r"(\S.{0,199}?)\1{9,}", re.DOTALL)
#: A matrix may have so many zeros.
_FEWEST_LOOPED = 400
#: Of these in one another, math-verify's parser takes twice the time for each further one.
_DEEPEST = 20
_LONGEST_EXPRESSION = 1_500
#: A list of numbers, also in brackets, is read sooner than a sum of as many.
_LONGEST_LIST = 4_000
_NUMBERS = re.compile(r"\s*(?:\\?[\[({]\s*)?-?[\d.]+(?:\s*[,;]\s*-?[\d.]+)+\s*(?:\\?[\])}]\s*)?")
_ENTRY = r"\s*-?(?:[\d.]+|\\[dt]?frac\s*\{-?\d+\}\s*\{-?\d+\})\s*"
#: As is a matrix of them.
_MATRIX = re.compile(rf"\s*\\begin\{{([pbvBV]?matrix)\}}(?:{_ENTRY}(?:&|\\\\))*(?:{_ENTRY})?\\end\{{\1\}}\s*")
#: Of a chain of equations the last side is what it comes to. Reading hundreds takes half a minute.
_MOST_SIDES = 12
_SIDE = re.compile(r"(?<![\\<>!])=")
#: "9^{9^{9}}", which has more digits than there is time for, as has "25!!".
_TOWER = re.compile(r"\d+(?:\s*\^[\s{(]*\d+)+")
_GREATEST_EXPONENT = 1_000_000
_GREAT_FACTORIAL = re.compile(r"\d{6,}\s*[)}]?\s*!|\d{2,}\s*[)}]?\s*!\s*[)}]?\s*!")
_EXPRESSION = re.compile(r"(\$)([^$]+)(\$)|(\\\()(.*?)(\\\))|(\\\[)(.*?)(\\\])", re.DOTALL)
#: Where a text may be cut, best first. Inside of a line it may be inside of `$...$`.
_BREAKS = ("\n\n", "\n", ". ", " ")


def without_loops(text: str) -> str:
    """A reply with each thing that it repeats over and over written twice, and no more of a long one than is read."""
    lines = {line.strip() for line in text.splitlines()} - {""}
    if len(lines) == 1 and "\n" in text.strip():
        text = lines.pop()
    if len(text) > _MOST_CHARACTERS:
        begin, middle, end = text[:_BEGIN], text[_BEGIN:-_END], text[-_END:]
        *_, stated = [None, *_STATED.finditer(middle)]
        statement = "" if stated is None else _cut_behind(middle[stated.start() : stated.start() + _STATEMENT])
        text = "\n\n".join(part for part in (_cut_behind(begin), statement, _cut_before(end)) if part)
    return text if len(text) < _FEWEST_LOOPED else _LOOP.sub(_twice, text)


def without_endless_expressions(text: str) -> str:
    """Without what math-verify would never be done with: too long, deep or great ones, all but the end of chains."""
    return _EXPRESSION.sub(_bounded, text)


def _bounded(found: re.Match[str]) -> str:
    begin, inner, end = (part for part in found.groups() if part is not None)
    sides = _SIDE.split(inner)
    is_list = "," in inner or ";" in inner
    if len(inner) > _LONGEST_EXPRESSION or (len(sides) > _MOST_SIDES and not is_list):
        inner = sides[-1]
    is_of_numbers = _NUMBERS.fullmatch(inner) or _MATRIX.fullmatch(inner)
    longest = _LONGEST_LIST if is_of_numbers else _LONGEST_EXPRESSION
    is_readable = len(inner) <= longest and _depth(inner) <= _DEEPEST and _is_soon_calculated(inner)
    return f"{begin}{inner}{end}" if is_readable else " "


def _is_soon_calculated(expression: str) -> bool:
    towers = ([int(number) for number in re.findall(r"\d+", tower[0])] for tower in _TOWER.finditer(expression))
    return _GREAT_FACTORIAL.search(expression) is None and all(_exponent(tower) is not None for tower in towers)


def _exponent(tower: list[int]) -> int | None:
    """Of the lowest number of a tower of powers; None where it is too great."""
    exponent = 1
    for number in reversed(tower[1:]):
        if exponent * number.bit_length() > _GREATEST_EXPONENT.bit_length():
            return None
        exponent = number**exponent
    return exponent if exponent <= _GREATEST_EXPONENT else None


def _depth(expression: str) -> int:
    deepest = depth = 0
    for sign in expression:
        depth = max(0, depth + (sign in "([{") - (sign in ")]}"))
        deepest = max(deepest, depth)
    return deepest


def _twice(found: re.Match[str]) -> str:
    # The digits of a number are no loop.
    is_loop = len(found[0]) >= _FEWEST_LOOPED and not found[1].isdigit()
    return found[1] * 2 if is_loop else found[0]


def _cut_behind(text: str) -> str:
    place = next((at for sign in _BREAKS if (at := text.rfind(sign)) > len(text) // 2), len(text))
    return text[:place]


def _cut_before(text: str) -> str:
    place = next((at + len(sign) for sign in _BREAKS if 0 <= (at := text.find(sign)) < len(text) // 2), 0)
    return text[place:]
