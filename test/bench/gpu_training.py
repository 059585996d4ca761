"""
One GPU, models with random weights in the shapes of Qwen2.5: what training reaches beside a plain script of TRL's
SFTTrainer, and what the device's own matrix products reach. Needs no network and no model files.

    PYTHONPATH=plugins/torch-trainer/python python test/bench/gpu.py --training

What matters most comes first: the limit of the kernels, then the largest shape on the shortest rows. Each line of its
output is JSON and stands for itself, so that whatever ends it leaves the figures so far; the last one has all.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gpu import SHAPES
from training import Side

# Of both sides. In float32, weights, gradients and optimizer of 7B are 122 GB, and autocast's copies 15 more. Of the
# 149 GB of an H200 that leaves too little for activations.
_WEIGHTS = "bfloat16"
_PROMPT = "q"
# Tokens of a pass whose activations are kept, where not all of a step's fit: of 7B, each takes 6.3 MB.
_KEPT_TOKENS = {"7b": 8192}
# Of a side, from its start on.
_LIMIT_SECONDS = 150.0


@dataclass(frozen=True)
class Case:
    """A training that is measured."""

    shape: str
    # Tokens of a row.
    sequence: int
    side: str
    # Whether activations are computed again in the backward pass, as TRL does by default.
    recomputes: bool
    # Tokens of a forward pass.
    tokens: int


def main() -> None:
    if "cpu" in sys.argv:
        os.environ["SIMMER_DEVICE"] = "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="7b,1.5b,0.5b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--sequences", default="4096,16384", help="tokens of a row")
    parser.add_argument("--tokens", type=int, default=16_384, help="of a step")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--sides", default="trl,simmer")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    # Whoever cuts it short gets the last line, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # In a process of its own, which gives the device back.
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        device = process.submit(measure_device, options.device).result()
    if device is None:
        parser.error("there is no GPU here: --device cpu --shapes tiny --sequences 256 --tokens 512 tries the bench")
    print(json.dumps(device), flush=True)
    results: list[dict[str, Any]] = []
    try:
        for case in cases(options):
            results.append({**asdict(case), **measure(case, options, device)})
            print(json.dumps(results[-1]), flush=True)
    finally:
        sizes = {"sizes": vars(options), "goals": {"mfu-7b-4096": 0.5}}
        ratios = ratios_of(results)
        print(json.dumps({"name": "gpu-training", "ratios": ratios, **device, "results": results, **sizes}), flush=True)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The first is the one that has a goal. Sides are compared with the same setting, that of TRL."""
    sides = options.sides.split(",")
    for sequence in map(int, options.sequences.split(",")):
        for shape in options.shapes.split(","):
            step = max(1, options.tokens // sequence) * sequence
            kept = min(step, _KEPT_TOKENS.get(shape, step)) // sequence * sequence
            if kept > 0 and "simmer" in sides:
                yield Case(shape, sequence, "simmer", recomputes=False, tokens=kept)
            for side in reversed(sides):
                yield Case(shape, sequence, side, recomputes=True, tokens=step)


def ratios_of(results: list[dict[str, Any]]) -> dict[str, float]:
    """Simmer's tokens/s by those of TRL, both recomputing; and the share of the peak where there is a goal for it."""
    rates = {
        (one["shape"], one["sequence"], one["side"]): one["tokensPerSecond"]
        for one in results
        if one["recomputes"] and "tokensPerSecond" in one
    }
    ratios = {
        f"vs-trl-{shape}-{sequence}": round(rate / rates[shape, sequence, "trl"], 3)
        for (shape, sequence, side), rate in rates.items()
        if side == "simmer" and (shape, sequence, "trl") in rates
    }
    goal = [
        one["mfu"]
        for one in results
        if (one["shape"], one["sequence"], one["side"]) == ("7b", 4096, "simmer") and one.get("mfu") is not None
    ]
    return {**ratios, **({"mfu-7b-4096": max(goal)} if goal else {})}


def measure(case: Case, options: argparse.Namespace, device: dict[str, Any]) -> dict[str, Any]:
    """Tokens/s, share of the peak, memory, and what the time of a step goes into."""
    from simmer_trainer.flops import TrainingFlops

    rows = max(1, options.tokens // case.sequence)
    steps = options.warm_up + options.steps + 1
    with tempfile.TemporaryDirectory(prefix="simmer-bench-") as name:
        folder = Path(name)
        config = write_config(folder, case.shape, case.sequence)
        write_rows(folder, case.sequence, rows * (steps + 1))
        more = ["--config", str(config), "--weights", _WEIGHTS, "--max-length", str(case.sequence), "--in-order"]
        more += ["--batch", str(rows), "--device-batch", str(case.tokens // case.sequence)]
        more += [] if case.recomputes else ["--keep-activations"]
        side: Side | None = None
        try:
            side = Side(case.side, folder, steps + 1, options.warm_up, *more, limit_seconds=_LIMIT_SECONDS)
            for _ in range(options.steps):
                side.step()
            kernels = side.ask("profile")["kernels"]
        except SystemExit as ended:
            # Out of memory, mostly; the others may have enough.
            if side is None or not side.rates:
                return {"failed": str(ended)}
            kernels = []
        finally:
            if side is not None:
                side.close()
        flops = TrainingFlops(on_meta_device(config), is_adapter=False).of([whole_row(case.sequence)]) / case.sequence
    rate = statistics.median(side.rates)
    peak, matmul = device["peakFlopsPerSecond"], device["matmulFlopsPerSecond"]
    return {
        "tokensPerSecond": round(rate, 1),
        # Of the model's own operations, 6 a weight, and of attention's the causal half: see flops.py.
        "mfu": None if peak is None else round(flops * rate / peak, 4),
        "shareOfMatmul": round(flops * rate / matmul, 4),
        "secondsPerStep": [round(rows * case.sequence / one, 3) for one in side.rates],
        # The most that PyTorch had allocated.
        "peakMemoryBytes": side.peak_memory_bytes,
        "startSeconds": round(side.start_seconds, 1),
        "kernels": kernels,
    }


def write_config(folder: Path, shape: str, sequence: int) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps({"model_type": "qwen2", **SHAPES[shape], "max_position_embeddings": sequence}))
    return file


def write_rows(folder: Path, sequence: int, count: int) -> None:
    """Rows of exactly so many tokens (the tokenizer's are bytes), all but the first of them trained."""
    import pyarrow
    from pyarrow import parquet
    from simmer_trainer.byte_tokenizer import make_byte_tokenizer

    end = make_byte_tokenizer(sequence).eos_token
    letters = "".join(chr(97 + index % 26) for index in range(sequence))
    texts = [letters[index % 26 :] + letters[: index % 26] for index in range(count)]
    table = [{"prompt": _PROMPT, "completion": text[: sequence - 2] + end} for text in texts]
    parquet.write_table(pyarrow.Table.from_pylist(table), folder / "rows.parquet")


def on_meta_device(config: Path) -> Any:
    """The model's shape without its weights."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    values = json.loads(config.read_text())
    values.pop("model_type")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(Qwen2Config(**values))


def whole_row(sequence: int) -> Any:
    from simmer_trainer.data import TokenizedRow

    return TokenizedRow("row", [0] * sequence, 1, False)


def measure_device(device: str) -> dict[str, Any] | None:
    """What it is, and the most that its products reach and could reach; None where there is no GPU."""
    import torch
    from simmer_trainer.flops import peak_flops_per_second
    from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

    if device == "cuda" and not torch.cuda.is_available():
        return None
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "peakFlopsPerSecond": peak_flops_per_second(pb.PRECISION_BFLOAT16),
        "matmulFlopsPerSecond": matmul_flops_per_second(device),
    }


def matmul_flops_per_second(device: str, seconds: float = 2.0) -> float:
    """The best rate of a large product in bfloat16: what kernels reach at most here, whatever the data sheet says."""
    import torch

    size = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = 0.0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        started = time.perf_counter()
        for _ in range(4):
            left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 4 * 2 * size**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
