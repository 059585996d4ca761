"""
Fine-tuning SmolLM2 on GSM8K: a plain script of TRL's SFTTrainer against Simmer's trainer, step by step in turns, so
that a machine that is busy for a while slows both. Prints what it measures; its last line is JSON.
"""

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_sides import BATCH

# Of the published files.
_DIGESTS = {
    "gsm8k_train.jsonl": "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    "gsm8k_test.jsonl": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
}
_GOALS = {"vs-trl-equal": 0.99, "vs-trl-default": 2, "heldOutDifference": 0.02}


class Side:
    """A process that runs a step when it is told to."""

    def __init__(
        self, name: str, folder: Path, steps: int, warm_up: int, *more: str, limit_seconds: float = math.inf
    ) -> None:
        """
        @param folder with rows.parquet @param steps that the schedule is for @param warm_up of them run at once
        @param limit_seconds it is killed then, whatever it does
        """
        self.name = name
        # Tokens a second of each step, padding left out.
        self.rates: list[float] = []
        self.peak_memory_bytes = 0
        output = Path(tempfile.mkdtemp(prefix=name, dir=folder))
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [
                *(sys.executable, str(Path(__file__).with_name("training_sides.py"))),
                *("--side", name, "--steps", str(steps), "--data", str(folder / "rows.parquet")),
                *("--output", str(output), *more),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # As the trainer's own process has it, and for both: on a machine that does other things, threads that spin
            # while they wait would cost the script more than anything that is measured here.
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )
        self._limit = threading.Timer(min(limit_seconds, threading.TIMEOUT_MAX), self.process.kill)
        self._limit.daemon = True
        self._limit.start()
        for _ in range(warm_up):
            self.ask("go")
        self.start_seconds = time.perf_counter() - started

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"The side {self.name} ended with {self.process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def step(self) -> None:
        answer = self.ask("go")
        self.rates.append(answer["tokens"] / answer["seconds"])
        self.peak_memory_bytes = answer["peakMemoryBytes"]

    def close(self) -> None:
        self._limit.cancel()
        self.process.kill()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of gsm8k_train.jsonl and gsm8k_test.jsonl; else SIMMER_DATA")
    parser.add_argument("--pairs", type=int, default=9, help="steps of each side that are compared, in turns")
    parser.add_argument("--warm-up", type=int, default=2, help="steps of each side before them")
    parser.add_argument("--held-out", type=int, default=32, help="rows")
    parser.add_argument("--parts", default="equal,default")
    options = parser.parse_args()
    data = options.data or Path(os.environ.get("SIMMER_DATA", ""))
    ratios: dict[str, float] = {}
    figures: dict[str, Any] = {}
    for part in options.parts.split(","):
        with tempfile.TemporaryDirectory(prefix="simmer-bench-") as folder:
            figures[part] = compare(part, Path(folder), data, options)
        ratios[f"vs-trl-{part}"] = figures[part]["ratio"]
    sizes = {name: value for name, value in vars(options).items() if name not in ("model", "data")}
    print(json.dumps({"ratios": ratios, "goals": _GOALS, **figures, "sizes": {**sizes, "batch": BATCH}}))


def compare(part: str, folder: Path, data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """
    equal: the same rows in the same batches, padded. default: TRL's own order and padding against packing. Both with
    TRL's default precision (bfloat16 products over weights in float32), recomputation, optimizer and schedule.
    """
    steps = options.pairs + options.warm_up
    write_rows(folder, data, options, rows=(steps + 1) * BATCH)
    both = ["--model", str(options.model), "--held-out", str(folder / "held-out.parquet")]
    both += ["--in-order"] if part == "equal" else []
    packing = ["--packing"] if part == "default" else []
    sides = [
        Side("trl", folder, steps + 1, options.warm_up, *both),
        Side("simmer", folder, steps + 1, options.warm_up, *both, *packing),
    ]
    try:
        for pair in range(options.pairs):
            # Who goes first, goes second in the next pair.
            for side in sides if pair % 2 == 0 else sides[::-1]:
                side.step()
            print(
                f"{part} {pair + 1}: " + ", ".join(f"{one.name} {one.rates[-1]:.0f} tokens/s" for one in sides),
                flush=True,
            )
        trl, simmer = sides
        held_out = [side.ask("held-out")["loss"] for side in sides]
    finally:
        for side in sides:
            side.close()
    ratio_of_pairs = [ours / theirs for theirs, ours in zip(trl.rates, simmer.rates, strict=True)]
    low, high = interval_of_median(ratio_of_pairs)
    figures = {
        "ratio": round(statistics.median(ratio_of_pairs), 3),
        "interval": [round(low, 3), round(high, 3)],
        "pairs": [round(ratio, 3) for ratio in ratio_of_pairs],
        "theirTokensPerSecond": round(statistics.median(trl.rates), 1),
        "tokensPerSecond": round(statistics.median(simmer.rates), 1),
        "theirStartSeconds": round(trl.start_seconds, 1),
        "startSeconds": round(simmer.start_seconds, 1),
        "theirHeldOutLoss": round(held_out[0], 4),
        "heldOutLoss": round(held_out[1], 4),
        "heldOutDifference": round(abs(held_out[1] - held_out[0]), 4),
        "samples": steps * BATCH,
    }
    print(f"{part}: {figures}", flush=True)
    return figures


def write_rows(folder: Path, data: Path, options: argparse.Namespace, rows: int) -> None:
    """Prompts and completions as the model's chat template has them."""
    import pyarrow
    from pyarrow import parquet
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    for name, source, count in (
        ("rows", "gsm8k_train.jsonl", rows),
        ("held-out", "gsm8k_test.jsonl", options.held_out),
    ):
        table = []
        for line in checked(data / source).splitlines()[:count]:
            problem = json.loads(line)
            messages = [{"role": "user", "content": problem["question"]}]
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            completion = f"{problem['answer']}{tokenizer.eos_token}"
            table.append({"prompt": prompt, "completion": completion})
        parquet.write_table(pyarrow.Table.from_pylist(table), folder / f"{name}.parquet")


def checked(file: Path) -> str:
    """A benchmark file, whose digest is that of the published one."""
    if not file.is_file():
        sys.exit(f"There is no {file}: name the folder of GSM8K's files by SIMMER_DATA or --data.")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != _DIGESTS[file.name]:
        sys.exit(f"{file} is not the published file: its SHA-256 is another one.")
    return content.decode()


def interval_of_median(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Bounds of the median by order statistics, which assume nothing of the distribution; the widest for few values."""
    ordered = sorted(values)
    count = len(ordered)
    below = 0.0
    rank = 0
    while rank < count // 2:
        below += math.comb(count, rank) / 2**count
        if below > (1 - level) / 2:
            break
        rank += 1
    first = max(rank - 1, 0)
    return ordered[first], ordered[count - 1 - first]


if __name__ == "__main__":
    main()
