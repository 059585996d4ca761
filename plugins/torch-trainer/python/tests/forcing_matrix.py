"""Every combination of budget forcing, each held against the slow reference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plain_generate import PlainGenerate
from reference_generate import Reference
from sample_reference import as_reference, expected, prompt_ids, reference_format, token_ids, whole_sequence

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation import generate
from simmer_trainer.models import OpenModel

MAX_ANSWER_TOKENS = 3
# Thinking that is left to a policy without a maximum, in tokens, whatever model it is.
AUTO_ROOM = 14


@dataclass(frozen=True)
class Tags:
    """A thinking format, and a worked example in it: it makes a small model end its thinking by itself."""

    name: str
    form: pb.ThinkingFormat
    before: str
    after: str

    def prompt(self, question: str) -> str:
        turn = f"{self.before}What is 3 + 4?{self.after}"
        return (
            f"{turn}{self.form.start}3 plus 4 makes 7.\n{self.form.end}The answer is 7.{self.after}"
            f"{self.before}{question}{self.after}"
        )


def _form(start: str, end: str, final: str) -> pb.ThinkingFormat:
    return pb.ThinkingFormat(start=start, end=end, final_answer_prompt=final)


TAGS = [
    Tags(
        "s1",
        _form("<|im_start|>think\n", "<|im_start|>answer\n", "Final Answer:"),
        "<|im_start|>user\n",
        "<|im_end|>\n",
    ),
    Tags("R1, Qwen3", _form("<think>\n", "</think>\n", "The final answer is"), "Question: ", "\n"),
    Tags("custom", _form("[reasoning begins]\n", "[reasoning is over]\n", ""), "Q: ", "\n"),
]


@dataclass(frozen=True)
class Cell:
    """One combination, without its spending rule."""

    name: str
    maximum: int | None
    minimum: int = 0
    ignore: int = 0
    word: str = ""

    def policy(self, per_round: bool) -> pb.ThinkingPolicy:
        return pb.ThinkingPolicy(
            id=f"{self.name}, {'each round' if per_round else 'all rounds'}",
            max_thinking_tokens=self.maximum,
            min_thinking_tokens=self.minimum or None,
            ignore_end_count=self.ignore,
            word=self.word,
            spending_rule=pb.SPENDING_RULE_PER_ROUND if per_round else pb.SPENDING_RULE_TOTAL,
        )


CELLS = [
    Cell("maximum 4", 4),
    Cell("minimum 14, Wait", 28, minimum=14, word="Wait"),
    Cell("minimum 14, no word", 28, minimum=14),
    Cell("minimum 12 and maximum 16, Wait", 16, minimum=12, word="Wait"),
    Cell("1 ignore, Wait", 28, ignore=1, word="Wait"),
    Cell("1 ignore, Alternatively", 28, ignore=1, word="Alternatively"),
    Cell("1 ignore, no word", 28, ignore=1),
    Cell("2 ignores, Wait", 28, ignore=2, word="Wait"),
    Cell("2 ignores, minimum 14, maximum 20, Wait", 20, minimum=14, ignore=2, word="Wait"),
    Cell("auto, 2 ignores, Wait", None, ignore=2, word="Wait"),
]


@dataclass
class Result:
    """What became of one cell."""

    tags: str
    policy_id: str
    compared: int = 0
    equal: int = 0
    # Prompt id, index of the first token that differs, the reference's gap there.
    differences: list[tuple[str, int, float]] = field(default_factory=list)
    extended: int = 0
    ended: int = 0


def questions(count: int) -> list[str]:
    return [f"What is {3 + index * 7 % 23} + {2 + index * 5 % 17}?" for index in range(count)]


def generate_all(
    opened: OpenModel, tags: Tags, texts: Sequence[str], cells: Sequence[Cell], batch: int
) -> dict[tuple[str, str], pb.Sample]:
    """Every prompt under every policy. Policies without a maximum need prompts of one length: one request a prompt."""
    found: dict[tuple[str, str], pb.Sample] = {}
    policies = [cell.policy(per_round) for cell in cells for per_round in (False, True)]
    for auto in (False, True):
        chosen = [policy for policy in policies if policy.HasField("max_thinking_tokens") != auto]
        groups = [[text] for text in texts] if auto else [texts]
        for group in groups if chosen else []:
            model = with_auto_room(opened, tags, group[0]) if auto else opened
            request = pb.GenerateRequest(
                prompts=[pb.Prompt(id=text, text=tags.prompt(text)) for text in group],
                sampling=pb.SamplingParameters(max_answer_tokens=MAX_ANSWER_TOKENS, samples=1),
                thinking_format=tags.form,
                policies=chosen,
                max_batch_size=batch,
            )
            for response in generate(request, model, lambda: True):
                if response.HasField("sample"):
                    found[response.sample.prompt_id, response.sample.policy_id] = response.sample
    return found


def with_auto_room(opened: OpenModel, tags: Tags, text: str) -> OpenModel:
    """The model with a context that is as short as its thinking shall be."""
    marks = reference_format(opened.tokenizer, tags.form)
    prompt = len(prompt_ids(opened.tokenizer, pb.Prompt(text=tags.prompt(text) + tags.form.start)))
    forced = len(marks.newline) + len(marks.end) + len(marks.final)
    return replace(opened, context_length=prompt + forced + MAX_ANSWER_TOKENS + AUTO_ROOM)


def compare(
    opened: OpenModel,
    plain: PlainGenerate,
    tags: Tags,
    found: dict[tuple[str, str], pb.Sample],
    cells: Sequence[Cell],
    prompts: int,
) -> Iterator[Result]:
    """Holds each cell against the reference, on the first so many prompts where it forced something."""
    texts = list(dict.fromkeys(text for text, _ in found))
    # Those first where most was forced: cells that share prompts share the reference's work.
    texts.sort(key=lambda text: -sum(bool(one.interventions) for (of, _), one in found.items() if of == text))
    marks = reference_format(opened.tokenizer, tags.form)
    for cell in cells:
        for per_round in (False, True):
            policy = cell.policy(per_round)
            result = Result(tags.name, policy.id)
            forced = [text for text in texts if found[text, policy.id].interventions]
            for text in forced[:prompts]:
                model = opened if cell.maximum is not None else with_auto_room(opened, tags, text)
                prompt = pb.Prompt(id=text, text=tags.prompt(text))
                wanted = expected(model, plain, prompt, policy, tags.form, MAX_ANSWER_TOKENS)
                _count(result, as_reference(found[text, policy.id]), wanted, text, marks, plain, tags, opened)
            yield result


def _count(
    result: Result,
    ours: Reference,
    wanted: Reference,
    text: str,
    marks: Any,
    plain: PlainGenerate,
    tags: Tags,
    opened: OpenModel,
) -> None:
    result.compared += 1
    kinds = {kind for kind, *_ in ours.interventions}
    result.extended += "extended" in kinds
    result.ended += "ended" in kinds
    if ours == wanted:
        result.equal += 1
        return
    one, other = whole_sequence(ours, marks), whole_sequence(wanted, marks)
    length = min(len(one), len(other))
    index = next((index for index in range(length) if one[index] != other[index]), length)
    # An end that only one of them would have chosen shows here before it shows in the tokens.
    for mine, theirs in zip(ours.interventions, wanted.interventions, strict=False):
        if mine != theirs:
            index = min(index, mine[1], theirs[1])
            break
    prompt = token_ids(opened.tokenizer, tags.prompt(text) + tags.form.start)
    chosen = (other[index], one[index]) if index < length and other[index] != one[index] else None
    result.differences.append((text, index, plain.gap([*prompt, *other[:index]], chosen)))
