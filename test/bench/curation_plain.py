"""Curation as a straightforward Python program does it, in the style of s1's code; with datasketch for near duplicates.

Everything is a list in memory; what is heavy is shared out to processes that inherit it.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import curation_side
import numpy as np
import xxhash
from datasketch import MinHash, MinHashLSH

Row = dict[str, Any]

#: Read by the processes, which are forked.
rows: list[Row] = []
lookup: set[str] = set()
settings: argparse.Namespace


def text_of(row: Row) -> str:
    return "\n".join(row[column] for column in settings.columns)


def words_of(row: Row) -> list[str]:
    return text_of(row).lower().split()


def ngrams(words: Sequence[str], length: int) -> Iterator[str]:
    return (" ".join(words[at : at + length]) for at in range(len(words) - length + 1))


def signature(at: int) -> MinHash:
    minhash = MinHash(num_perm=settings.hashes, hashfunc=xxhash.xxh32_intdigest, scheme="affine32")
    minhash.update_batch(shingle.encode() for shingle in ngrams(words_of(rows[at]), settings.shingle))
    return minhash


def is_contaminated(at: int) -> bool:
    return any(ngram in lookup for ngram in ngrams(words_of(rows[at]), settings.words))


def side_by_side(function: Callable[[int], Any]) -> Iterator[Any]:
    with multiprocessing.get_context("fork").Pool(settings.processes) as pool:
        yield from pool.imap(function, range(len(rows)), chunksize=256)


def without_near_duplicates() -> list[Row]:
    """The first of rows that are similar, by LSH and then by their shingles themselves."""
    lsh = MinHashLSH(threshold=settings.similarity, num_perm=settings.hashes)
    kept = []
    for at, minhash in enumerate(side_by_side(signature)):
        candidates = lsh.query(minhash)
        shingles = set(ngrams(words_of(rows[at]), settings.shingle)) if candidates else set()
        if any(is_similar(shingles, set(ngrams(words_of(rows[other]), settings.shingle))) for other in candidates):
            continue
        lsh.insert(at, minhash)
        kept.append(rows[at])
    return kept


def is_similar(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= float(settings.similarity) * len(one | other)


def select(count: int, seed: int) -> list[Row]:
    """s1: a domain uniformly, in it a row with weight 2^-rank by length of the trace."""
    draw = np.random.default_rng(seed)
    domains: dict[str, list[Row]] = {}
    for row in rows:
        domains.setdefault(row["domain"], []).append(row)
    for members in domains.values():
        members.sort(key=lambda row: -len(row["reasoning"]))
    chosen: list[Row] = []
    while domains and len(chosen) < count:
        names = list(domains)
        name = names[draw.integers(len(names))]
        members = domains[name]
        weights = 0.5 ** np.arange(len(members))
        chosen.append(members.pop(draw.choice(len(members), p=weights / weights.sum())))
        if not members:
            del domains[name]
    return chosen


def main() -> None:
    global rows, settings
    parser = curation_side.arguments()
    parser.add_argument("--similarity", type=float, required=True)
    parser.add_argument("--hashes", type=int, required=True)
    settings = parser.parse_args()
    seconds: dict[str, float] = {}
    kept: dict[str, list[str]] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started
        kept[name] = [row["id"] for row in rows]

    with step("load"):
        for file in sorted(settings.pool.glob("*.jsonl")):
            with file.open() as lines:
                rows.extend(map(json.loads, lines))
    with step("quality"):
        rows = [row for row in rows if curation_side.is_sound(row["question"], row["source"])]
    with step("exact"):
        seen: dict[str, Row] = {}
        for row in rows:
            seen.setdefault(text_of(row), row)
        rows = list(seen.values())
    with step("near"):
        rows = without_near_duplicates()
    with step("decontaminate"):
        for file in settings.against:
            with file.open() as lines:
                for question in map(json.loads, lines):
                    text = question.get("problem") or question["question"]
                    lookup.update(ngrams(text.lower().split(), settings.words))
        found = list(side_by_side(is_contaminated))
        rows = [row for row, is_found in zip(rows, found, strict=True) if not is_found]
    with step("write"), (settings.output / "kept.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    with step("select"):
        rows = select(1000, 1)
    (settings.output / "kept.json").write_text(json.dumps(kept))
    curation_side.tell(seconds)


if __name__ == "__main__":
    main()
