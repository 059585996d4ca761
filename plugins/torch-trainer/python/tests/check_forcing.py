"""
Budget forcing against transformers' generate with its cache off, on a real model: prints a table for each kind of tags,
precision and batch, and ends in one line of JSON. Exits 1 where fp32 at batch 1 differs anywhere, where a batch differs
by more than rounding, or where a combination fired on too few prompts.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from forcing_matrix import CELLS, TAGS, Result, compare, generate_all, questions
from plain_generate import PlainGenerate

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import ModelCache

LARGEST_GAP = 1e-4
PRECISIONS = {"float32": (pb.PRECISION_FLOAT32, torch.float32), "bfloat16": (pb.PRECISION_BFLOAT16, torch.bfloat16)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a Hugging Face folder")
    parser.add_argument("--prompts", type=int, default=20, help="compared for each combination")
    parser.add_argument("--candidates", type=int, default=40, help="prompts of which those are taken that were forced")
    parser.add_argument("--tags", default="", help="only the formats whose name begins so")
    parser.add_argument("--cells", default="", help="only the combinations whose name has this in it; several by ';'")
    parser.add_argument("--precisions", default="float32,bfloat16")
    options = parser.parse_args()
    started = time.monotonic()
    cells = [cell for cell in CELLS if any(part in cell.name for part in options.cells.split(";"))]
    faults = 0
    summary: dict[str, dict[str, object]] = {}
    for precision in options.precisions.split(","):
        wire, dtype = PRECISIONS[precision]
        opened = ModelCache().open(pb.ModelSource(folder=str(options.model)), wire)
        plain = PlainGenerate.of_folder(options.model, dtype)
        tables: dict[int, list[Result]] = {1: [], 8: []}
        for tags in TAGS:
            if not tags.name.startswith(options.tags):
                continue
            for batch, results in tables.items():
                found = generate_all(opened, tags, questions(options.candidates), cells, batch)
                made = list(compare(opened, plain, tags, found, cells, options.prompts))
                print(f"\n### {tags.name}, {precision}, batch {batch}: {time.monotonic() - started:.0f} s\n")
                print_table(made)
                results += made
            plain.forget()
        for batch, results in tables.items():
            allowed = {1: 0.0, 8: LARGEST_GAP}[batch]
            wrong = [one for one in results if any(gap >= allowed for _, _, gap in one.differences)]
            few = [one for one in results if one.compared < options.prompts]
            # bfloat16 rounds: its differences are told, not judged.
            faults += len(few) + (len(wrong) if precision == "float32" else 0)
            summary[f"{precision}, batch {batch}"] = {
                "combinations": len(results),
                "compared": sum(one.compared for one in results),
                "equal": sum(one.equal for one in results),
                "largestGap": max((gap for one in results for _, _, gap in one.differences), default=0),
                "firedOnTooFew": [f"{one.tags}: {one.policy_id}" for one in few],
            }
    print(
        json.dumps(
            {
                "name": "forcing",
                "model": options.model.name,
                "prompts": options.prompts,
                "faults": faults,
                "seconds": round(time.monotonic() - started),
                "matrices": summary,
            }
        )
    )
    return 1 if faults else 0


def print_table(results: list[Result]) -> None:
    print("| tags | combination, maximum for | forced on | extended | ended | equal | first differences |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for one in results:
        told = "; ".join(f"{text} at token {index}, gap {gap:.2g}" for text, index, gap in one.differences[:3])
        told += f" and {len(one.differences) - 3} more" if len(one.differences) > 3 else ""
        print(
            f"| {one.tags} | {one.policy_id} | {one.compared} | {one.extended} | {one.ended} | {one.equal} | {told} |",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
