"""Answers as models write them, in the LaTeX that math-verify reads: it passes over the rest, and takes 3 for 3√13."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from .inequalities import as_inequality

_COMMANDS = {
    "∞": r"\infty ",
    "\u222a": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
    "≈": r"\approx ",
    "π": r"\pi ",
    "±": r"\pm ",
    "∈": r"\in ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "\u2a7d": r"\le ",
    "\u2a7e": r"\ge ",
    "≠": r"\ne ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "\u2044": "/",
    "\u2212": "-",
    "。": ".",
    "\uff1a": ": ",
    "\uff0c": ", ",
    "~": " ",
    "\u00d7": r"\times ",
    # What Arabic and Persian write for the decimal point and between thousands.
    "\u066b": ".",
    "\u066c": ",",
}
_SIGNS = str.maketrans(_COMMANDS)
#: Letters and digits of other widths and faces.
_OTHER_FACE = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]+")
#: Digits of other scripts, as of Arabic or Hindi.
_OTHER_DIGITS = re.compile(r"(?![0-9])\d")
#: What is not seen, and quotation marks.
_INVISIBLE = re.compile("[\u200b-\u200d\u2060\ufeff“”]")
#: How something looks, and no part of it.
_FACE = re.compile(
    r"\\(?:(?:displaystyle|textstyle|scriptstyle|tiny|small|normalsize|[Bb]igg?[lr]?|[Ll]arge|LARGE|[Hh]uge)(?![A-Za-z])"
    r"|(?:mathbf|boldsymbol|bm|underline)(?=\s*\{[\d\\])|(?:text)?color\s*\{[A-Za-z]*\}|h?phantom\s*\{[^{}]*\})"
)
#: An en dash that stands before a number and behind none.
_DASH_AS_SIGN = re.compile(r"(?<![\w)}\]] )(?<![\w)}\]])\u2013(?=\s?[\d.\\(a-z])")
#: Behind a number these are units, as in "9.8 m·s⁻²", and no variables.
_UNITS = ("m", "cm", "mm", "km", "in", "ft", "yd", "s", "kg", "N", "units")
_NO_UNIT = "".join(rf"(?<![\d\s/·]{unit})" for unit in _UNITS)
_SUPERSCRIPTS = re.compile(rf"{_NO_UNIT}[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_SUBSCRIPTS = re.compile(r"[₀₁₂₃₄₅₆₇₈₉₊₋₍₎]+(?![A-Za-z])")
_DOT = re.compile(rf"{_NO_UNIT}[·⋅]")
_FRACTION = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+\u2044[₀₁₂₃₄₅₆₇₈₉]+|[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
#: Braces, brackets, or what stands next to the sign: a number, or a letter.
_ROOT = re.compile(r"([√∛]|(?<![A-Za-z\\])(?:sqrt|cbrt))\s*(?:\{([^{}]*)\}|\(([^()]*)\)|(\d+(?:\.\d+)?|\\?[A-Za-z]+))")
#: "\\sqrt13" is the root of 13: LaTeX would take that of 1.
_BARE_RADICAND = re.compile(r"(\\sqrt(?:\[\d\](?=\s*\d))?)\s*(\d{2,}|(?<=\])\d)")
#: "0.1\\overline{6}": math-verify leaves out what repeats.
_REPEATING = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+|\d*)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))")
#: "0.1666...", where it was written at least three times.
_REPEATED = re.compile(
    r"(?<![\d.,])(\d{1,3}(?:,\d{3})+|\d*)\.(\d{0,9}?)(\d{1,6}?)\3{2,}(?:\.{3}|…|\\l?dots(?![A-Za-z]))"
)
#: "\\frac{100}{3}\\%", "33 1/3%": behind a fraction math-verify reads no percent sign.
_FRACTION_OF_PERCENT = re.compile(
    r"(?<![\d}./])(?:(\d+)\s*)?(?:\\[dt]?frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))|(?<!\d)(\d+)/(\d+))"
    r"(?:\s*\\?%|\s+percent\b)"
)
#: "(2)(4)", "2(4)(3)": math-verify would add them, as the parts of a mixed number.
_FACTORS = re.compile(r"(?<![\w.^_{}\\])(?:\d+(?:\.\d+)?)?(?:\(-?\d+(?:\.\d+)?\))+")
_BETWEEN_FACTORS = re.compile(r"(?<=[\d)])(?=\()")
_UPRIGHT_LETTER = re.compile(r"\\(?:mathrm|text)\s*\{\s*([ei])\s*\}")
_INFINITY = re.compile(r"(?<![A-Za-z\\])infinity(?![A-Za-z])", re.IGNORECASE)
#: "minus 1/2", where nothing is taken from anything.
_SIGN_IN_WORDS = re.compile(r"(\A\s*|\b(?:is|be)\s+|[=:]\s*)(?:minus|negative)\s+(?=\$?[\d.\\])", re.IGNORECASE)
#: "5^{th}"
_ORDINAL_EXPONENT = re.compile(r"(?<=\d)\^\{?(?:st|nd|rd|th)(?![a-z])\}?")
#: "2:00 PM", "2 o'clock"
_FULL_HOUR = re.compile(r"(?<=\d):00(?=\s*[ap]\.?m)|(?<=\d)\s*o['\u2019]clock", re.IGNORECASE)
#: "P(3, -2)"
_NAME_OF_POINT = re.compile(r"\A\$?\s*[A-Z](?=\s*\([^()]*,[^()]*\)\$?\Z)")
#: "\\{x : 2 < x \\le 5\\}"
_SET_BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])(?:\s*\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid(?![A-Za-z])|[:|])([^{}]*?)\\\}"
)
#: "1, 2, \\ldots, 42" is no 42, which is all that math-verify reads of it.
_LEFT_OUT = re.compile(r"(?<=,)\s*(?:\\[lc]?dots(?![A-Za-z])|\.{3}|…)(?=\s*(?:,|\\?[\])}$]|\Z))")
#: "2:3:5": math-verify would divide twice.
_RATIO_OF_THREE = re.compile(r"(?<![\d:.])(\d+)\s*:\s*(\d+)\s*:\s*(\d+)(?![\d:])")
#: "3-5" with an en dash, where nothing is calculated: nobody writes a minus so.
_DASH_OF_RANGE = re.compile(r"(?<![\w.^+*/=({\-])(\d+(?:\.\d+)?)\u2013(\d+(?:\.\d+)?)(?!\s?[-+*/^=\d.]\s?[\w\\({])")
_DASH_BETWEEN = re.compile(r"(?<=\d)\u2013(?=\d)")
#: "3 - 5 hours" with an en dash, where that is all.
_SPACED_RANGE = re.compile(r"\A(\s*\d[\d.]*)\s\u2013\s(?=\d[\d.]*(?:\s+[a-z]+)?\s*\Z)")
#: In a text without words, "x - 5" with one is a difference.
_SPACED_DASH = re.compile(r"(?<=[\w)}])\s?\u2013\s?(?=[\w\\({])")
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
#: "between 3 and 5", where that is all.
_RANGE = re.compile(
    r"\A\s*(?:between|from)\s+(\$?\d[\d.,]*)\s+(?:and|to)\s+(\$?\d[\d.,]*)(?:\s+[a-z]+)?\.?\s*\Z", re.IGNORECASE
)
#: "half of 42" and "42 squared" at the end are no 42.
_OPERATIONS = [
    (
        re.compile(
            rf"(?<![\w.,/]){before}\$?(\d[\d,]*(?:\.\d+)?){behind}(?=(?:\s+[a-z]+)?\s*[.!]?\s*\Z)",
            re.IGNORECASE,
        ),
        latex,
    )
    for before, behind, latex in (
        (r"(?:the\s+)?square\s+root\s+of\s+", "", r"\\sqrt{\1}"),
        (r"(?:the\s+)?cube\s+root\s+of\s+", "", r"\\sqrt[3]{\1}"),
        (r"(?:(?:one|a)\s+)?half\s+of\s+(?:the\s+)?", "", r"\1/2"),
        (r"(?:one|a)\s+third\s+of\s+(?:the\s+)?", "", r"\1/3"),
        (r"(?:one|a)\s+quarter\s+of\s+(?:the\s+)?", "", r"\1/4"),
        (r"(?:twice|double)\s+(?:the\s+)?", "", r"2 \\cdot \1"),
        ("", r"\s+squared", r"\1^2"),
        ("", r"\s+cubed", r"\1^3"),
        ("", r"\s+divided\s+by\s+(\d+)", r"\1/\2"),
    )
]
_DOLLARS_AND_CENTS = re.compile(r"(?<![\d.])\$?(\d[\d,]*)(?:\s+dollars?)?\s+and\s+(\d{1,2})\s+cents?(?![A-Za-z])")
_HOURS = re.compile(r"(?<![\d./,])(\d{1,4})\s*(?:hours?|hrs?|h),?\s+(?:and\s+)?(\d{1,2})\s*min(?:ute)?s?(?![A-Za-z])")
#: "(1101)_2"
_BRACKETED_IN_BASE = re.compile(r"\((\d+)\)(?=_)")
_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])(sin|cos|tan|cot|sec|csc|ln|log)(?=\s*[(^\d]|\s+[b-z](?![A-Za-z]))(?:\s+(?=[a-z]))?"
)
_POWER = re.compile(r"(?<=[\w)])\s?\*\*\s?(?=[\w(-])")
_NEGATIVE_EXPONENT = re.compile(r"\^\s*(-\d+)")
_TIMES = re.compile(r"(?<=\d)\s*[x*]\s*(?=10\s*\^)")
_UNION = re.compile(r"(?<=[)\]])\s*U\s*(?=[(\[])")
#: Behind a number, and no product of letters.
_AREA = re.compile(
    r"(?<=[\d\s}π)])[\s\\]*(?P<upright>\\(?:mathrm|text)\s*\{\s*)?(?:cm|mm|km|m(?<=\{m)|ft|yd|units?|inches|feet|meters|metres)"
    r"(?:[²³]|\^\{?[23]\}?)(?(upright)\s*\}|(?![\w^]))"
)
#: Scripts whose words stand next to a number.
_OTHER_SCRIPT = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f"
_NUMBER_BEHIND_WORD = re.compile(rf"(?:(?<=[{_OTHER_SCRIPT}])|(?<=[^\d\s]:))(?=[-\d\\$])")
#: "3 to 2" alone, or as what a ratio is; "from 3 to 5" is none.
_RATIO = re.compile(
    r"(^\s*|\bratio(?:\s[^.\d$]{1,80}?)?(?:\s(?:is|was|be)|:)\s+)(\d+)\s+to\s+(\d+)(?=\s*\.?\s*$|[.,;]\s)",
    re.IGNORECASE,
)
_VECTOR = re.compile(r"(?:\\left\s*)?\\langle(?![A-Za-z])([^<>]*?)(?:\\right\s*)?\\rangle(?![A-Za-z])")
_TRANSPOSED = re.compile(r"([(\[][^()\[\]]*,[^()\[\]]*[)\]])\s*\^\s*(?:T|\\top|\{\s*(?:T|\\top)\s*\})(?![A-Za-z])")
_TAG = re.compile(r"</?answer>")
#: Markdown's, and no stars of `2**3` or `(x^*, y^*)`.
_EMPHASIS = re.compile(r"(?<![\w*^{\\])(\*\*|__|[*`])(?=[^\s*])([^*`\n]{0,200}[^\s*`])\1(?![\w*])")
_TEXT_WITH_NUMBER = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf)\s*\{([^{}]*\d[^{}]*)\}")
_TEMPERATURE = re.compile(r"(?<=\d)\s?°[CF](?![A-Za-z])")
_DEGREES = re.compile(r"(?<=[\d)}])\s?[°º]")
#: The height of a row in a matrix.
_ROW_SPACING = re.compile(r"\\\\\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm)\]")
_CURRENCY = re.compile(
    r"(?<![A-Za-z])(?:USD|EUR|GBP)\s*(?=\d)|(?<![A-Za-z])US(?=\\?\$)|[£¥\u20a0-\u20bf](?=\s?[\d.])|(?<=-)\\?\$(?=\d[\d,.]*(?![\d,.$]))"
)
_ESCAPED_DOLLAR = re.compile(r"\\\$(?=\s?[\d.])")
_HAS_DELIMITER = re.compile(r"(?<!\\)\$|\\[(\[]")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,/])\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?![\d/]|[.,]\d)")
_THOUSANDS_IN_BRACES = re.compile(r"(?<!\\)(?<=\{)\d{1,3}(?:(?:,|\{,\})\d{3})+(?=\})")
#: "20,000/π" and "200,000 - 130,000 = 70,000" are no lists.
_THOUSANDS_IN_CALCULATION = re.compile(
    r"(?<![\w.,(\[{])\d{1,3}(?:,\d{3})+(?![\d,])(?=\s*(?:[-+*/=]|\\(?:pi|times|cdot)(?![A-Za-z])))"
    r"|(?:(?<=[-+*/=])|(?<=[-+*/=]\s)|(?<=[-+*/=]\s\$))\d{1,3}(?:,\d{3})+(?![\d,)\]])"
)
_THOUSANDS = r"\d{1,3}(?:,\d{3})+(?![\d,]*\d)"
#: "1,000, 2,000" and "1,000 and 2,000" are lists of two numbers.
_LIST_OF_THOUSANDS = re.compile(rf"(?<![\w.,(\[{{]){_THOUSANDS}(?:(?:,\s+|,?\s+(?:and|or)\s+){_THOUSANDS})+")
#: "\\[ 15\\text{ cm}^2 \\]": behind a space math-verify takes the unit for a factor.
_SPACE_BEFORE_END = re.compile(r"(?<=\})(\^\{?\d\}?)?\s+(?=\$|\\[\])])")
#: "$x = 5.$", "\\[5,\\]": punctuation of the sentence.
_PUNCTUATION_IN_DELIMITERS = re.compile(r"(?<=[\w)}\]!%])\s*([.,;])\s*(\$\$?(?=[\s.)]|$)|\\[\])])")
_PUNCTUATION_BEFORE_END = re.compile(r"[.,;]\s*(?=\\end\s*\{)")
_FULL_STOP = re.compile(r"(?<=[\w)}\]$%])(?:\s*\\[,;:! ])*\s*(?:[.,;]|\\\\)\s*$")

_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALE = "|".join(_SCALES)
_SCALE_AS_TEXT = re.compile(rf"\\(?:text|mbox|mathrm)\s*\{{\s*({_SCALE})\b")
_NUMBER = r"(?<![\d./,])(\d[\d,]*(?:\.\d+)?|\.\d+)[\s\\,;-]*"
_SCALED = re.compile(rf"{_NUMBER}({_SCALE})(?![A-Za-z])", re.IGNORECASE)
#: Nobody asks for a number of hundreds, as for one of dozens or millions.
_HUNDREDS = re.compile(rf"{_NUMBER}(hundred)(?![A-Za-z])", re.IGNORECASE)

_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_BASES |= {"eleven": 11, "twelve": 12, "sixteen": 16}
_BASE = rf"(?P<base>\d+|{'|'.join(sorted(_BASES, key=len, reverse=True))})(?![A-Za-z])"
#: "52 (base 8)", "52 in base eight", "52\text{ base }8".
_IN_BASE = re.compile(
    rf"(?<=\d)[\s\\]*(?:\\text\s*\{{\s*)?\(?(?:in\s+)?base[\s}}-]*(?:\\text\s*\{{\s*)?{_BASE}\}}?\)?\}}?", re.IGNORECASE
)
#: "52_{\text{eight}}", "52_{(8)}".
_BASE_AS_SUBSCRIPT = re.compile(rf"(?<=\d)_\s*\{{?\s*(?:\\(?:text|mathrm|rm)\s*\{{)?\(?{_BASE}\)?\}}{{0,2}}")


def in_latex(text: str) -> str:
    """Signs of Unicode as commands; numbers without what only says how they look."""
    # A model that repeats itself writes a hundred thousand spaces or empty lines: they are looked at once.
    text = re.sub(r"\n\s+\n", "\n\n", re.sub(r"[ \t]{2,}", " ", _INVISIBLE.sub("", text)))
    # Between two of them math-verify would see a formula.
    text = _ESCAPED_DOLLAR.sub("" if _HAS_DELIMITER.search(text) else "$", text)
    text = _FACE.sub(" ", _OTHER_FACE.sub(lambda found: _plain(found[0]), _western(text))).replace(r"\colon", ":")
    text = _POWER.sub("^", _EMPHASIS.sub(r"\2", _TAG.sub(" ", text).strip()))
    text = _AREA.sub("", text)
    text = _FRACTION.sub(_fraction, text)
    text = _SUPERSCRIPTS.sub(lambda found: f"^{_argument(found[0])}", text)
    text = _SUBSCRIPTS.sub(lambda found: f"_{_argument(found[0])}", text)
    text = _BARE_RADICAND.sub(r"\1{\2}", _ROOT.sub(_root, text))
    text = _FRACTION_OF_PERCENT.sub(_percent, _REPEATED.sub(_repeating, _REPEATING.sub(_repeating, text)))
    text = _FACTORS.sub(lambda found: _BETWEEN_FACTORS.sub(r"\\cdot ", found[0]), text)
    text = _LEFT_OUT.sub(r" \\omega", text).replace(r"\varnothing", r"\emptyset ")
    text = _FUNCTION.sub(r"\\\1 ", text)
    text = _INFINITY.sub(r"\\infty ", _UPRIGHT_LETTER.sub(r" \1", text))
    text = _SIGN_IN_WORDS.sub(r"\1-", _ORDINAL_EXPONENT.sub("", text))
    text = _NAME_OF_POINT.sub("", _SET_BUILDER.sub(r"\2", _BRACKETED_IN_BASE.sub(r"\1", text)))
    text = _DOT.sub(r"\\cdot ", text)
    text = _DEGREES.sub("", _TEMPERATURE.sub("", text))
    text = _UNION.sub(r"\\cup ", _DASH_AS_SIGN.sub("-", text).translate(_SIGNS))
    text = _NEGATIVE_EXPONENT.sub(r"^{\1}", _TIMES.sub(r" \\times ", text))
    text = _NUMBER_BEHIND_WORD.sub(" ", text)
    text = _TEXT_WITH_NUMBER.sub(r"\1", _ROW_SPACING.sub(r"\\\\", text))
    text = _SPACE_BEFORE_END.sub(r"\1", _CURRENCY.sub("", text))
    text = _LIST_OF_THOUSANDS.sub(lambda found: re.sub(r",(?=\d)", "", found[0]), text)
    text = _TRANSPOSED.sub(
        r"\1", _VECTOR.sub(r"(\1)", _RATIO_OF_THREE.sub(r"(\1, \2, \3)", _RATIO.sub(r"\1\2:\3", text)))
    )
    for pattern, latex in _OPERATIONS:
        text = pattern.sub(latex, text)
    for thousands in (_SPACED_THOUSANDS, _THOUSANDS_IN_BRACES, _THOUSANDS_IN_CALCULATION):
        text = thousands.sub(_digits, text)
    text = _BASE_AS_SUBSCRIPT.sub(_base, _IN_BASE.sub(_base, text))
    text = _DOLLARS_AND_CENTS.sub(lambda found: f"{found[1]}.{int(found[2]):02}", text)
    text = as_inequality(_HUNDREDS.sub(_scaled, text))
    text = _RANGE.sub(r"\1, \2", text)
    text = _DASH_BETWEEN.sub("-", _DASH_OF_RANGE.sub(r"[\1, \2]", _SPACED_RANGE.sub("\\1\u2013", text)))
    text = text if _WORD.search(text) else _SPACED_DASH.sub("-", text)
    text = _HOURS.sub(lambda found: f"{60 * int(found[1]) + int(found[2])} minutes", text)
    text = _PUNCTUATION_BEFORE_END.sub("", _PUNCTUATION_IN_DELIMITERS.sub(r"\2\1", text))
    return _FULL_STOP.sub("", text)


def without_minutes(text: str) -> str:
    """The hour of a time that has no minutes."""
    return _FULL_HOUR.sub("", text)


def with_scales(text: str) -> str:
    """5000000 for "5 million", 36 for "3 dozen"."""
    return _SCALED.sub(_scaled, _SCALE_AS_TEXT.sub(r" \1\\text{", text))


def _scaled(found: re.Match[str]) -> str:
    return f"{Decimal(found[1].replace(',', '')) * _SCALES[found[2].lower()]:f}"


def _digits(found: re.Match[str]) -> str:
    return re.sub(r"\D", "", found[0])


def _base(found: re.Match[str]) -> str:
    return f"_{{{_BASES.get(found['base'].lower(), found['base'])}}}"


def _fraction(found: re.Match[str]) -> str:
    numerator, denominator = _plain(found[0]).split("\u2044")
    return rf"\frac{{{numerator}}}{{{denominator}}}"


def _percent(found: re.Match[str]) -> str:
    whole = int(found[1] or 0)
    numerator, denominator = (int(part) for part in found.groups()[1:] if part is not None)
    return rf"\frac{{{whole * denominator + numerator}\%}}{{{denominator}}}"


def _repeating(found: re.Match[str]) -> str:
    whole, once, repeated = found[1].replace(",", "") or "0", found[2], found[found.lastindex or 3]
    numerator = int(whole + once + repeated) - int(whole + once)
    return rf"\frac{{{numerator}}}{{{'9' * len(repeated)}{'0' * len(once)}}}"


def _root(found: re.Match[str]) -> str:
    degree = "[3]" if found[1] in ("∛", "cbrt") else ""
    radicand = next(part for part in found.groups()[1:] if part is not None)
    return rf"\sqrt{degree}{{{radicand}}}"


def _western(text: str) -> str:
    return _OTHER_DIGITS.sub(lambda found: str(unicodedata.digit(found[0])), text)


def _argument(text: str) -> str:
    plain = _plain(text)
    return plain if len(plain) == 1 else f"{{{plain}}}"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("\u2212", "-")


def is_in_other_script(text: str) -> bool:
    """Whether words of a script are in it whose letters are no variables."""
    return re.search(f"[{_OTHER_SCRIPT}\u0400-\u04ff]", text) is not None


def base_of(text: str) -> str | None:
    """The base of the last number that names one, like 8 of `52_{8}`."""
    bases = re.findall(r"\d_\{?(\d+)\}?(?!\w)", text)
    return bases[-1] if bases else None
