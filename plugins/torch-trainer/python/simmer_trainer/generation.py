"""Serves Generate: many budget programs side by side on one model, one token of each at a time."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch

from simmer_trainer import describe
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
from simmer_trainer.data import render_chat
from simmer_trainer.errors import TrainingError, invalid
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_messages import sample_message
from simmer_trainer.models import OpenModel
from simmer_trainer.sampling import Sampling, choose, sample_seed, uniform
from simmer_trainer.slot_cache import SlotCache

MAX_PROMPTS = 512
_PROGRESS_SECONDS = 0.3
_MAX_ROWS = {"cpu": 256, "cuda": 512, "mps": 64}
# Share of the free memory that the cache may take.
_CACHE_SHARE = 0.4
# Tokens, padding included, in one pass over prompts.
_PREFILL_TOKENS = {"cpu": 4096, "cuda": 32_768, "mps": 8192}


@dataclass
class _Row:
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


def generate(
    request: pb.GenerateRequest, opened: OpenModel, is_active: Callable[[], bool]
) -> Iterator[pb.GenerateResponse]:
    """
    Answers every prompt under every policy, samples as they finish. Pull-based: while nothing is asked for, nothing is
    decoded. Returns early where `is_active` says that nobody listens.
    """
    decoder = Decoder(request, opened)
    started = time.monotonic()
    told_at, told_tokens = started, 0
    while decoder.has_work and is_active():
        decoder.step()
        for response in decoder.take_samples():
            yield pb.GenerateResponse(sample=response)
        now = time.monotonic()
        if now - told_at < _PROGRESS_SECONDS and decoder.has_work:
            continue
        if request.stream_tokens:
            for tokens in decoder.take_live():
                yield pb.GenerateResponse(tokens=tokens)
        yield pb.GenerateResponse(
            progress=pb.GenerationProgress(
                samples_completed=decoder.samples_completed,
                samples_total=decoder.samples_total,
                tokens_decoded=decoder.tokens_decoded,
                tokens_per_second=(decoder.tokens_decoded - told_tokens) / max(now - told_at, 1e-9),
                peak_memory_bytes=describe.peak_memory_bytes(),
            )
        )
        told_at, told_tokens = now, decoder.tokens_decoded
    if is_active():
        yield pb.GenerateResponse(
            completed=pb.GenerationCompleted(
                samples=decoder.samples_completed,
                tokens_decoded=decoder.tokens_decoded,
                seconds=time.monotonic() - started,
                peak_memory_bytes=describe.peak_memory_bytes(),
            )
        )


class Decoder:
    """The rows that are decoded now, those that wait for a place, and the cache."""

    def __init__(self, request: pb.GenerateRequest, opened: OpenModel) -> None:
        self._model = opened.model
        self._tokenizer = opened.tokenizer
        self._device = torch.device(describe.device().name)
        self._sampling = Sampling(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p if request.sampling.HasField("top_p") else None,
            top_k=request.sampling.top_k if request.sampling.HasField("top_k") else None,
        )
        rows = _make_rows(request, opened)
        # Long prompts first: neighbours are padded to each other, and the longest work starts earliest.
        self._waiting = deque(sorted(rows, key=lambda row: -row.prompt_tokens))
        self._active: list[_Row] = []
        policies = max(1, len(request.policies)) if request.HasField("thinking_format") else 1
        self.samples_total = len(rows) * policies
        self.samples_completed = 0
        self.tokens_decoded = 0
        self._ready: list[pb.Sample] = []
        self._capacity = min(len(rows), _choose_batch(request, opened, rows))
        self._cache = SlotCache(self._model.config, self._capacity, self._model.dtype, self._device)

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._active)

    def take_samples(self) -> list[pb.Sample]:
        ready, self._ready = self._ready, []
        return ready

    def take_live(self) -> list[pb.TokensGenerated]:
        """Tokens since the last call."""
        messages = []
        for row in self._active:
            if row.live:
                messages.append(
                    pb.TokensGenerated(
                        prompt_id=row.prompt_id,
                        policy_id=row.feed.policy_id,
                        sample_index=row.sample_index,
                        text=self._tokenizer.decode(row.live),
                        token_count=len(row.live),
                    )
                )
                row.live = []
        return messages

    @torch.inference_mode()
    def step(self) -> None:
        """Takes in rows while there is room, and moves every active row on by one token."""
        room = self._capacity - len(self._active)
        # A few at a time would waste passes: a big batch is refilled when an eighth of it is free.
        if self._waiting and (room >= max(1, self._capacity // 8) or not self._active):
            self._admit(room)
        if not self._active:
            return
        tokens = [row.queue.popleft() for row in self._active]
        lengths = [row.length for row in self._active]
        logits = self._forward([[token] for token in tokens], lengths, first_row=0)
        for row in self._active:
            row.length += 1
        choosing = [index for index, row in enumerate(self._active) if not row.queue]
        if choosing:
            rows = [self._active[index] for index in choosing]
            chosen = choose(
                logits[choosing].float(),
                self._sampling,
                [row.feed.banned for row in rows],
                [uniform(row.seed, row.feed.stream, row.feed.index) for row in rows]
                if self._sampling.temperature > 0
                else [],
            )
            self.tokens_decoded += len(rows)
            for row, token in zip(rows, chosen, strict=True):
                self._tell(row, token)
            # From the back, so that a row that moves into a gap has been looked at.
            for index in reversed(choosing):
                if not self._active[index].queue:
                    self._retire(index)

    def _tell(self, row: _Row, token: int) -> None:
        """Sends a program its token; one that has ended is left with nothing to feed."""
        policy_id = row.feed.policy_id
        row.live.append(token)
        with suppress(StopIteration):
            row.ask(row.program.send(token))
        if row.feed.policy_id != policy_id:
            row.live = []
        self._collect(row)

    def _collect(self, row: _Row) -> None:
        for outcome in row.outcomes:
            self._ready.append(
                sample_message(
                    outcome,
                    self._tokenizer,
                    prompt_id=row.prompt_id,
                    sample_index=row.sample_index,
                    seed=row.seed,
                    prompt_tokens=row.prompt_tokens,
                )
            )
        self.samples_completed += len(row.outcomes)
        row.outcomes.clear()

    def _retire(self, index: int) -> None:
        last = len(self._active) - 1
        if index != last:
            self._cache.move(last, index, self._active[last].length)
            self._active[index] = self._active[last]
        self._active.pop()

    def _admit(self, room: int) -> None:
        """Starts programs and has the model see their prompts, all but the last token, which the next step takes."""
        admitted: list[_Row] = []
        while self._waiting and len(admitted) < room:
            row = self._waiting.popleft()
            try:
                row.ask(next(row.program))
            except StopIteration:
                # Nothing to decode: no answer was asked for.
                self._collect(row)
                continue
            admitted.append(row)
        budget = _PREFILL_TOKENS[self._device.type]
        start = 0
        while start < len(admitted):
            longest = max(1, len(admitted[start].queue) - 1)
            group = admitted[start : start + max(1, budget // longest)]
            prompts = [[row.queue.popleft() for _ in range(len(row.queue) - 1)] for row in group]
            # A long prompt goes in parts, so that attention never sees more than its share at once.
            for begin in range(0, max(map(len, prompts)), budget):
                part = [prompt[begin : begin + budget] for prompt in prompts]
                self._forward(part, [row.length for row in group], first_row=len(self._active))
                for row, tokens in zip(group, part, strict=True):
                    row.length += len(tokens)
            self._active += group
            start += len(group)

    def _forward(self, tokens: Sequence[Sequence[int]], lengths: Sequence[int], first_row: int) -> torch.Tensor:
        """
        Has rows see tokens after what they have. Shorter ones are padded behind their end, where the padding is
        overwritten before it is seen. Returns the logits after each row's last token [rows, vocabulary], right only
        where nothing was padded.
        """
        width = max(map(len, tokens))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in tokens], device=self._device)
        start = torch.tensor(lengths, device=self._device)[:, None]
        positions = start + torch.arange(width, device=self._device)  # [rows, width]
        seen = max(lengths) + width
        mask = torch.arange(seen, device=self._device) <= positions[:, None, :, None]  # [rows, 1, width, seen]
        self._cache.aim(slice(first_row, first_row + len(tokens)), positions, seen)
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def _make_rows(request: pb.GenerateRequest, opened: OpenModel) -> list[_Row]:
    tokenizer = opened.tokenizer
    markers = _markers(request, tokenizer)
    policies = [_policy(policy, tokenizer) for policy in request.policies] if markers is not None else []
    stops = list(request.sampling.stop)
    rows = []
    for prompt in request.prompts:
        token_ids = prompt_token_ids(prompt, tokenizer) + (list(markers.start) if markers else [])
        _check_fits(prompt.id, len(token_ids), request.sampling.max_answer_tokens, markers, opened.context_length)
        for index in range(request.sampling.samples):
            outcomes: list[Outcome] = []
            generation = Generation(
                prompt=token_ids,
                markers=markers,
                policies=policies or [Policy(id="")],
                end_of_sequence=end_of_sequence_ids(opened),
                max_answer_tokens=request.sampling.max_answer_tokens,
                context_length=opened.context_length,
                ends_in_newline=lambda ids: tokenizer.decode(ids[-4:]).endswith("\n"),
                cut_at_stop=lambda ids: _cut_at_stop(ids, tokenizer, stops),
                emit=outcomes.append,
            )
            rows.append(
                _Row(
                    prompt_id=prompt.id,
                    sample_index=index,
                    seed=sample_seed(request.sampling.seed, prompt.id, index),
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


def encode(tokenizer: Any, text: str) -> tuple[int, ...]:
    """Markers in the text become tokens; nothing is added."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def end_of_sequence_ids(opened: OpenModel) -> frozenset[int]:
    configured = getattr(opened.model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (*ids, opened.tokenizer.eos_token_id) if token is not None)


def _markers(request: pb.GenerateRequest, tokenizer: Any) -> ThinkingMarkers | None:
    if not request.HasField("thinking_format"):
        return None
    form = request.thinking_format
    end = encode(tokenizer, form.end)
    if not end:
        raise invalid("thinking_format_invalid", "thinking_format.end is empty: nothing could end thinking.")
    stripped = encode(tokenizer, form.end.rstrip())
    return ThinkingMarkers(
        start=encode(tokenizer, form.start),
        end=end,
        natural_end=stripped if stripped and end[: len(stripped)] == stripped else end,
        newline=encode(tokenizer, "\n"),
        final_answer_prompt=encode(tokenizer, form.final_answer_prompt),
    )


def _policy(policy: pb.ThinkingPolicy, tokenizer: Any) -> Policy:
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
        word_ids=encode(tokenizer, policy.word),
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


def _choose_batch(request: pb.GenerateRequest, opened: OpenModel, rows: Sequence[_Row]) -> int:
    if request.HasField("max_batch_size"):
        return max(1, request.max_batch_size)
    device = describe.device().name.partition(":")[0]
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    limits = [policy.max_thinking_tokens or opened.context_length for policy in request.policies]
    tokens = max(row.prompt_tokens for row in rows) + request.sampling.max_answer_tokens + max(limits, default=0) + 16
    row_bytes = SlotCache.bytes_per_token(opened.model.config, opened.model.dtype) * min(tokens, opened.context_length)
    return max(1, min(_MAX_ROWS[device], int(free * _CACHE_SHARE / row_bytes)))
