"""One answer against one gold, by math-verify. May hang or use up memory: only a worker calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from math_verify import parse, verify
from sympy import Basic, Eq, MatrixBase, Symbol

from .bounds import without_endless_expressions, without_loops
from .boxes import last_boxed, last_boxes, without_run_on
from .intervals import is_set, solution_sets
from .notation import base_of, in_latex, is_in_other_script, with_scales, without_minutes
from .readings import are_numbers, as_complex, as_number, as_one_number, as_vectors, in_other_units, is_same_time
from .sentences import corrected, delimit_expressions, without_asides, without_what_is_given
from .words import chosen_of, gold_choice, says_words

VerdictName = Literal["RIGHT", "WRONG", "UNPARSED", "TIMED_OUT"]

#: How much of a reading is told; an expression can be as long as the model wished.
_SHOWN_CHARACTERS = 500

#: What math-verify itself finds in a text; anything else is wrapped in $...$ for it.
_DELIMITED = re.compile(r"\$[^$]+\$|\\\(|\\\[|\\boxed")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"(?=.*[A-Za-z]{3})[A-Za-z][A-Za-z\s.'-]*")
#: One of them makes a sentence: "x + 1 = 6, so x = 5", "42, not 41".
_CONJUNCTION = re.compile(r"is|not|so|thus|hence|therefore|then|since|because", re.IGNORECASE)
_PI = re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])")
_PI_COMMAND = r"\\pi "
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)[eE]([+-]?\d+)")
_NUMBER = r"[$€£]?[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?"
#: Words of mathematics: "2 sqrt2" is no number of roots.
_FACTOR = r"(?:pi|sqrt|cbrt|log|ln|exp|sin|cos|tan|theta|alpha|beta|gamma|phi|halves|thirds)(?![A-Za-z])"
#: A number of something: "42 marbles", "60 km/h", "about 7".
_COUNTED = re.compile(
    rf"(?i:about|approximately|around|exactly|only|roughly|an?)\s+{_NUMBER}(?:\s*\\?%)?(?:\s+[A-Za-z]{{2,}})?"
    rf"|{_NUMBER}(?:\s*\\?%)?\s+(?!{_FACTOR})[A-Za-z]{{2,}}(?:/[A-Za-z]+)?(?:\^?[23])?|{_NUMBER}\s*[a-z]?/[a-z]{{2,}}|{_NUMBER}\s+[a-z]/[a-z]"
)
#: "6 * 7 = 42 marbles"
_COUNTED_RESULT = re.compile(rf"[^A-Za-z\\]*=\s*{_NUMBER}\s+(?!{_FACTOR})[A-Za-z]{{3,}}")
#: A line that is no answer: the number of a list's item, or what goes on in the next line.
_UNFINISHED = re.compile(r"\d+\.|.*[:,=]|.*\\begin(?!.*\\end).*|\\\[(?!.*\\\]).*|\$\$(?!.*\$\$).*")
#: "Total: 18", whose letters would be factors.
_LABEL = re.compile(r"\A\s*(?:(?![Aa]nswer:)[A-Za-z]{2,}:|A:|\\text\s*\{[^{}\d]*:\s*\})\s*(?=[-$\\\d.(])")
#: Says by itself that it is the answer, behind whatever it stands.
_STATED = re.compile(r"\\(?:boxed|fbox)|\banswer(?:\s+is\b|\s*:)", re.IGNORECASE)
_RELATION = re.compile(r"[=<>]|\\(?:leq?|geq?|lt|gt|neq?)(?![A-Za-z])")
#: "x = 5", and no "2x + 3 = 7" or "24 + 24 = 48": these are steps to an answer.
_SOLVED = re.compile(rf"[\s$\\(\[]*[A-Za-z](?:_\w+)?\s*(?:{_RELATION.pattern})")
_MIXED_NUMBER = re.compile(r"(?<![\d/.])(\d+)\s+(\d+)/(\d+)(?![\d/])")
#: What a mixed number or a fraction in LaTeX counts, as in "3 1/2 cups". Behind a fraction, two letters are factors.
_COUNTED_PARTS = re.compile(
    rf"(\A[$€£]?-?\s*(\d+\s*)?\\[dt]?frac\{{\d+\}}\{{\d+\}})\s+(?!{_FACTOR})"
    r"(?:[A-Za-z](?(2)[A-Za-z]+|[A-Za-z]{2,})|in|cm|mm|km|ft|yd|kg|lb|oz)"
    r"(?:\s+[A-Za-z]{2,})?\.?\Z"
)
#: "42. There are 6 boxes.", and no first item of a list.
_NUMBER_ALONE = re.compile(r"\A\s*(?!1\.\s)(\$?-?\d(?:[\d,.]*\d)?)\.\s+(?=[A-Z])")
_SPACED_THOUSANDS = re.compile(r"(?<=\d)\\,(?=\d{3}(?!\d))")

#: An answer in several forms, as "1/2, 0.5" of two boxes, has few of them.
_MOST_FORMS = 8


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison."""

    verdict: VerdictName
    explanation: str
    parsed_answer: str = ""
    parsed_gold: str = ""


def compare(gold: str, answer: str) -> Comparison:
    """Says whether an answer is right. Not symmetric: math-verify allows an answer more than a gold."""
    if not gold.strip():
        return Comparison("UNPARSED", "The gold answer is empty.")
    if not answer.strip():
        return Comparison("UNPARSED", "The answer is empty.")
    answer = without_run_on(answer)

    for forms in (last_boxes(answer), last_boxed(answer).split(", ")):
        if 1 < len(forms) <= _MOST_FORMS and all(compare(gold, form).verdict == "RIGHT" for form in forms):
            return Comparison("RIGHT", "Each form of the answer equals the gold answer.", ", ".join(forms), gold)

    gold, answer = in_latex(last_boxed(gold)), corrected(in_latex(without_loops(last_boxed(answer))))
    choice = gold_choice(gold)
    chosen = None if choice is None else chosen_of(answer, choice)
    if choice is not None and chosen is not None:
        if choice == chosen:
            return Comparison("RIGHT", "The choices are the same.", chosen, choice)
        return Comparison("WRONG", "The choices differ.", chosen, choice)
    same_time = is_same_time(gold, answer)
    if same_time is not None:
        explanation = f"The times are {'the same' if same_time else 'not the same'}."
        return Comparison("RIGHT" if same_time else "WRONG", explanation, answer[:_SHOWN_CHARACTERS], gold)
    gold_words = _read_words(gold)
    answer = _without_remarks(without_minutes(answer), is_of_words=gold_words is not None)
    answer_words = _read_words(answer)
    if gold_words is not None and says_words(answer, gold_words):
        return Comparison("RIGHT", "The words are the same.", gold_words, gold_words)
    if gold_words is not None and answer_words is not None:
        # As mathematics, a word is the product of its letters, in any order.
        return Comparison("WRONG", "The words differ.", answer_words, gold_words)

    gold, answer = _LABEL.sub("", gold), without_asides(_LABEL.sub("", answer))
    if _is_prose(answer):
        answer = without_what_is_given(answer)
    base, answer_base = base_of(gold), base_of(answer)
    golds = _read(with_scales(rf"$\text{{{gold_words}}}$" if gold_words is not None else gold))
    texts = [with_scales(answer), answer]
    if are_numbers(golds):
        texts.insert(0, with_scales(as_number(answer)))
        if "%" not in gold:
            texts += in_other_units(answer, golds)
    # Of a question in millions, "5 million" answers 5.
    texts = list(dict.fromkeys(texts))
    answers = [reading for text in texts for reading in _read(text)]
    parsed_gold, parsed_answer = _show(golds), _show(answers)
    answers += as_vectors(golds, answers)
    if is_set(gold):
        answers += solution_sets(answers)

    if base is not None and answer_base not in (base, None):
        explanation = f"The answer is in base {answer_base}, the gold answer in base {base}."
        return Comparison("WRONG", explanation, parsed_answer, parsed_gold)
    failure = ""
    for one_gold in golds:
        for one_answer in answers:
            try:
                if verify(one_gold, one_answer, timeout_seconds=None, raise_on_error=True):
                    return Comparison("RIGHT", "The answer equals the gold answer.", parsed_answer, parsed_gold)
            except (MemoryError, RecursionError):
                raise
            except Exception as error:
                failure = type(error).__name__

    if not any(_is_mathematics(one) for one in golds):
        return Comparison("UNPARSED", "The gold answer could not be read as mathematics.", parsed_answer)
    if not any(_is_mathematics(one) for one in answers):
        return Comparison("UNPARSED", "No mathematics could be read in the answer.", "", parsed_gold)
    if failure:
        explanation = f"The answer and the gold answer could not be compared ({failure})."
        return Comparison("UNPARSED", explanation, parsed_answer, parsed_gold)
    return Comparison("WRONG", "The answer does not equal the gold answer.", parsed_answer, parsed_gold)


def warm_up() -> None:
    """Loads what the first comparison would wait for."""
    compare(r"\frac{1}{2}", "0.5")


def _read(text: str) -> list[Any]:
    """What math-verify reads: expressions, then the text that it found."""
    text = _MIXED_NUMBER.sub(r"\1\\frac{\2}{\3}", _SPACED_THOUSANDS.sub("", text.strip()))
    readings: list[Any] = parse(without_endless_expressions(_delimit(text)), parsing_timeout=None)
    # "6 xyz" may be a product, but "42 marbles" is none of its letters: either reading may be what is meant.
    if _COUNTED.fullmatch(text) is not None:
        readings = [*parse(text, parsing_timeout=None), *readings]
    counted = _COUNTED_PARTS.match(text)
    if counted is not None:
        readings = [*parse(_delimit(counted[1]), parsing_timeout=None), *readings]
    return [as_complex(reading) for reading in readings]


def _delimit(text: str) -> str:
    """Makes bare LaTeX, like `\\frac{3}{4}` or `x = 5`, something that math-verify looks at as a whole."""
    if _DELIMITED.search(text):
        return text
    if _is_prose(text):
        return delimit_expressions(text)
    scientific = _SCIENTIFIC.fullmatch(text)
    if scientific is not None:
        return rf"${scientific[1]} \cdot 10^{{{scientific[2]}}}$"
    return f"${_PI.sub(_PI_COMMAND, ' '.join(text.split()))}$"


def _without_remarks(answer: str, *, is_of_words: bool) -> str:
    """
    The first line, where it is an answer and sentences follow: numbers in these are no answer. Of a solution, which may
    begin with a step and comes to its answer in the end, all of it.
    """
    alone = _NUMBER_ALONE.match(answer)
    if alone is not None and not _RELATION.search(answer) and not _STATED.search(answer):
        return alone[1]
    first, _, rest = answer.strip().partition("\n")
    first = first.strip()
    if not _is_prose(rest) or _STATED.search(rest):
        return answer
    if _RELATION.search(first) and (_SOLVED.match(first) is None or _RELATION.search(rest)):
        return answer
    is_expression = re.search(r"[0-9A-Za-z]", first) and not re.search(r"[A-Za-z]{2,}", _without_commands(first))
    is_answer = is_expression or _COUNTED.fullmatch(first.rstrip(".")) or (is_of_words and _read_words(first))
    return first if is_answer and not _UNFINISHED.fullmatch(first) else answer


def _is_prose(text: str) -> bool:
    """Whether this is a sentence, or one word, with perhaps an answer in it: its letters are no variables."""
    words = re.findall(r"(?<![A-Za-z])[A-Za-z]{2,}", _without_commands(text))
    is_sentence = len(words) >= 2 or any(_CONJUNCTION.fullmatch(word) for word in words) or is_in_other_script(text)
    return bool(is_sentence or _WORDS.fullmatch(text) or _COUNTED_RESULT.fullmatch(text))


def _without_commands(text: str) -> str:
    """The rest of LaTeX, without the texts in it."""
    return re.sub(r"\\(?:begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", _TEXT_COMMAND.sub(" ", text))


def _read_words(text: str) -> str | None:
    """An answer that is words, like `\\text{Evelyn}` or `no solution`; None where it is not."""
    plain = _TEXT_COMMAND.sub(r"\1", text.strip().strip("$")).strip()
    return " ".join(plain.rstrip(".").casefold().split()) if _WORDS.fullmatch(plain) else None


def _is_mathematics(reading: Any) -> bool:
    return isinstance(reading, Basic | MatrixBase)


def _result(reading: Any) -> Any:
    """What a calculation or a variable comes to: 24 of "4 * 6 = 24" and of "x = 24". As votes they are one."""
    is_result = isinstance(reading, Eq) and (isinstance(reading.lhs, Symbol) or not reading.lhs.free_symbols)
    return as_one_number(reading.rhs if is_result else reading)


def _show(readings: list[Any]) -> str:
    for reading in readings:
        if _is_mathematics(reading):
            try:
                shown = str(_result(reading))
            except ValueError:
                return "a number too long to write"
            return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
    return ""
