"""
One GPU, models with random weights in the shapes of Qwen2.5: what training reaches beside a plain script of TRL's
SFTTrainer, and what the device's own matrix products reach. Needs no network and no model files.

    PYTHONPATH=plugins/torch-trainer/python python test/bench/gpu.py --training --shapes 0.5b,1.5b,7b
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu import SHAPES
from training import Side

# Of both sides: 7B in float32, with its optimizer, is more than one GPU holds.
_WEIGHTS = "bfloat16"
_PROMPT = "q"


def main() -> None:
    if "cpu" in sys.argv:
        os.environ["SIMMER_DEVICE"] = "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="0.5b,1.5b,7b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--sequences", default="4096,16384", help="tokens of a row")
    parser.add_argument("--tokens", type=int, default=16_384, help="of a step")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--sides", default="trl,simmer")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()

    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here: --device cpu --shapes tiny --sequences 256 --tokens 512 tries the bench")
    measured = matmul_flops_per_second(options.device)
    print(f"matrix products: {measured / 1e12:.1f} TFLOP/s", flush=True)
    results = [
        measure(shape, int(sequence), options, measured)
        for shape in options.shapes.split(",")
        for sequence in options.sequences.split(",")
    ]
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    ratios = {f"vs-trl-{one['shape']}-{one['sequence']}": one["ratio"] for one in results if "ratio" in one}
    figures = {"matmulTFlopsPerSecond": round(measured / 1e12, 1), "results": results, "sizes": vars(options)}
    print(
        json.dumps(
            {"name": "gpu-training", "device": device, "ratios": ratios, "goals": {"mfu-7b-4096": 0.5}, **figures}
        )
    )


def measure(shape: str, sequence: int, options: argparse.Namespace, matmul: float) -> dict[str, Any]:
    """Both sides, one after the other: two models of 7B are too much for one device."""
    from simmer_trainer.flops import TrainingFlops, peak_flops_per_second
    from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

    found: dict[str, Any] = {"shape": shape, "sequence": sequence}
    with tempfile.TemporaryDirectory(prefix="simmer-bench-") as folder:
        rows = max(1, options.tokens // sequence)
        config = write_config(Path(folder), shape, sequence)
        write_rows(Path(folder), sequence, rows * (options.steps + options.warm_up + 1))
        flops = TrainingFlops(on_meta_device(config), is_adapter=False).of([whole_row(sequence)]) / sequence
        peak = peak_flops_per_second(pb.PRECISION_BFLOAT16)
        for name in options.sides.split(","):
            found[name] = run_side(name, Path(folder), config, rows, sequence, options)
            if "tokensPerSecond" not in found[name]:
                continue
            reached = flops * found[name]["tokensPerSecond"]
            found[name]["mfu"] = None if peak is None else round(reached / peak, 4)
            found[name]["shareOfMatmul"] = round(reached / matmul, 4)
    rates = [found.get(name, {}).get("tokensPerSecond") for name in ("simmer", "trl")]
    if all(rates):
        found["ratio"] = round(rates[0] / rates[1], 3)
    print(found, flush=True)
    return found


def run_side(
    name: str, folder: Path, config: Path, rows: int, sequence: int, options: argparse.Namespace
) -> dict[str, Any]:
    more = ["--config", str(config), "--weights", _WEIGHTS, "--batch", str(rows), "--max-length", str(sequence)]
    try:
        side = Side(name, folder, options.steps + options.warm_up + 1, options.warm_up, *more, "--in-order")
    except SystemExit as ended:
        # Out of memory, mostly; the other side may have enough.
        return {"failed": str(ended)}
    try:
        for _ in range(options.steps):
            side.step()
    finally:
        side.close()
    return {
        "tokensPerSecond": round(statistics.median(side.rates), 1),
        "peakMemoryBytes": side.peak_memory_bytes,
        "startSeconds": round(side.start_seconds, 1),
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
