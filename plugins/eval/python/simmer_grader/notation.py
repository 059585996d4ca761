"""Answers as models write them, in the LaTeX that math-verify reads: it passes over the rest, and takes 3 for 3√13."""

from __future__ import annotations

import re
import unicodedata

_COMMANDS = {
    "∞": r"\infty ",
    "\u222a": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
    "≈": r"\approx ",
}
_SIGNS = str.maketrans(_COMMANDS)
#: An en dash that stands before a number and behind none.
_DASH_AS_SIGN = re.compile(r"(?<![\w)}\]] )(?<![\w)}\]])\u2013(?=\s?[\d.\\(a-z])")
#: Behind a number these are units, as in "9.8 m·s⁻²", and no variables.
_NO_UNIT = "".join(rf"(?<![\d\s/·]{unit})" for unit in ("m", "cm", "mm", "km", "in", "ft", "yd", "s", "kg", "N"))
_SUPERSCRIPTS = re.compile(rf"{_NO_UNIT}[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_SUBSCRIPTS = re.compile(r"[₀₁₂₃₄₅₆₇₈₉₊₋₍₎]+(?![A-Za-z])")
_DOT = re.compile(rf"{_NO_UNIT}[·⋅]")
_FRACTION = re.compile(r"[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
#: Braces, brackets, or what stands next to the sign: a number, or a letter.
_ROOT = re.compile(r"([√∛])\s*(?:\{([^{}]*)\}|\(([^()]*)\)|(\d+(?:\.\d+)?|\\?[A-Za-z]+))")

#: A letter of mathematics has an operator beside it, or a number before it; one that has not is a word.
_OPERATOR = r"[-+*/^_=<>]|\\(?:in|leq?|geq?|neq?|cdot|times)(?![A-Za-z])"
_LETTER = (
    rf"(?<![A-Za-z])[A-Za-z](?=\s*(?:{_OPERATOR}))"
    r"|(?<=[\d)}])[A-Za-z](?![A-Za-z])|(?<=[-+*/^_=<>(]) ?[A-Za-z](?![A-Za-z])"
)
_COMMAND = r"\\(?!text|mathrm|mbox)[A-Za-z]+(?:\s*\{(?:[^{}]|\{[^{}]*\})*\})*|\\[{}\\]"
_EXPRESSION = re.compile(rf"(?:{_COMMAND}|{_LETTER}|[-\d.,+*/^_(){{}}\[\]=<>|!& ])+")
#: "25 m^2", "60 m/s" and "5A" of a sentence: units, and no variables.
_UNITS = re.compile(
    r"(?:(?<=[\d}])\s+[msgNJVA](?:/[A-Za-z]+)?(?:\^\{?-?\d\}?)?|(?<=\d)[NVA])(?![\w^/])(?!\s*[-+*=<>(])"
)
#: How a number came about, behind it, as in "9 (3^2)": no factor.
_REMARK = re.compile(r"(?<=\d)\s+\((?=[^()]*\d\s*[-+*/^])[^()A-Za-z\\,]*\)(?!\s*[-+*/^=<>])")
_STATED = re.compile(r"\banswer(?:\s+is\s*:?|\s*:)[\s*]*$", re.IGNORECASE)
_IS_MATHEMATICS = re.compile(r"\d|\\[A-Za-z{]")
#: More than one number: LaTeX, a variable, brackets, a list.
_IS_EXPRESSION = re.compile(r"[\\^A-Za-z(\[]|\d,(?:\s|-)\s*[-\d]")


def in_latex(text: str) -> str:
    """Signs of Unicode as commands."""
    text = _FRACTION.sub(_fraction, text)
    text = _SUPERSCRIPTS.sub(lambda found: f"^{_argument(found[0])}", text)
    text = _SUBSCRIPTS.sub(lambda found: f"_{_argument(found[0])}", text)
    text = _ROOT.sub(_root, text)
    text = _DOT.sub(r"\\cdot ", text)
    return _DASH_AS_SIGN.sub("-", text).translate(_SIGNS)


def delimit_expressions(sentence: str) -> str:
    """
    A sentence with what it says the answer is, or else its last expression, between dollar signs, where that is more
    than a number: of "it is 3\\sqrt{13}" only the 3 would be read.
    """
    sentence = _REMARK.sub("", _UNITS.sub("", sentence.replace(r"\$", "").replace(r"\!", "")))
    expressions = [found for found in _EXPRESSION.finditer(sentence) if _IS_MATHEMATICS.search(found[0])]
    stated = [found for found in expressions if _STATED.search(sentence[max(0, found.start() - 20) : found.start()])]
    chosen = next(reversed(stated or expressions), None)
    inner = "" if chosen is None else chosen[0].lstrip(" ,.=*").rstrip(" ,.=(*")
    if chosen is None or not _IS_EXPRESSION.search(inner):
        return sentence
    start = chosen.start() + chosen[0].index(inner)
    # What follows explains it.
    rest = "" if stated else sentence[start + len(inner) :]
    return f"{sentence[:start]}${inner}${rest}"


def _fraction(found: re.Match[str]) -> str:
    numerator, denominator = _plain(found[0]).split("\u2044")
    return rf"\frac{{{numerator}}}{{{denominator}}}"


def _root(found: re.Match[str]) -> str:
    degree = "[3]" if found[1] == "∛" else ""
    radicand = next(part for part in found.groups()[1:] if part is not None)
    return rf"\sqrt{degree}{{{radicand}}}"


def _argument(text: str) -> str:
    plain = _plain(text)
    return plain if len(plain) == 1 else f"{{{plain}}}"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("\u2212", "-")
