"""What a sentence says the answer is, where math-verify would take the last number that it finds."""

from __future__ import annotations

import re

#: A letter of mathematics has an operator beside it, or a number before it; one that has not is a word.
_OPERATOR = r"[-+*/^_=<>]|\\(?:in|leq?|geq?|neq?|cdot|times)(?![A-Za-z])"
_LETTER = (
    rf"(?<![A-Za-z])[A-Za-z](?=\s*(?:{_OPERATOR}))"
    r"|(?<=[\d)}])[A-Za-z](?![A-Za-z])|(?<=[-+*/^_=<>(]) ?[A-Za-z](?![A-Za-z])"
)
_COMMAND = (
    r"\\(?:sin|cos|tan|cot|sec|csc|ln|log)\s+[a-z](?![A-Za-z])"
    r"|\\(?!text|mathrm|mbox)[A-Za-z]+(?:\s*\{(?:[^{}]|\{[^{}]*\})*\})*|\\[{}\\]"
)
_EXPRESSION = re.compile(rf"(?:{_COMMAND}|{_LETTER}|[-\d.,+*/^_(){{}}\[\]=<>|!& ]|(?<=\d):(?=\d)(?!\d\d\s*[ap]\.?m))+")
#: "25 m^2", "60 m/s" and "5A" of a sentence: units, and no variables.
_UNITS = re.compile(
    r"(?:(?<=[\d}])\s+[msgNJVA](?:/[A-Za-z]+)?(?:\^\{?-?\d\}?)?|(?<=\d)[NVA])(?![\w^/])(?!\s*[-+*=<>(])"
)
#: How a number came about, behind it, as in "9 (3^2)": no factor.
_REMARK = re.compile(r"(?<=\d)\s+\((?=[^()]*\d\s*[-+*/^])[^()A-Za-z\\,]*\)(?!\s*[-+*/^=<>])")
#: What is said of a number behind it, in words: "3 bolts (2 blue and 1 white)", "42 (= 6 * 7)", "0.34 (34%)".
_ASIDE = re.compile(
    r"\s+\((?!\s*(?:pi|sqrt|log|ln|sin|cos|tan)\b)(?=[^()]*(?:[A-Za-z]{2,}|=|%\)))[^()\\]*\)(?!\s*[-+*/^=<>])"
)
_MODULUS = re.compile(r"(?<=\d)\s*(?:\\pmod\s*\{?\d+\}?|\(\s*\\?mod\s*\d+\s*\))")
_CITATION = re.compile(r"(?<=[\w.)%])(?:\s?\[\d{1,3}(?:,\s*\d{1,3})*\])+(?=[\s.,;:]|$)")
_ORDINAL = re.compile(r"(?<![=\d])(?<!=\s)\b\d+(?:st|nd|rd|th)\b")
#: As text or LaTeX, and no two prices with words between them.
_OTHER_NUMBER = (
    r"(?:\$(?=[^$]*\d)(?:[^$A-Za-z\\\n]|\\[A-Za-z]+|\\[^A-Za-z]|[A-Za-z](?![A-Za-z])){1,60}\$|\\\((?=[^()]*\d)[^()\n]{1,60}\\\)"
    r"|-?\d*\\(?:[dt]?frac\{[^{}]*\}|sqrt)\{[^{}]*\}|(?:\\?\$)?-?\d[\d.,/]*(?<![.,]))"
)
_MORE_THAN = r"(?:more|less|fewer|greater|larger|smaller)\s+than"
#: "not 41", "cannot be 5", "I do not think that it is 41", "41 is wrong", "Is it 41? No.", "rather than 41",
#: "one more than 41", "which is 3 more than 41"; but "no more than 41" is the most.
_DENIED = re.compile(
    rf"(?:\bnot|\bnever|\bneither|\bnor|\bcannot|n['\u2019]t)\s+(?:be\s+|equal\s+(?:to\s+)?|(?:just|only|simply)\s+)?{_OTHER_NUMBER}"
    rf"(?:,?\s+n?or\s+{_OTHER_NUMBER})*"
    r"|(?:(?:\bnot|\bnever|n['\u2019]t)\s+(?:think|believe|agree|say|the\s+case|true|sure|certain|clear)|\bdoubt|\bunlikely)\s+"
    rf"(?:that\s+|if\s+|whether\s+)?(?:it|this|that|the\s+(?:\w+\s+)?answer)(?:\s+is|['\u2019]s|\s+equals)\s+{_OTHER_NUMBER}"
    rf"|{_OTHER_NUMBER}\s+(?:is|was|would\s+be)\s+(?:wrong|incorrect|false|impossible|not\s+(?:right|correct|it|the\s+answer))"
    rf"|{_OTHER_NUMBER}\?\s+No\b"
    rf"|\b(?:which|that)\s+is\s+(?:not?\s+|{_OTHER_NUMBER}\s+){_MORE_THAN}\s+{_OTHER_NUMBER}"
    rf"|\b(?:rather\s+than|instead\s+of|(?<!\bno\s)(?<!\bnot\s)(?<!not\sbe\s)(?<!n['\u2019]t\sbe\s){_MORE_THAN})\s+{_OTHER_NUMBER}",
    re.IGNORECASE,
)
#: "x = 3", "x > 0", "(1, 2)".
_CONDITION = r"\s+(?:\$|\\\()?(?:[A-Za-z]\s*(?:[=<>]|\\[gl]eq?\b)|\()"
#: Begins a clause of which the numbers are given.
_EXPLAINING = re.compile(
    r",?\s+(?:(?P<reason>where|since|because)|when|whenever|if|including"
    r"|(?:after|by)\s+[a-z]+ing"
    rf"|(?:attained|achieved|reached|obtained|occurring)\s+(?:at|by|for|if|when)|(?:as|at|for|with)(?={_CONDITION}))\b"
)
_CONCLUSION = re.compile(
    r"\b(?:so|thus|hence|therefore|then|which|giving|leaving|making|total|answer)\b|,\s(?!\s*[A-Za-z]\s*=|[^()]*\))"
)
#: More than the value of a variable is said.
_RESULT = re.compile(r"(?<![A-Za-z\s])\s*=|[A-Za-z]{2}\s*=|\b(?:is|are|we|gives?|equals?)\b")
#: "$64 for 16 glasses" says what they cost; of "3 boxes for 16 glasses" nobody knows what was asked for.
_PAID_FOR = re.compile(
    r"(?:\$\s?\d[\d,.]*|\d\s+(?:dollars|cents|euros|pounds))(?P<given>\s+for\s+\d[\d,]*\s+[a-z]{2,})(?=\s*[.!]?\s*$)"
)
#: "She traded $5 for 20 quarters."
_DEALT = re.compile(r"\b(?:buy|bought|sell|sold|trad|swap|exchang|chang|convert)", re.IGNORECASE)
_LIMIT = r"below|under|up\s+to|less\s+than|fewer\s+than|greater\s+than|divided\s+by|modulo|mod"
#: What was counted, or for what: "for the 16 glasses", "in all 3 cases", "below 1000", "values of $k$".
_GIVEN = re.compile(
    r"\s+(?:(?:from|for|of|over|in|during|across|among)\s+(?:each\s+of\s+)?(?:the|these|those|all|his|her|their)"
    r"(?:\s+(?:last|first|next|other|given|original))?\s+\d[\d,]*(?=\s+[a-z]{2,}(?!\s+(?:is|are|has|have)\b)|[.,;]|$)"
    r"|(?:(?<=\bof\sthem\s)|(?<=\bof\sthese\s)|(?<=\bof\sthose\s))in\s+\d[\d,]*\s+[a-z]+(?=[.,;]|$)"
    r"|(?:(?<=\d\s)|(?<=\sdays\s)|(?<=\shours\s)|(?<=\sminutes\s)|(?<=\sdollars\s))"
    r"to\s+(?:buy|pay\s+for|walk|run|drive|read)\s+(?:the\s+|all\s+)?\d[\d,]*\s+[a-z]+(?=[.,;]|$)"
    rf"|(?:when\s+)?(?:{_LIMIT})\s+\d[\d,]*(?=\s*(?:[.!;]|$))"
    r"|out\s+of\s+(?:the\s+)?\d[\d,]*(?:\s+[a-z]+)?(?=\s*(?:[.;!]|,(?!\s*or\b)|$))"
    r"|(?:between|from)\s+\d[\d,]*\s+(?:and|to)\s+\d[\d,]*(?=\s*(?:[.!;]|$))"
    r"|(?:of|for|in|over|with)\s+(?:all\s+)?\$\\?[A-Za-z]\w{0,6}(?:\([A-Za-z]\))?\$(?=\s+[a-z]{2,}|[.,;]|$))"
)
#: "3\\sqrt{2}, which is about 4.24"
_APPROXIMATED = re.compile(
    r"(?:,?\s+(?:which|that|this)\s+is|,?\s+or)\s+(?:about|approximately|roughly|\$?\\approx)\s*\$?-?\d[\d,]*(?:\.\d+)?\$?"
)
_IS_EXACT = re.compile(r"\\(?:sqrt|pi)[^.!?\n]*\Z")
#: "25 pages in 5 days", "17 pens with $34", where that is all.
_COUNT = re.compile(
    r"\A\s*(\$?\d[\d,.]*\s+[a-z]+)\s+"
    r"(?:(?:in|over|within|during|from|out\s+of)\s+\d[\d,]*\s+[a-z]+|with\s+\\?\$\d[\d,.]*?)\.?\s*\Z"
)
#: "5 is the distance from (0,0) to (3,4)."
_SUBJECT = re.compile(
    r"(?:So|Thus|Hence|Therefore)?,?\s?([^A-Za-z]{0,40}\d[^A-Za-z]{0,40}?)\s(?:is|was)\s(?:the|how|what)\s"
)
#: "= $12", of numbers.
_CALCULATED = re.compile(r"[\d)%]\s*=\s*\$?-?\d(?:[\d,.]*\d)?%?")
_GOES_ON = re.compile(r"[=:;+*/]|,\s|\b(?:and|or|so|which|then|is|are|leaving|making|giving|total|means)\b|\$[^$]*\$")
_BARE_NUMBER = re.compile(r"(?<=\s)\$?\d[\d,.]*(?=[\s.%]|$)")
_PERCENT = re.compile(r"\s?\\?%|\s+percent")
_SENTENCE_END = re.compile(r"[.!?](?:\s+|$)|\n+")
_STATED = re.compile(r"\banswer(?:\s+(?:is|should\s+be|would\s+be|must\s+be)\s*:?|\s*[:=])[\s*]*$", re.IGNORECASE)
_IS_MATHEMATICS = re.compile(r"\d|\\[A-Za-z{]|(?<![A-Za-z])[A-Za-z]\s*[-+*/^=<>]\s*[A-Za-z](?![A-Za-z])")
#: More than one number: LaTeX, a variable, brackets, a list, a ratio.
_IS_EXPRESSION = re.compile(r"[\\^A-Za-z(\[/:*]|\d,(?:\s|-)\s*[-\d]|\d,\d{1,2}(?!\d)")
_ELEMENT = r"(?:[A-Za-z](?:_\d)?\s*=\s*)?(?:\([^()]*\)|[-\\\d][^\s,;A-Z]*)"
#: "are 3, 5, and 7", "is 3 or 5".
_LIST = re.compile(
    rf"(?:(?:\bare|\bbe|\bis|:)\s+(?:either\s+)?|^\s*either\s+)({_ELEMENT}(?:,\s+{_ELEMENT})*),?\s+(?:and|or)\s+({_ELEMENT}?)(?=\.?\s*$)"
)
_JOINED = re.compile(r"((?:\bare|:)\s+\$[^$=]+\$(?:,\s+\$[^$=]+\$)*),?\s+(?:and|or)\s+(?=\$[^$=]+\$)")
#: "Wait, it is 42.", "No, the answer is C.", "Actually, it's 42.", "wait, no: 42."
_AGAIN = (
    r"(?:no|wait|actually|sorry|hmm|oh|correction|that(?:['\u2019]s|\s+is|\s+was)\s+(?:wrong|incorrect|not\s+right))"
)
_CORRECTION = re.compile(
    rf"(?:[,.;!?\u2026\u2014\n]|\s[-\u2013])\s*{_AGAIN}\b(?:[^\S\n]+{_AGAIN}\b)*[\s,.;:!\u2014]*"
    r"(?:(?:so\s+)?(?:it|that|this|the\s+(?:correct\s+|right\s+|final\s+)?answer)(?:['\u2019]s|\s+is|\s+should\s+be)\s*:?\s*"
    r"(?=[-*$(\[]*(?:\d|\\[a-z(\[]|(?-i:[A-Z])\b(?!['\u2019]|\s+[a-z])))|(?=[-*$(]*(?:\d[\d.,/]*|[A-Z])[)*$]*\s*(?:[.!]|$)))",
    re.IGNORECASE,
)


def corrected(text: str) -> str:
    """Of a reply that takes its answer back, from the last one on that it gives in its place."""
    *_, correction = [None, *_CORRECTION.finditer(text)]
    return text if correction is None else f"The answer is {text[correction.end() :]}"


def delimit_expressions(sentence: str) -> str:
    """
    A sentence with what it says the answer is, or else its last expression, between dollar signs, where that is more
    than a number: of "it is 3\\sqrt{13}" only the 3 would be read.
    """
    sentence = _REMARK.sub("", _UNITS.sub("", sentence.replace(r"\$", "").replace(r"\!", "")))
    expressions = [found for found in _EXPRESSION.finditer(sentence) if _IS_MATHEMATICS.search(found[0])]
    stated = [found for found in expressions if _STATED.search(sentence[max(0, found.start() - 30) : found.start()])]
    chosen = next(reversed(stated or expressions), None)
    inner = "" if chosen is None else chosen[0].lstrip(" ,.=*").rstrip(" ,.=(*/+-:")
    if chosen is None:
        return sentence
    start = chosen.start() + chosen[0].index(inner)
    end = start + len(inner)
    # What follows explains it, but for a percent sign.
    rest = sentence[end:]
    if stated:
        percent = _PERCENT.match(rest)
        rest = "" if percent is None else percent[0]
    if not _IS_EXPRESSION.search(inner):
        return f"{sentence[:end]}{rest}"
    return f"{sentence[:start]}${inner}${rest}"


def without_asides(text: str) -> str:
    """An answer without what is said of it in brackets behind it, in words."""
    return _MODULUS.sub("", _ASIDE.sub(lambda found: "" if _says_a_number(found) else found[0], text))


def without_what_is_given(text: str) -> str:
    """
    Prose without the numbers that are no answer: those that it denies, cites, explains by or counts from. One of them
    stays where nothing stands before it that could be the answer.
    """
    # The words stay: without them, "$x$ cannot be $0$, $x = 5$" would be a list.
    text = _DENIED.sub(lambda found: re.sub(_OTHER_NUMBER, " ", found[0]), text)
    text = _COUNT.sub(r"\1", _without_explanations(text))
    text = _APPROXIMATED.sub(lambda found: "" if _IS_EXACT.search(text, 0, found.start()) else found[0], text)
    for pattern in (_CITATION, _GIVEN, _ORDINAL):
        text = pattern.sub(lambda found: "" if _says_a_number(found) else found[0], text)
    text = _without_what_was_paid_for(text)
    *_, last = [part for part in _SENTENCE_END.split(text) if re.search(r"\d", part)] or [text]
    subject = _SUBJECT.match(last)
    if subject is not None and not _CONCLUSION.search(last, subject.end()):
        return subject[1]
    text = _without_numbers_behind_result(text)
    text = _JOINED.sub(r"\1, ", text)
    return _LIST.sub(lambda found: f"$ {found[1]}, {found[2]} $", text)


def _without_what_was_paid_for(text: str) -> str:
    found = _PAID_FOR.search(text)
    if found is None or _DEALT.search(_SENTENCE_END.split(text[: found.start("given")])[-1]):
        return text
    return text[: found.start("given")] + text[found.end("given") :]


def _without_numbers_behind_result(text: str) -> str:
    """ "60 / 5 = 12 days for 60 pages" without the 60 pages: they were known."""
    *_, found = [None, *_CALCULATED.finditer(text)]
    if found is None or _GOES_ON.search(text, found.end()) or _SENTENCE_END.search(text[:-1], found.end()):
        return text
    return text[: found.end()] + _BARE_NUMBER.sub("", text[found.end() :])


def _without_explanations(text: str) -> str:
    for found in reversed(list(_EXPLAINING.finditer(text))):
        end = _SENTENCE_END.search(text, found.end())
        clause = text[found.end() : len(text) if end is None else end.start()]
        explains = not _CONCLUSION.search(clause) and (found["reason"] or not _RESULT.search(clause))
        if explains and _says_a_number(found):
            text = text[: found.start()] + text[found.end() + len(clause) :]
    return text


def _says_a_number(found: re.Match[str]) -> bool:
    """Whether the sentence says one, and not an ordinal, before what was found."""
    before = _SENTENCE_END.split(found.string[max(0, found.start() - 400) : found.start()])[-1]
    return re.search(r"\d|\\[A-Za-z]|[$]", _ORDINAL.sub("", before)) is not None
