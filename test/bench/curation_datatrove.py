"""Curation as datatrove does it: its readers, filters, exact and MinHash deduplication and n-gram decontamination.

Words are split at white space, by `str.split`: that is the same rule as on the other sides, and faster than the spaCy
tokenizer that datatrove takes for English.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import curation_side
import numpy as np
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig, create_hash_func
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer

#: Lower case and nothing else, as s1 compares.
LOWER_CASE = TextNormConfig(
    lowercase=True,
    norm_whitespace=False,
    remove_punctuation=False,
    norm_unicode_diacritics=False,
    norm_numbers=False,
    norm_weekdays=False,
    norm_monthnames=False,
)
#: A language for which datatrove loads no tokenizer package; the tokenizer is put in its place.
ANY_LANGUAGE = "ace_Arab"


class SplitTokenizer(WordTokenizer):  # type: ignore[misc]
    """Words as `str.split` has them."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError


def is_sound(document: Document) -> bool:
    return curation_side.is_sound(document.metadata["question"], document.metadata["source"])


def text_of(document: Document) -> str:
    return str(document.text)


def earliest(document: Document) -> int:
    """Priority among duplicates: the first row of the pool has the highest, 65,535."""
    return 65_535 - int(document.id.removeprefix("row-"))


class PoolAdapter:
    """Puts the compared columns into the text."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def __call__(self, _reader: Any, data: dict[str, Any], _path: str, _line: int | str) -> dict[str, Any]:
        text = "\n".join(data[column] for column in self.columns)
        return {"text": text, "id": data["id"], "metadata": data}


def write_index(files: Sequence[Path], folder: Path, config: NGramsDecontConfig) -> None:
    """What NGramsDecontIndexer writes; itself it reads no files but lighteval's tasks."""
    folder.mkdir()
    hash_of = create_hash_func(config.hash_config)
    hashes: set[int] = set()
    for file in files:
        with file.open() as lines:
            for row in map(json.loads, lines):
                words = (row.get("problem") or row["question"]).lower().split()
                hashes.update(
                    hash_of(" ".join(words[at : at + config.n_grams])) for at in range(len(words) - config.n_grams + 1)
                )
    np.array(list(hashes), dtype=config.hash_config.np_descr).tofile(folder / "evaluation.index.hashes")


def ids_in(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*.jsonl")):
        with file.open() as lines:
            yield from (json.loads(line)["id"] for line in lines)


def main() -> None:
    arguments = curation_side.arguments().parse_args()
    output: Path = arguments.output
    # Its loggers write to stderr, in every process, more than anybody reads.
    with (output / "log.txt").open("w") as log:
        os.dup2(log.fileno(), 2)
    tasks = arguments.processes
    seconds: dict[str, float] = {}

    def run(step: str, pipeline: list[PipelineStep | Callable[..., Any]], tasks: int = tasks) -> None:
        started = time.perf_counter()
        LocalPipelineExecutor(
            pipeline=pipeline,
            tasks=tasks,
            workers=arguments.processes,
            logging_dir=str(output / "logs" / str(len(seconds))),
            # Quicker than the default: the imports are inherited.
            start_method="fork",
        ).run()
        seconds[step] = time.perf_counter() - started

    def writer(name: str) -> JsonlWriter:
        return JsonlWriter(str(output / name), compression=None)

    def reader(name: str) -> JsonlReader:
        return JsonlReader(str(output / name))

    exact = ExactDedupConfig(content_getter=text_of, document_priority=earliest)
    run(
        "load, quality",
        [
            JsonlReader(str(arguments.pool), adapter=PoolAdapter(arguments.columns)),
            LambdaFilter(is_sound, exclusion_writer=writer("dropped-quality")),
            writer("quality"),
        ],
    )
    run("exact signatures", [reader("quality"), ExactDedupSignature(str(output / "exact-signatures"), exact)])
    run(
        "exact finding",
        [ExactFindDedups(str(output / "exact-signatures"), str(output / "exact-found"), exact)],
        tasks=1,
    )
    run(
        "exact filter",
        [
            reader("quality"),
            ExactDedupFilter(str(output / "exact-found"), exact, exclusion_writer=writer("dropped-exact")),
            writer("exact"),
        ],
    )
    near = MinhashConfig(n_grams=arguments.shingle, norm_config=LOWER_CASE, hash_config=HashConfig(precision=64))
    signatures = MinhashDedupSignature(str(output / "signatures"), near, language=ANY_LANGUAGE)
    signatures.word_tokenizer = SplitTokenizer()
    run("near signatures", [reader("exact"), signatures])
    run(
        "near buckets",
        [MinhashDedupBuckets(str(output / "signatures"), str(output / "buckets"), config=near)],
        tasks=near.num_buckets,
    )
    run("near clusters", [MinhashDedupCluster(str(output / "buckets"), str(output / "remove"), config=near)], tasks=1)
    decontamination = NGramsDecontConfig(n_grams=arguments.words, norm_config=LOWER_CASE)
    started = time.perf_counter()
    write_index(arguments.against, output / "index", decontamination)
    seconds["decontamination index"] = time.perf_counter() - started
    decontaminate = NGramsDecontFilter(
        str(output / "index"), decontamination, exclusion_writer=writer("dropped-evaluation"), language=ANY_LANGUAGE
    )
    decontaminate.tokenizer = SplitTokenizer()
    run(
        "near filter, decontaminate",
        [
            reader("exact"),
            MinhashDedupFilter(str(output / "remove"), exclusion_writer=writer("dropped-near")),
            decontaminate,
            writer("kept"),
        ],
    )
    dropped = {
        step: list(ids_in(output / f"dropped-{name}"))
        for step, name in {
            "quality": "quality",
            "exact": "exact",
            "near": "near",
            "decontaminate": "evaluation",
        }.items()
    }
    (output / "dropped.json").write_text(json.dumps(dropped))
    curation_side.tell(seconds)


if __name__ == "__main__":
    main()
