"""
lm-evaluation-harness and Generate on the same prompts: same token ids in, same precision, temperature 0. Writes what
each item became as JSON lines, and prints where the tokens differ.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval
import torch
import yaml
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from plain_generate import PlainGenerate

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation import generate
from simmer_trainer.models import ModelCache


class RecordingModel(HFLM):  # type: ignore[misc]
    """The harness's own model, which keeps the ids that go in and come out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: dict[str, tuple[list[int], list[int]]] = {}
        self.stops: list[str] = []

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **others: Any) -> torch.Tensor:
        output = super()._model_generate(context, max_length=max_length, stop=stop, **others)
        self.stops = stop
        for ids, mask, made in zip(context, others["attention_mask"], output, strict=True):
            prompt = ids[mask.bool()].tolist()
            self.seen[self.tokenizer.decode(prompt)] = (prompt, made[len(ids) :].tolist())
        return output


def task_of_file(path: Path, max_tokens: int) -> ConfigurableTask:
    """The harness's own gsm8k task, without examples, on a file instead of the hub."""
    source = Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml"
    config = yaml.safe_load(source.read_text())
    for key in ("tag", "dataset_name", "training_split", "fewshot_split"):
        config.pop(key, None)
    config |= {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}, "num_fewshot": 0}
    config["generation_kwargs"]["max_gen_toks"] = max_tokens
    return ConfigurableTask(config=config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="gsm8k_test.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines, one an item")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="item to begin with: a long check can go in parts")
    parser.add_argument("--tokens", type=int, default=256, help="longest answer")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()

    task = task_of_file(options.data, options.tokens)
    peer = RecordingModel(pretrained=str(options.model), dtype="float32", device="cpu", batch_size=options.batch)
    chosen = {"gsm8k": list(range(options.first, options.first + options.items))}
    result = lm_eval.simple_evaluate(model=peer, tasks=[task], samples=chosen, log_samples=True, bootstrap_iters=0)
    samples = [one for one in result["samples"]["gsm8k"] if one["filter"] == "flexible-extract"]
    print(f"harness: {len(samples)} items", file=sys.stderr, flush=True)

    ours = answers(options, [peer.seen[one["arguments"][0][0]][0] for one in samples], peer.stops)
    plain = PlainGenerate.of_folder(options.model, torch.float32)
    end = peer.tokenizer.eos_token_id
    with options.output.open("w") as file:
        for index, sample in enumerate(samples):
            prompt, theirs = peer.seen[sample["arguments"][0][0]]
            mine = list(ours[index].answer_token_ids)
            stopped = [end] if ours[index].finish_reason == pb.FINISH_REASON_STOP else []
            gap = first_difference([*mine, *stopped], theirs, prompt, plain)
            if gap is not None:
                print(f"item {sample['doc_id']}: first differs at token {gap[0]}, logit gap {gap[1]:.3g}")
            record = {
                "item": sample["doc_id"],
                "sameIds": gap is None,
                "gap": gap[1] if gap else None,
                "theirs": sample["resps"][0][0],
                "ours": ours[index].answer,
                "theirExtracted": sample["filtered_resps"][0],
            }
            file.write(json.dumps(record) + "\n")


def answers(options: argparse.Namespace, prompts: Sequence[Sequence[int]], stops: Sequence[str]) -> list[pb.Sample]:
    """What Generate answers, in the order of the prompts."""
    opened = ModelCache().open(pb.ModelSource(folder=str(options.model)), pb.PRECISION_FLOAT32)
    request = pb.GenerateRequest(
        prompts=[pb.Prompt(id=str(index), token_ids=pb.TokenIds(ids=ids)) for index, ids in enumerate(prompts)],
        sampling=pb.SamplingParameters(max_answer_tokens=options.tokens, samples=1, stop=stops),
        max_batch_size=options.batch,
    )
    found = [one.sample for one in generate(request, opened, lambda: True) if one.HasField("sample")]
    return sorted(found, key=lambda sample: int(sample.prompt_id))


def first_difference(
    mine: Sequence[int], theirs: Sequence[int], prompt: Sequence[int], plain: PlainGenerate
) -> tuple[int, float] | None:
    """Where our tokens differ from theirs, and how near the choice was. Theirs go on after a stop, as a batch does."""
    for index, token in enumerate(mine):
        if index >= len(theirs) or theirs[index] != token:
            return index, plain.gap([*prompt, *theirs[:index]])
    return None


if __name__ == "__main__":
    main()
