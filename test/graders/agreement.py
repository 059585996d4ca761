"""
How far simmer's math-verify grader agrees with the library called directly, and with lm-evaluation-harness's rule.

The set: gold answers of MATH500 and seeded corruptions of them, each in one of many answer formats, so that right and
wrong are each far above 30%. Read from DATA/math500.jsonl, which is not part of the repository.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import random
import re
import sys
import types
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Item:
    """One answer: what the graders see, and how it was made."""

    gold: str
    answer: str
    style: str
    is_right: bool


_FRACTION = re.compile(r"^(-?)\\d?frac\{(\d+)\}\{(\d+)\}$")

#: How a right or corrupted answer is written: a name, and what makes it of the bare LaTeX.
_STYLES: dict[str, Callable[[str], str]] = {
    "bare": lambda a: a,
    "dollars": lambda a: f"${a}$",
    "boxed": lambda a: rf"\boxed{{{a}}}",
    "boxed in dollars": lambda a: rf"$\boxed{{{a}}}$",
    "spaced": lambda a: f" {a} ",
    "dfrac": lambda a: a.replace(r"\frac", r"\dfrac"),
    "left right": lambda a: a.replace("(", r"\left(").replace(")", r"\right)"),
    "point zero": lambda a: f"{a}.0" if re.fullmatch(r"-?\d+", a) else a,
    "slash": lambda a: _FRACTION.sub(r"\1\2/\3", a),
    "sentence": lambda a: f"The answer is ${a}$.",
}


def corrupt(answer: str, other: str, draw: random.Random) -> str:
    """Another answer that looks like it: a number changed, a fraction turned over, or the answer to another problem."""
    fraction = _FRACTION.match(answer)
    if fraction and fraction[2] != fraction[3]:
        return rf"{fraction[1]}\frac{{{fraction[3]}}}{{{fraction[2]}}}"
    numbers = list(re.finditer(r"\d+", answer))
    if numbers:
        one = draw.choice(numbers)
        changed = int(one[0]) + draw.choice([1, 2, 10])
        return answer[: one.start()] + str(changed) + answer[one.end() :]
    return other


def make_items(data: Path, seed: int) -> list[Item]:
    golds = [json.loads(line)["answer"] for line in (data / "math500.jsonl").read_text().splitlines()]
    draw = random.Random(seed)
    items = []
    for gold in golds:
        for is_right in (True, False):
            style = draw.choice(list(_STYLES))
            answer = gold if is_right else corrupt(gold, draw.choice(golds), draw)
            if not is_right and answer == gold:
                continue
            items.append(Item(gold, _STYLES[style](answer), style, is_right))
    return items


def grade_by_simmer(items: list[Item]) -> list[str]:
    from simmer_grader.pool import Question, WorkerPool

    pool = WorkerPool(size=2)
    try:
        return [one.verdict for one in pool.compare_all([Question(i.gold, i.answer) for i in items], seconds=10)]
    finally:
        pool.close()


def grade_directly(items: list[Item]) -> list[bool]:
    """The library as its README calls it; what is not delimited is put between dollars, as its README asks."""
    from math_verify import parse, verify

    def delimited(text: str) -> str:
        return text if re.search(r"\$[^$]+\$|\\boxed", text) else f"${text}$"

    return [bool(verify(parse(delimited(i.gold)), parse(delimited(i.answer)))) for i in items]


def grade_by_harness(items: list[Item]) -> list[bool]:
    """lm_eval.tasks.hendrycks_math: what is between the first and the last dollar, or all; boxes opened; is_equiv."""
    rule = _harness_rule()

    def final(text: str) -> str:
        boxed = rule.last_boxed_only_string(text)
        if boxed is not None:
            return str(rule.remove_boxed(boxed))
        places = [index for index, character in enumerate(text) if character == "$"]
        return text if len(places) <= 1 else text[places[0] + 1 : places[-1]]

    return [bool(rule.is_equiv(final(i.answer), i.gold)) for i in items]


def _harness_rule() -> Any:
    """The module of the rule, alone: the package around it imports half of an evaluation."""
    package = importlib.util.find_spec("lm_eval")
    if package is None or package.origin is None:
        raise SystemExit("lm_eval is not installed: see agreement.lock.txt.")
    # The rule is text only; its module names a type of `datasets` in signatures.
    stand_in = types.ModuleType("datasets")
    stand_in.__dict__["Dataset"] = object
    sys.modules.setdefault("datasets", stand_in)
    file = Path(package.origin).parent / "tasks" / "hendrycks_math" / "utils.py"
    spec = importlib.util.spec_from_file_location("harness_rule", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kappa(table: Counter[tuple[bool, bool]]) -> float:
    """Cohen's kappa of a two-by-two table."""
    total = sum(table.values())
    observed = (table[True, True] + table[False, False]) / total
    one = (table[True, True] + table[True, False]) / total
    other = (table[True, True] + table[False, True]) / total
    expected = one * other + (1 - one) * (1 - other)
    return (observed - expected) / (1 - expected)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with math500.jsonl")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="disagreements to show")
    options = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.ERROR)

    items = make_items(options.data, options.seed)
    simmer = grade_by_simmer(items)
    ours = [verdict == "RIGHT" for verdict in simmer]
    direct = grade_directly(items)
    harness = grade_by_harness(items)

    right = sum(ours) / len(items)
    table = Counter(zip(ours, harness, strict=True))
    print(f"{len(items)} answers, {right:.1%} right by math-verify; verdicts {dict(Counter(simmer))}")
    print("                      harness right  harness wrong")
    print(f"math-verify right     {table[True, True]:13d}  {table[True, False]:13d}")
    print(f"math-verify wrong     {table[False, True]:13d}  {table[False, False]:13d}")
    made = [item.is_right for item in items]
    agree_made = {
        "math-verify": sum(a == b for a, b in zip(ours, made, strict=True)) / len(items),
        "harness": sum(a == b for a, b in zip(harness, made, strict=True)) / len(items),
    }
    print(f"as the answer was made: math-verify {agree_made['math-verify']:.1%}, harness {agree_made['harness']:.1%}")
    by_style = Counter(item.style for item, a, b in zip(items, ours, harness, strict=True) if a != b)
    print(f"math-verify and harness differ by style: {dict(by_style)}")
    differing = [index for index in range(len(items)) if ours[index] != direct[index]]
    print(f"equal to the library called directly: {len(items) - len(differing)} of {len(items)}")
    for index in differing[: options.show]:
        print(f"  {items[index].style}: {simmer[index]}, directly {direct[index]}: {items[index].answer[:60]!r}")
    figures = {
        "name": "grader-agreement",
        "items": len(items),
        "rightShare": round(right, 4),
        "kappa": round(kappa(table), 4),
        "directAgreement": round(1 - len(differing) / len(items), 6),
        "asMade": {name: round(share, 4) for name, share in agree_made.items()},
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
