"""Generating with a trainer of the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simmer_plugin.generated.simmer.plugin.v1 import host_pb2
from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2


@dataclass(frozen=True)
class Prompt:
    """What to answer. Ids are unique in a call. Give messages, or a text that is used as it is."""

    id: str
    #: (role, content); rendered by the model's chat template.
    messages: Sequence[tuple[str, str]] = ()
    text: str | None = None

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


def request_message(
    call_id: str,
    trainer: str,
    model_uri: str,
    prompts: Iterable[Prompt],
    sampling: Sampling,
    thinking: Thinking | None,
    policies: Sequence[Policy],
) -> host_pb2.GenerateRequest:
    """A request for the wire."""
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
    return host_pb2.GenerateRequest(
        call_id=call_id,
        trainer=trainer,
        model_uri=model_uri,
        prompts=[_prompt_message(prompt) for prompt in prompts],
        sampling=drawn,
        thinking_format=marked,
        policies=[
            trainer_pb2.ThinkingPolicy(
                id=policy.id,
                max_thinking_tokens=policy.max_thinking_tokens,
                min_thinking_tokens=policy.min_thinking_tokens,
                ignore_end_count=policy.ignore_end_count,
                word=policy.word,
            )
            for policy in policies
        ],
    )


def _prompt_message(prompt: Prompt) -> trainer_pb2.Prompt:
    if prompt.text is not None:
        return trainer_pb2.Prompt(id=prompt.id, text=prompt.text)
    messages = [trainer_pb2.Message(role=role, content=content) for role, content in prompt.messages]
    return trainer_pb2.Prompt(id=prompt.id, messages=trainer_pb2.Messages(messages=messages))


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
    )
