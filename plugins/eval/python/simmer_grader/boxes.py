"""The boxes of a reply: what is in the last of them is its answer.

final-answer.ts has the same rule, for graders without Python; whole replies come here unread. tests/boxes.json holds
both.
"""

from __future__ import annotations

import re

_OPENING = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
#: Between the boxes of one list: "\boxed{3}, \boxed{5} and \boxed{7}".
_JOINT = re.compile(r"[\s$]*(?:,|(?:,\s*)?(?:\\text\s*\{)?\s*\b(?:and|or)\b\s*\}?)[\s$]*")
_PERCENT = re.compile(r"[\s$]*\\?%")

_END_TOKEN = r"<\|(?:im_end|endoftext|end_of_text|eot_id)\|>|</s>"
#: Ends a reply, or is what a model that writes no end goes on with: a question that nobody asked.
_END = re.compile(
    rf"{_END_TOKEN}"
    r"|\n[ \t]*(?:[*#]+ ?)?(?:Question|Problem|Exercise|Q|Human|User)(?: \d+)?(?:\*\*)?:"
)
#: Before it, a question may be the one that was asked, said again.
_ANSWERED = re.compile(r"\\(?:boxed|fbox)\s*\{|####|\banswer\b[^.:=\n]{0,30}?(?:\bis\b|[:=])", re.IGNORECASE)
_ONLY_NUMBER = re.compile(r"\s*[^A-Za-z\s]*\d[^A-Za-z\s]*\s*")


def without_run_on(text: str) -> str:
    """A reply from where its thinking ends up to where it ends itself, or goes on with another question."""
    text = _without_thinking(text)
    answered = _ANSWERED.search(text)
    begin = _END.search(text[:100])
    if begin is not None and _ONLY_NUMBER.fullmatch(text[: begin.start()]):
        return text[: begin.start()]
    end = None if answered is None else _END.search(text, answered.end())
    return text if end is None else text[: end.start()]


def _without_thinking(text: str) -> str:
    """Behind the first `</think>`, without what is thought again; before it where nothing follows it."""
    thinking, *parts = text.split("</think>")
    # Of the first, the chat template may have written the begin. A later end without one ends nothing.
    said = "\n".join(part.partition("<think>")[0] for part in parts)
    return said if re.split(_END_TOKEN, said)[0].strip() else thinking


def last_boxed(text: str) -> str:
    """What is in the last box that is closed, or in the last list of them; the text itself where there is none."""
    return ", ".join(last_boxes(text)) or text


def last_boxes(text: str) -> list[str]:
    """What is in each box of the last list of them; one where the last stands alone."""
    boxes = _boxes(text)
    first = max(len(boxes) - 1, 0)
    while first > 0 and _are_joined(text, boxes[first - 1][2], boxes[first][0]):
        first -= 1
    inner = list(dict.fromkeys(text[begin : end - 1] for _, begin, end in boxes[first:]))
    if inner and _PERCENT.match(text, boxes[-1][2]):
        inner[-1] += r"\%"
    return inner


def _are_joined(text: str, end: int, start: int) -> bool:
    return start - end < 40 and _JOINT.fullmatch(text, end, start) is not None


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """Start of the command, of its content, and the end of each outermost box that is closed."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif brace[0] == "}" and opened:
            closing[opened.pop()] = brace.end()
    boxes: list[tuple[int, int, int]] = []
    for opening in _OPENING.finditer(text):
        end = closing.get(opening.end())
        if end is not None and (not boxes or opening.start() >= boxes[-1][2]):
            boxes.append((opening.start(), opening.end(), end))
    return boxes
