"""Answers that are words, or the letter of a choice, in what a sentence says."""

from __future__ import annotations

import re

_TYPESETTING = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*(?=\{)|[{}$]")
_ARTICLE = re.compile(r"^(?:(?:an?|the|due|on|in|at)\s+)+")
_WORDS = r"([A-Za-z](?:[A-Za-z'-]| (?=[A-Za-z])){0,80})(?=\s?(?:[.,;:!(\n]|$))"
_ANSWER = re.compile(rf"\banswer(?:\s+is\s*:?|\s*:)\s+{_WORDS}", re.IGNORECASE)
#: "The function is even.", "It is an ellipse.", "There are no solutions."
_SAID = re.compile(rf"\b(?:is|are|was|were|be|falls|it's|ha(?:s|ve)(?=\s+no\b))\s+{_WORDS}", re.IGNORECASE)
#: "Evelyn has the greatest speed."
_SUBJECT = re.compile(r"([A-Za-z' -]{1,80}?)\s(?:has|had|is|was)\sthe\s[^.]*\.?$", re.IGNORECASE)
#: "Saturday, since 9 + 5 = 14."
_EXPLAINED = re.compile(r"([A-Za-z][A-Za-z' -]{0,80}?),?\s+(?:since|because)\s")

_LETTER = r"\(?([A-Z])\)?(?![\w'])"
#: "B", "(B)", "B, not C"
_ONLY_LETTER = re.compile(rf"(?:A:|[Oo]ption|[Cc]hoice)?\s*{_LETTER}(?:[.:]?|(?:,\s|\s\()not\s.*)")
#: "(A) 5", "A. 5", but not "(A) and (B)", "(A) is wrong" or the first line of a list of letters.
_LETTER_WITH_TEXT = re.compile(
    r"\(?([A-Z])(?:\)|[.:](?=\s))[\s\\~]+(?!.*\([A-Z]\)|(?s:.*)\n\(?[A-Z][).:]|[A-Z]\Z)"
    r"(?!(?:and|or|is|was|are|does|would|can|could|cannot|seems)\b)\S"
)
_ANSWER_LETTER = re.compile(
    rf"\b(?:(?:answer|choice|option)(?:\s+is\s*:?|\s*:)|(?-i:I)\s+(?:choose|pick|select)|it\s+must\s+be)\s*(?:(?:option|choice)\s+)?(?-i:{_LETTER})",
    re.I,
)
_JUDGED_LETTER = re.compile(
    r"(?:\A|[.!?,;\n]\s*|\b(?:[Ss]o|[Tt]hus|[Hh]ence|[Tt]herefore|[Oo]nly)\s+)(?:[Oo]ption\s+|[Cc]hoice\s+)?"
    r"\(?([A-Z])\)?\s+is\s+(?:the\s+)?(?:right|correct)\b"
)
_CHOICE = re.compile(r"\(?([A-Z])\)?|(yes|no|true|false)", re.IGNORECASE)
_YES_OR_NO = r"(yes|no|true|false)(?=\s*(?:[.,;:!\n]|$)|\s+(?:because|since|as)\b)"
_ANSWER_YES_OR_NO = re.compile(rf"(?:\A|\banswer(?:\s+is\s*:?|\s*:)\s*){_YES_OR_NO}", re.IGNORECASE)


def says_words(sentence: str, words: str) -> bool:
    """Whether a sentence says that these are the answer; what it calls the answer counts before all else."""
    plain = _TYPESETTING.sub("", sentence).strip()
    explained = _EXPLAINED.match(plain)
    plain = plain if explained is None else explained[1]
    said = _ANSWER.findall(plain) or _SAID.findall(plain) or _SUBJECT.findall(plain) or [plain.rstrip(".")]
    return _bare(said[-1]) == _bare(words)


def gold_choice(gold: str) -> str | None:
    """C of a gold answer such as `\\text{(C)}`, yes of "Yes"."""
    found = _CHOICE.fullmatch(_TYPESETTING.sub("", gold).strip())
    return None if found is None or (found[1] or "").islower() else found[1] or found[2].lower()


def chosen_of(answer: str, choice: str) -> str | None:
    """The letter that an answer is, or calls its answer; where the gold answer is yes or no, which of them."""
    plain = _TYPESETTING.sub("", answer).strip()
    if len(choice) > 1:
        *_, said = [None, *_ANSWER_YES_OR_NO.finditer(plain)]
        return None if said is None else said[1].lower()
    alone = _ONLY_LETTER.fullmatch(plain)
    if alone is not None:
        return alone[1]
    stated = _ANSWER_LETTER.findall(plain) or _JUDGED_LETTER.findall(plain)
    with_text = _LETTER_WITH_TEXT.match(plain)
    return stated[-1] if stated else with_text and with_text[1]


def _bare(words: str) -> str:
    return _ARTICLE.sub("", " ".join(words.casefold().split())).removesuffix("s")
