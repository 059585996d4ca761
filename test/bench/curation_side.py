"""What the sides of the benchmark of curation have in common: their arguments, s1's rules and what they tell."""

import argparse
import json
import re
import resource
from collections.abc import Mapping
from pathlib import Path

NUMBERED_PART = re.compile(r"p[1-9][0-9]{0,2}\.")
BOLD_NUMBER = re.compile(r"\*\*(?=.*\d)[^\s\]]*\*\*")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--against", type=Path, nargs="+", required=True)
    parser.add_argument("--columns", nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shingle", type=int, required=True)
    parser.add_argument("--words", type=int, required=True)
    return parser


def is_sound(question: str, source: str) -> bool:
    return not (
        ("[asy]" in question and "aime" not in source.lower())
        or "![Image]" in question
        or NUMBERED_PART.search(question)
        or BOLD_NUMBER.search(question)
    )


def tell(seconds: Mapping[str, float]) -> None:
    """Prints what the steps took, and what this process and its children took in all."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = max(usage.ru_maxrss for usage in usages) * 1024
    processor = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    print(json.dumps({"steps": seconds, "peakBytes": peak, "cpuSeconds": processor}))
