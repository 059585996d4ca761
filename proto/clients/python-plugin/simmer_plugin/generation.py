"""Generating with a trainer of the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from simmer_plugin.batches import batches
from simmer_plugin.generated.simmer.plugin.v1 import host_pb2
from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2

SpendingRule = Literal["total", "per_round"]
ThinkingEnd = Literal["none", "natural", "forced", "sequence"]
FinishReason = Literal["stop", "length", "stop_string"]

#: Of the prompts of one call: messages have at most 64 MiB.
_BATCH_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Prompt:
    """What to answer. Ids are unique in a call. Give messages, or a text or tokens that are used as they are."""

    id: str
    #: (role, content); rendered by the model's chat template.
    messages: Sequence[tuple[str, str]] = ()
    text: str | None = None
    token_ids: Sequence[int] | None = None
    #: Which of its samples are asked for, from 0; empty: all.
    sample_indices: Sequence[int] = ()

    @staticmethod
    def user(id: str, content: str) -> Prompt:
        """One message of the user's."""
        return Prompt(id, [("user", content)])


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    #: Longest answer in tokens.
    max_answer_tokens: int
    #: 0 is greedy.
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    #: Generation ends before any of these in the answer.
    stop: Sequence[str] = ()
    seed: int = 0
    #: Answers for each prompt and policy.
    samples: int = 1


@dataclass(frozen=True)
class Thinking:
    """What marks thinking in the model's text; see ThinkingFormat in trainer.proto."""

    start: str
    end: str
    final_answer_prompt: str


@dataclass(frozen=True)
class Policy:
    """A thinking budget; see ThinkingPolicy in trainer.proto."""

    id: str
    max_thinking_tokens: int | None = None
    min_thinking_tokens: int | None = None
    ignore_end_count: int = 0
    word: str = "Wait"
    #: Whether all rounds of thinking share the maximum, or each has it.
    spending_rule: SpendingRule = "total"


@dataclass(frozen=True)
class Intervention:
    """Something that budget forcing did."""

    kind: Literal["extended", "ended"]
    #: Index into thinking_token_ids before which it took place (their length for the end).
    position: int
    token_ids: Sequence[int]
    text: str
    #: Where it stands in `thinking`, in characters.
    character_offset: int


@dataclass(frozen=True)
class Sample:
    """One finished answer."""

    prompt_id: str
    policy_id: str
    #: From 0.
    index: int
    thinking: str
    answer: str
    thinking_tokens: int
    answer_tokens: int
    seed: int = 0
    prompt_tokens: int = 0
    thinking_token_ids: Sequence[int] = ()
    answer_token_ids: Sequence[int] = ()
    #: What was forced, in order of position.
    interventions: Sequence[Intervention] = ()
    thinking_end: ThinkingEnd = "none"
    #: "length": it was cut off.
    finish_reason: FinishReason = "stop"


def request_messages(
    call_id: str,
    trainer: str,
    model_uri: str,
    prompts: Iterable[Prompt],
    sampling: Sampling,
    thinking: Thinking | None,
    policies: Sequence[Policy],
    max_batch_size: int | None,
    precision: str | None,
) -> Iterator[host_pb2.GenerateRequest]:
    """Requests for the wire, as many as the prompts take: a sample is the same whatever is asked beside it."""
    drawn = trainer_pb2.SamplingParameters(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_answer_tokens=sampling.max_answer_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
        samples=sampling.samples,
    )
    marked = None
    if thinking is not None:
        marked = trainer_pb2.ThinkingFormat(
            start=thinking.start, end=thinking.end, final_answer_prompt=thinking.final_answer_prompt
        )
    asked = host_pb2.GenerateRequest(
        call_id=call_id,
        trainer=trainer,
        model_uri=model_uri,
        sampling=drawn,
        thinking_format=marked,
        policies=[
            trainer_pb2.ThinkingPolicy(
                id=policy.id,
                max_thinking_tokens=policy.max_thinking_tokens,
                min_thinking_tokens=policy.min_thinking_tokens,
                ignore_end_count=policy.ignore_end_count,
                word=policy.word,
                spending_rule=f"SPENDING_RULE_{policy.spending_rule.upper()}",
            )
            for policy in policies
        ],
        max_batch_size=max_batch_size,
        precision=precision,
    )
    for batch in batches(map(_prompt_message, prompts), most_bytes=_BATCH_BYTES):
        request = host_pb2.GenerateRequest(prompts=batch)
        request.MergeFrom(asked)
        yield request


def _prompt_message(prompt: Prompt) -> trainer_pb2.Prompt:
    message = trainer_pb2.Prompt(id=prompt.id, sample_indices=prompt.sample_indices)
    if prompt.token_ids is not None:
        message.token_ids.ids.extend(prompt.token_ids)
    elif prompt.text is not None:
        message.text = prompt.text
    else:
        messages = [trainer_pb2.Message(role=role, content=content) for role, content in prompt.messages]
        message.messages.CopyFrom(trainer_pb2.Messages(messages=messages))
    return message


def sample_of(message: trainer_pb2.Sample) -> Sample:
    """A sample off the wire."""
    return Sample(
        message.prompt_id,
        message.policy_id,
        message.sample_index,
        message.thinking,
        message.answer,
        len(message.thinking_token_ids),
        len(message.answer_token_ids),
        seed=message.seed,
        prompt_tokens=message.prompt_tokens,
        thinking_token_ids=list(message.thinking_token_ids),
        answer_token_ids=list(message.answer_token_ids),
        interventions=[_intervention_of(each) for each in message.interventions],
        thinking_end=_THINKING_ENDS.get(message.thinking_end, "none"),
        finish_reason=_FINISH_REASONS.get(message.finish_reason, "stop"),
    )


def _intervention_of(message: trainer_pb2.Intervention) -> Intervention:
    kind: Literal["extended", "ended"] = (
        "extended" if message.kind == trainer_pb2.INTERVENTION_KIND_EXTENDED else "ended"
    )
    return Intervention(kind, message.position, list(message.token_ids), message.text, message.character_offset)


_THINKING_ENDS: dict[int, ThinkingEnd] = {
    trainer_pb2.THINKING_END_NATURAL: "natural",
    trainer_pb2.THINKING_END_FORCED: "forced",
    trainer_pb2.THINKING_END_SEQUENCE: "sequence",
}
_FINISH_REASONS: dict[int, FinishReason] = {
    trainer_pb2.FINISH_REASON_LENGTH: "length",
    trainer_pb2.FINISH_REASON_STOP_STRING: "stop_string",
}
