"""
Budget forcing on a live cache against transformers' generate and against submitting the text again at every wait, in
one run: same model, same tokens. Prints what it measures; its last line is JSON.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from forcing_peers import Script, Timed, plain, resubmit
from transformers import AutoModelForCausalLM

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation import generate
from simmer_trainer.models import ModelCache, OpenModel

WORD = "Wait"
FORM = pb.ThinkingFormat(start="", end="<|im_start|>answer\n", final_answer_prompt="")
TEXT = "A farm has 12 goats and buys 3 more each week. How many goats are there after some weeks? Think about it. "


def add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=256, help="tokens")
    parser.add_argument("--thinking", type=int, default=744, help="tokens before the first wait")
    parser.add_argument("--waits", type=int, default=4)
    parser.add_argument("--after", default="64,16,256", help="tokens after each wait, the first is the goal's")
    parser.add_argument("--answer", type=int, default=32, help="tokens")
    parser.add_argument("--longest", type=int, default=4096, help="of the sweep, which doubles from 128")
    parser.add_argument("--sweep-batch", type=int, default=1)
    parser.add_argument("--parts", default="generate,waits,sweep")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    add_sizes(parser)
    options = parser.parse_args()
    opened = ModelCache().open(pb.ModelSource(folder=str(options.model)), pb.PRECISION_FLOAT32)
    peer = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32, local_files_only=True).eval()
    ratios, figures = Bench(opened, peer, options).run()
    goals = {"vs-generate": 1, "vs-resubmission": 1.5, "sweepOverLongest": 1.3}
    sizes = {name: value for name, value in vars(options).items() if name != "model"}
    print(json.dumps({"ratios": ratios, "goals": goals, "threads": torch.get_num_threads(), **figures, "sizes": sizes}))


class Bench:
    """Both models, and the same prompts for both."""

    def __init__(self, opened: OpenModel, peer: Any, options: argparse.Namespace) -> None:
        self.opened, self.peer, self.options = opened, peer, options
        ids = opened.tokenizer(TEXT * (1 + options.prompt // 16), add_special_tokens=False)["input_ids"]
        self.prompts = [ids[row : row + options.prompt] for row in range(options.batch)]
        self.end = self._ids(FORM.end.rstrip())
        self.never = sorted({self.end[0], opened.tokenizer.eos_token_id})

    def run(self) -> tuple[dict[str, float], dict[str, Any]]:
        """The ratios, ours over theirs and higher is better, and what was measured for them."""
        # The first passes of a process are slow for everyone.
        plain(self.peer, self.prompts, 4)
        self.ours(self.prompts, [self.policy(4)], 1)
        ratios: dict[str, float] = {}
        figures: dict[str, Any] = {}
        if "generate" in self.options.parts:
            self.against_generate(ratios, figures)
        if "waits" in self.options.parts:
            for after in map(int, self.options.after.split(",")):
                self.against_resubmission(after, ratios, figures)
        if "sweep" in self.options.parts:
            self.sweep(ratios, figures)
        return ratios, figures

    def _ids(self, text: str) -> list[int]:
        return list(self.opened.tokenizer(text, add_special_tokens=False)["input_ids"])

    def policy(self, maximum: int, ignore: int = 0) -> pb.ThinkingPolicy:
        return pb.ThinkingPolicy(id=f"{maximum}", max_thinking_tokens=maximum, ignore_end_count=ignore, word=WORD)

    def ours(
        self, prompts: Sequence[Sequence[int]], policies: Sequence[Any], answer: int
    ) -> tuple[Timed, dict[tuple[int, str], pb.Sample]]:
        request = pb.GenerateRequest(
            prompts=[
                pb.Prompt(id=str(index), token_ids=pb.TokenIds(ids=prompt)) for index, prompt in enumerate(prompts)
            ],
            sampling=pb.SamplingParameters(max_answer_tokens=answer, samples=1),
            thinking_format=FORM if policies else None,
            policies=policies,
            max_batch_size=len(prompts),
        )
        samples: dict[tuple[int, str], pb.Sample] = {}
        for response in generate(request, self.opened, lambda: True):
            if response.HasField("sample"):
                samples[int(response.sample.prompt_id), response.sample.policy_id] = response.sample
        done = response.completed
        return Timed([], done.seconds, done.tokens_decoded), samples

    def scripts(self, at: dict[int, int]) -> list[Script]:
        return [Script(model, at, self.never) for model in (self.opened.model, self.peer)]

    def against_generate(self, ratios: dict[str, float], figures: dict[str, Any]) -> None:
        """Plain decoding: nothing is forced."""
        tokens = min(256, self.options.thinking)
        scripts = self.scripts({})
        # Twice, in turns: a machine that is busy for a while slows both.
        theirs, mine = [], []
        for _ in range(2):
            theirs.append(plain(self.peer, self.prompts, tokens))
            timed, samples = self.ours(self.prompts, [], tokens)
            mine.append(timed)
        same = sum(list(samples[row, ""].answer_token_ids) == theirs[-1].rows[row] for row in range(len(self.prompts)))
        _remove(scripts)
        rate = {name: max(one.decoded / one.seconds for one in runs) for name, runs in (("a", theirs), ("c", mine))}
        ratios["vs-generate"] = round(rate["c"] / rate["a"], 3)
        figures["generate"] = {
            "theirTokensPerSecond": round(rate["a"], 1),
            "tokensPerSecond": round(rate["c"], 1),
            "sameRows": f"{same} of {len(self.prompts)}",
        }
        _say(f"decode, batch {len(self.prompts)}", figures["generate"], ratios["vs-generate"])

    def against_resubmission(self, after: int, ratios: dict[str, float], figures: dict[str, Any]) -> None:
        """A thinking that ends at each wait, and is told to go on."""
        waits = [(tokens, self._ids(WORD)) for tokens in [self.options.thinking, *[after] * (self.options.waits - 1)]]
        rounds = [*waits, (after, self._ids(FORM.end))]
        at: dict[int, int] = {}
        position = self.options.prompt
        for tokens, forced in rounds:
            at |= {position + tokens + index: token for index, token in enumerate(self.end)}
            position += tokens + len(forced)
        scripts = self.scripts(at)
        without = resubmit(self.peer, self.opened.tokenizer, self.prompts, rounds, self.options.answer)
        prefix = resubmit(self.peer, self.opened.tokenizer, self.prompts, rounds, self.options.answer, reuse=True)
        mine, samples = self.ours(self.prompts, [self.policy(1 << 20, self.options.waits)], self.options.answer)
        _remove(scripts)
        same = 0
        for row, theirs in enumerate(without.rows):
            sample = samples[row, str(1 << 20)]
            made = [*sample.thinking_token_ids, *self._ids(FORM.end), *sample.answer_token_ids]
            same += made == theirs
        name = "vs-resubmission" if after == int(self.options.after.split(",")[0]) else f"vs-resubmission-{after}"
        ratios[name] = round(without.seconds / mine.seconds, 3)
        ratios[f"{name}-with-prefix-cache"] = round(prefix.seconds / mine.seconds, 3)
        figures[name] = {
            "afterEachWait": after,
            "theirSeconds": round(without.seconds, 2),
            "theirSecondsWithPrefixCache": round(prefix.seconds, 2),
            "seconds": round(mine.seconds, 2),
            "sameRows": f"{same} of {len(self.prompts)}",
            "retokenizedOtherwise": without.retokenized,
        }
        _say(f"{self.options.waits} waits, {after} tokens after each", figures[name], ratios[name])

    def sweep(self, ratios: dict[str, float], figures: dict[str, Any]) -> None:
        """Maxima that double: together, the longest alone, and each alone."""
        maxima = [128]
        while maxima[-1] * 2 <= self.options.longest:
            maxima.append(maxima[-1] * 2)
        prompts = self.prompts[: self.options.sweep_batch]
        scripts = self.scripts({})
        policies = [self.policy(maximum) for maximum in maxima]
        together, samples = self.ours(prompts, policies, self.options.answer)
        separate = []
        same = 0
        for policy in policies:
            timed, alone = self.ours(prompts, [policy], self.options.answer)
            separate.append(timed.seconds)
            for key, sample in alone.items():
                same += list(sample.answer_token_ids) == list(samples[key].answer_token_ids)
        _remove(scripts)
        ratios["vs-separate-sweep"] = round(sum(separate) / together.seconds, 3)
        figures["sweep"] = {
            "maxima": maxima,
            "seconds": round(together.seconds, 2),
            "longestAloneSeconds": round(separate[-1], 2),
            "separateSeconds": round(sum(separate), 2),
            "sweepOverLongest": round(together.seconds / separate[-1], 3),
            "sameSamples": f"{same} of {len(samples)}",
        }
        _say(f"sweep up to {maxima[-1]}", figures["sweep"], ratios["vs-separate-sweep"])


def _remove(scripts: Sequence[Script]) -> None:
    for script in scripts:
        script.remove()


def _say(name: str, figures: dict[str, Any], ratio: float) -> None:
    print(f"{name}: {ratio:.2f}x  {json.dumps(figures)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
