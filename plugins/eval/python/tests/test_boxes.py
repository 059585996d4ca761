"""The cases that boxes.py and final-answer.ts share; extraction.test.ts has the other side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simmer_grader.boxes import last_boxed, without_run_on

CASES = json.loads(Path(__file__).with_name("boxes.json").read_text())


@pytest.mark.parametrize(("text", "answer"), [(case["text"], case["answer"]) for case in CASES])
def test_the_last_boxes_are_the_answer(text: str, answer: str) -> None:
    assert last_boxed(without_run_on(text)) == answer
