"""Answers that only bound a number: "at least 5" and "\\ge 5" are no 5, which is all that math-verify reads of them."""

from __future__ import annotations

import re

_RELATIONS = {
    ">": r"(?:more|greater|larger|higher)\s+than|over|above|exceeding",
    "<": r"(?:less|fewer|smaller|lower)\s+than|under|below|almost|nearly",
    r"\ge": r"at\s+least|(?:no|not)\s+(?:less|fewer|smaller)\s+than|(?:a\s+)?minimum\s+of",
    r"\le": r"at\s+most|up\s+to|(?:no|not)\s+(?:more|greater|larger)\s+than|(?:a\s+)?maximum\s+of",
    r"\ne": r"(?:any(?:thing)?\s+|all\s+)?(?:but|except)|other\s+than|(?<!\bis\s)not|close\s+to",
}
_BOUNDS = "|".join(f"({words})" for words in _RELATIONS.values())
#: A number as text or LaTeX, up to where an answer or what it counts ends.
_NUMBER = r"(?:\\?\$|-)*(?:\d[\d,]*(?:\.\d+)?(?:/\d+)?|\.\d+|\d*\\[A-Za-z]+(?:\{[^{}]*\})+)(?:\\?\$)?"
_COUNTED = r"(?:\s*\\?%)?(?:\s+[A-Za-z]+){0,2}\s*[.!]?\s*\Z"
_START = r"(?:\A|(?<=\banswer\sis)|(?<=\banswer:))[\s*]*(?:\\text\s*\{)?\s*"
#: "At least 5", "the answer is at least 5 boxes", "\\text{at most }5".
_BEFORE = re.compile(rf"{_START}(?:{_BOUNDS})(?:\s*\}})?\s*({_NUMBER}){_COUNTED}", re.IGNORECASE)
#: "5 or more", "5 boxes or fewer", "5+"
_BEHIND = re.compile(
    rf"{_START}({_NUMBER})(?:\+|(?:\s+[a-z]+)?,?\s*(?:\\text\s*\{{)?\s+(?:or|and)\s+(?:(more|greater|above|over|higher|up)"
    rf"|(?:less|fewer|lower|below|under))\}}?)(?![\d(]){_COUNTED}",
    re.IGNORECASE,
)
#: "\\ge 5", ">5"; but "> 5" is Markdown's way to quote.
_WITHOUT_VARIABLE = re.compile(
    r"((?:\A|\banswer\sis|\banswer:)\s*(?!\A>\s)\$?)\s*(?=(?:[<>]|\\(?:leq?|geq?|lt|gt|neq?)(?:slant)?(?![A-Za-z]))[^<>]*\Z)",
    re.IGNORECASE,
)


def as_inequality(text: str) -> str:
    """An answer that is a bound, as the comparison with a variable that it is; any other as it stands."""
    before = _BEFORE.search(text)
    if before is not None:
        *bounds, number = before.groups()
        relation = next(sign for sign, said in zip(_RELATIONS, bounds, strict=True) if said is not None)
        return f"x {relation} {number.replace('$', '')}"
    behind = _BEHIND.search(text)
    if behind is not None:
        relation = r"\ge" if behind[2] is not None or "+" in behind[0] else r"\le"
        return f"x {relation} {behind[1].replace('$', '')}"
    return _WITHOUT_VARIABLE.sub(r"\1x ", text)
