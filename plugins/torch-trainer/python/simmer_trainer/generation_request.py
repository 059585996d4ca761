"""Reads a request for a generation: what is refused, and the rows that it asks for."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simmer_trainer.budget_forcing import (
    Feed,
    Generation,
    Outcome,
    Policy,
    Program,
    ThinkingMarkers,
    run_program,
    thinking_room,
)
from simmer_trainer.chat_template import render_chat
from simmer_trainer.encoding import encode, encode_before, encode_further
from simmer_trainer.errors import TrainingError, invalid
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_config import end_ids
from simmer_trainer.models import OpenModel
from simmer_trainer.reply_ends import written_end
from simmer_trainer.sampling import sample_seed

MAX_PROMPTS = 512


@dataclass
class Row:
    """One sample of one prompt, under all policies."""

    prompt_id: str
    sample_index: int
    seed: int
    program: Program
    prompt_tokens: int
    # Samples that are ready; the program adds to it.
    outcomes: list[Outcome]
    feed: Feed = field(init=False)
    # Tokens in the cache, and those that come next.
    length: int = 0
    queue: deque[int] = field(default_factory=deque)
    live: list[int] = field(default_factory=list)

    def ask(self, feed: Feed) -> None:
        self.feed = feed
        self.length = feed.keep
        self.queue = deque(feed.tokens)


def make_rows(request: pb.GenerateRequest, opened: OpenModel) -> list[Row]:
    tokenizer = opened.tokenizer
    markers = _markers(request, opened)
    policies = [_policy(policy, opened) for policy in request.policies] if markers is not None else []
    stops = list(request.sampling.stop)
    ends = end_of_sequence_ids(opened)
    has_messages = any(prompt.HasField("messages") for prompt in request.prompts)
    turn_ends = ends | _end_of_turn(tokenizer, markers) if has_messages else ends
    rows = []
    for prompt in request.prompts:
        # Once: protobuf makes another string each time that it is asked.
        prompt_id = prompt.id
        token_ids = prompt_token_ids(prompt, tokenizer)
        _check_known(f"Prompt {prompt_id}", token_ids, opened)
        if markers and not _is_thinking_open(prompt, token_ids, request.thinking_format.start, tokenizer):
            token_ids += markers.start
        _check_fits(prompt_id, len(token_ids), request.sampling.max_answer_tokens, markers, opened.context_length)
        for index in sorted(set(prompt.sample_indices)) or range(request.sampling.samples):
            outcomes: list[Outcome] = []
            generation = Generation(
                prompt=token_ids,
                markers=markers,
                policies=policies or [Policy(id="")],
                end_of_sequence=turn_ends if prompt.HasField("messages") else ends,
                max_answer_tokens=request.sampling.max_answer_tokens,
                context_length=opened.context_length,
                ends_in_newline=lambda ids: tokenizer.decode(ids[-4:]).endswith("\n"),
                cut_at_stop=lambda ids: _cut_at_stop(ids, tokenizer, stops),
                emit=outcomes.append,
            )
            rows.append(
                Row(
                    prompt_id=prompt_id,
                    sample_index=index,
                    seed=sample_seed(request.sampling.seed, prompt_id, index),
                    program=run_program(generation),
                    prompt_tokens=len(token_ids),
                    outcomes=outcomes,
                )
            )
    return rows


def prompt_token_ids(prompt: pb.Prompt, tokenizer: Any) -> list[int]:
    """A prompt's tokens, without the marker that starts thinking."""
    match prompt.WhichOneof("prompt"):
        case "messages":
            messages = [{"role": one.role, "content": one.content} for one in prompt.messages.messages]
            try:
                text = render_chat(tokenizer, messages)
            except TrainingError as error:
                raise invalid("prompt_invalid", f"Prompt {prompt.id}: {error.message}") from error
        case "text":
            text = prompt.text
        case "token_ids":
            ids = list(prompt.token_ids.ids)
            unknown = [token for token in ids if token >= len(tokenizer)]
            if unknown:
                raise invalid("prompt_invalid", f"Prompt {prompt.id}: there is no token {unknown[0]}.")
            if not ids:
                raise invalid("prompt_invalid", f"Prompt {prompt.id} has no tokens.")
            return ids
        case _:
            raise invalid("prompt_invalid", f"Prompt {prompt.id} has neither messages, text nor token ids.")
    encoded = encode(tokenizer, text)
    if not encoded:
        raise invalid("prompt_invalid", f"Prompt {prompt.id} has no tokens.")
    return list(encoded)


def _is_thinking_open(prompt: pb.Prompt, token_ids: Sequence[int], start: str, tokenizer: Any) -> bool:
    """Whether the chat template has opened the thinking itself, as that of DeepSeek-R1 does: it is opened once."""
    if prompt.WhichOneof("prompt") != "messages" or not start.strip():
        return False
    rendered: str = tokenizer.decode(token_ids)
    return rendered.rstrip().endswith(start.rstrip())


def end_of_sequence_ids(opened: OpenModel) -> frozenset[int]:
    ids = (*end_ids(opened.model.generation_config), opened.tokenizer.eos_token_id)
    return frozenset(token for token in ids if token is not None)


def _end_of_turn(tokenizer: Any, markers: ThinkingMarkers | None) -> frozenset[int]:
    """
    What the chat template writes after a reply, unless thinking ends with it. Base models and some chat models do not
    name it in their config.
    """
    token = written_end(tokenizer)
    is_in_thinking = markers is not None and token in markers.natural_end
    return frozenset[int]() if token is None or is_in_thinking else frozenset({token})


def _check_known(what: str, token_ids: Sequence[int], opened: OpenModel) -> None:
    """Raises RequestError where there are tokens that have no weights."""
    vocabulary = opened.model.get_input_embeddings().num_embeddings
    beyond = next((token for token in token_ids if token >= vocabulary), None)
    if beyond is not None:
        raise invalid(
            "token_not_in_model",
            f"{what} has {opened.tokenizer.decode([beyond])!r}, a token that the model's tokenizer knows and its "
            f"weights do not: they have {vocabulary}. Enlarge the model (resize_token_embeddings) and save it again.",
        )


def _markers(request: pb.GenerateRequest, opened: OpenModel) -> ThinkingMarkers | None:
    if not request.HasField("thinking_format"):
        return None
    form, tokenizer = request.thinking_format, opened.tokenizer
    end = _checked(opened, "thinking_format.end", form.end, encode_before(tokenizer, form.end))
    if not end:
        raise invalid("thinking_format_invalid", "thinking_format.end is empty: nothing could end thinking.")
    stripped = encode_further(tokenizer, form.end.rstrip())
    return ThinkingMarkers(
        start=_forced(opened, "thinking_format.start", form.start),
        end=end,
        natural_end=stripped if stripped and end[: len(stripped)] == stripped else end,
        newline=encode_further(tokenizer, "\n"),
        final_answer_prompt=_forced(opened, "thinking_format.final_answer_prompt", form.final_answer_prompt),
    )


def _forced(opened: OpenModel, name: str, text: str) -> tuple[int, ...]:
    """Tokens of a text that is put into the sequence."""
    return _checked(opened, name, text, encode_further(opened.tokenizer, text))


def _checked(opened: OpenModel, name: str, text: str, ids: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens of a text. Raises RequestError where they do not say what the text says."""
    _check_known(name, ids, opened)
    said = opened.tokenizer.decode(ids)
    # White space is what decoders add and drop.
    if "".join(text.split()) in "".join(said.split()):
        return ids
    raise invalid(
        "text_not_in_tokenizer",
        f"{name} is {text!r}, which the model's tokenizer cannot write: it becomes {said!r}. Name markers and words "
        "that the model was trained with (thinkingFormat), or add them to its tokenizer and train it.",
    )


def _policy(policy: pb.ThinkingPolicy, opened: OpenModel) -> Policy:
    maximum = policy.max_thinking_tokens if policy.HasField("max_thinking_tokens") else None
    if maximum == 0:
        raise invalid("policy_invalid", f"Policy {policy.id}: max_thinking_tokens must be at least 1.")
    if maximum is not None and policy.min_thinking_tokens > maximum:
        raise invalid(
            "policy_invalid",
            f"Policy {policy.id}: min_thinking_tokens {policy.min_thinking_tokens} is above its maximum of {maximum}.",
        )
    return Policy(
        id=policy.id,
        max_thinking_tokens=maximum,
        min_thinking_tokens=policy.min_thinking_tokens,
        ignore_end_count=policy.ignore_end_count,
        word_ids=_forced(opened, f"The word of policy {policy.id}", policy.word),
        is_per_round=policy.spending_rule == pb.SPENDING_RULE_PER_ROUND,
    )


def _check_fits(
    prompt_id: str, tokens: int, answer_tokens: int, markers: ThinkingMarkers | None, context_length: int
) -> None:
    room = (
        thinking_room(context_length, tokens, markers, answer_tokens)
        if markers is not None
        else context_length - tokens
    )
    if room < 1:
        raise invalid(
            "prompt_too_long",
            f"Prompt {prompt_id} has {tokens} tokens: with {answer_tokens} for the answer, nothing is left of the "
            f"model's context of {context_length}. Shorten the prompt or lower max_answer_tokens.",
        )


def _cut_at_stop(token_ids: Sequence[int], tokenizer: Any, stops: Sequence[str]) -> str | None:
    """The text before the first stop string, if there is one. Called after every token: it looks at the end first."""
    if not stops:
        return None
    # A token is at least a byte, a character at most four.
    window = 4 * max(map(len, stops)) + 4
    tail = tokenizer.decode(token_ids[-window:])
    if not any(stop in tail for stop in stops):
        return None
    text: str = tokenizer.decode(token_ids)
    positions = [text.find(stop) for stop in stops if stop in text]
    return text[: min(positions)] if positions else None


def check_request(request: pb.GenerateRequest) -> None:
    """What can be said without the model. Raises RequestError INVALID_ARGUMENT."""
    if len(request.prompts) > MAX_PROMPTS:
        raise invalid("too_many_prompts", f"{len(request.prompts)} prompts; at most {MAX_PROMPTS} a request.")
    for kind, ids in (
        ("prompt", [prompt.id for prompt in request.prompts]),
        ("policy", [policy.id for policy in request.policies]),
    ):
        twice = [one for one in ids if ids.count(one) > 1]
        if twice:
            raise invalid("id_not_unique", f"There are two of {kind} {twice[0]!r}.")
    sampling = request.sampling
    if sampling.samples < 1:
        raise invalid("sampling_invalid", "sampling.samples must be at least 1.")
    for prompt in request.prompts:
        if any(index >= sampling.samples for index in prompt.sample_indices):
            raise invalid(
                "sampling_invalid",
                f"Prompt {prompt.id}: sample_indices has {max(prompt.sample_indices)}, of {sampling.samples} samples.",
            )
    if not math.isfinite(sampling.temperature) or sampling.temperature < 0:
        raise invalid("sampling_invalid", "sampling.temperature must be 0 or above.")
    if sampling.HasField("top_p") and not 0 < sampling.top_p <= 1:
        raise invalid("sampling_invalid", "sampling.top_p must be above 0 and at most 1.")
    if sampling.HasField("top_k") and sampling.top_k < 1:
        raise invalid("sampling_invalid", "sampling.top_k must be at least 1.")
    if any(not stop for stop in sampling.stop):
        raise invalid("sampling_invalid", "A stop string is empty.")


def check_model(opened: OpenModel) -> None:
    """Our own decoding loop knows full attention only. Raises RequestError."""
    text = opened.model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    if kinds != {"full_attention"} or (window is not None and window < opened.context_length):
        raise invalid(
            "model_unsupported",
            f"{type(opened.model).__name__} does not attend to the whole sequence in every layer; Generate does not "
            "support that.",
        )
