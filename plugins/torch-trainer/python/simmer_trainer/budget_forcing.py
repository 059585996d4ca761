"""
Budget forcing by token ids: what is decoded and what is forced for one sample of one prompt, under all its policies.

No tensors here. A program is a generator: it yields what the model has to see next, is sent the token that the model
answers with, and calls `emit` for every policy that is done. It decodes the longest thinking once; shorter maxima and
waits go on from its prefix, so what they share is never decoded again, and what a policy gets is what it would get
alone.

The rules, which trainer.proto leaves to the trainer:
- The end marker is found by its token ids, trailing white space left out, and put back as a whole before the answer.
  Its tokens are no thinking and do not count: thinking that fits into the maximum and ends there has ended by itself.
- Suppressing the end also takes the end (marker or end of sequence) from what may come first after it, so that each
  round thinks at least one token (s1's evaluation fork: min_tokens 1).
- The end is suppressed only where the word and a token after it fit into what is left of the maximum.
- A maximum above what the context holds, less the answer, is that.
- Before a forced end marker there is a newline, unless the text ends in one.
- max_answer_tokens counts decoded tokens, not the final answer prompt.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum


class ThinkingEnd(Enum):
    """How thinking ended."""

    NONE = "none"
    NATURAL = "natural"
    FORCED = "forced"
    SEQUENCE = "sequence"


class FinishReason(Enum):
    """How the answer ended."""

    STOP = "stop"
    LENGTH = "length"
    STOP_STRING = "stopString"


@dataclass(frozen=True)
class Policy:
    """A thinking budget; see ThinkingPolicy in trainer.proto."""

    id: str
    max_thinking_tokens: int | None = None
    min_thinking_tokens: int = 0
    ignore_end_count: int = 0
    word_ids: tuple[int, ...] = ()
    is_per_round: bool = False


@dataclass(frozen=True)
class ThinkingMarkers:
    """What marks thinking, as token ids."""

    start: tuple[int, ...]
    # The end marker as it is put into the sequence, and the part of it that the model is held to.
    end: tuple[int, ...]
    natural_end: tuple[int, ...]
    newline: tuple[int, ...]
    final_answer_prompt: tuple[int, ...]


@dataclass(frozen=True)
class Intervention:
    """Something that was forced, before the thinking token at `position`."""

    is_end: bool
    position: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """One policy's sample."""

    policy_id: str
    thinking: list[int]
    answer: list[int]
    interventions: tuple[Intervention, ...]
    thinking_end: ThinkingEnd
    finish_reason: FinishReason
    shared_thinking_tokens: int
    # Text of the answer where a stop string cut it within a token.
    answer_text: str | None = None


@dataclass(frozen=True)
class Feed:
    """
    Asks for the token that follows: keep so many cached tokens, see these after them, choose without the banned ones.
    `stream` and `index` name the random number of a sampled choice; no two choices of a sample share one.
    """

    keep: int
    tokens: Sequence[int]
    banned: frozenset[int]
    stream: int
    index: int
    # Whose tokens these are, for those who watch live.
    policy_id: str


@dataclass
class Generation:
    """What all policies of a sample share. `prompt` has the start marker already."""

    prompt: Sequence[int]
    markers: ThinkingMarkers | None
    policies: Sequence[Policy]
    end_of_sequence: frozenset[int]
    max_answer_tokens: int
    context_length: int
    ends_in_newline: Callable[[Sequence[int]], bool]
    # Text before a stop string, where the answer holds one.
    cut_at_stop: Callable[[Sequence[int]], str | None]
    emit: Callable[[Outcome], None]
    cached: list[int] = field(default_factory=list)
    emitted: list[list[int]] = field(default_factory=list)


Program = Generator[Feed, int, None]

_ANSWER_STREAM = 1 << 31


def forced_overhead(markers: ThinkingMarkers) -> int:
    """Tokens that a forced end takes at most."""
    return len(markers.newline) + len(markers.end) + len(markers.final_answer_prompt)


def thinking_room(context_length: int, prompt_tokens: int, markers: ThinkingMarkers, max_answer_tokens: int) -> int:
    """Thinking tokens that the context holds beside the prompt (start marker included), a forced end and the answer."""
    return context_length - prompt_tokens - forced_overhead(markers) - max_answer_tokens


def run_program(generation: Generation) -> Program:
    """Answers the prompt under every policy."""
    markers = generation.markers
    if markers is None:
        yield from _answer(generation, [], [], ThinkingEnd.NONE, (), generation.policies)
        return
    room = thinking_room(generation.context_length, len(generation.prompt), markers, generation.max_answer_tokens)
    yield from _think(generation, markers, _Round((), 0, (), room), generation.policies)


@dataclass(frozen=True)
class _Round:
    """Thinking goes on after these tokens."""

    thinking: tuple[int, ...]
    number: int
    interventions: tuple[Intervention, ...]
    room: int

    def limit(self, policy: Policy) -> int:
        """Length of thinking at which the policy ends it in this round."""
        if policy.max_thinking_tokens is None:
            return self.room
        # The word that opens a round is part of it.
        start = self.interventions[-1].position if policy.is_per_round and self.interventions else 0
        return min(self.room, start + policy.max_thinking_tokens)

    def extended(self, length: int, word_ids: tuple[int, ...], thinking: Sequence[int]) -> "_Round":
        """The round after an end that was suppressed."""
        word = Intervention(False, length, word_ids)
        return replace(
            self,
            thinking=(*thinking, *word_ids),
            number=self.number + 1,
            interventions=(*self.interventions, word),
        )

    def extends(self, policy: Policy, thinking: Sequence[int]) -> bool:
        """Whether the policy suppresses an end after this thinking."""
        if self.number >= policy.ignore_end_count and len(thinking) >= policy.min_thinking_tokens:
            return False
        after = self.extended(len(thinking), policy.word_ids, thinking)
        return len(after.thinking) < after.limit(policy)


def _think(generation: Generation, markers: ThinkingMarkers, round_: _Round, policies: Sequence[Policy]) -> Program:
    """Decodes one round as far as any policy needs it, answers where policies end, and goes on where they suppress."""
    # Whoever may think longest is said to have thought; the others share it.
    policies = sorted(policies, key=round_.limit, reverse=True)
    longest = round_.limit(policies[0])
    thinking, end = yield from _decode_round(generation, markers, round_, longest, policies[0].id)

    ended = [policy for policy in policies if end is not None and round_.limit(policy) >= len(thinking)]
    extending = [policy for policy in ended if round_.extends(policy, thinking)]
    done = [policy for policy in ended if policy not in extending]
    if done and end is not None:
        yield from _end_thinking(generation, markers, thinking, end, round_, done)
    for word_ids in dict.fromkeys(policy.word_ids for policy in extending):
        next_round = round_.extended(len(thinking), word_ids, thinking)
        yield from _think(generation, markers, next_round, [p for p in extending if p.word_ids == word_ids])
    # Longest first: each goes on from a prefix that is still cached.
    cut = [policy for policy in policies if policy not in ended]
    for limit in sorted({round_.limit(policy) for policy in cut}, reverse=True):
        members = [policy for policy in cut if round_.limit(policy) == limit]
        yield from _end_thinking(generation, markers, thinking[:limit], ThinkingEnd.FORCED, round_, members)


def _decode_round(
    generation: Generation, markers: ThinkingMarkers, round_: _Round, longest: int, policy_id: str
) -> Generator[Feed, int, tuple[list[int], ThinkingEnd | None]]:
    """Thinking up to its end, or (without one) its first `longest` tokens."""
    tokens = list(round_.thinking)
    start = len(tokens)
    ends = generation.end_of_sequence | {markers.natural_end[0]}
    banned = ends if round_.number > 0 else frozenset[int]()
    keep, unseen = _see(generation, tokens)
    while True:
        token = yield Feed(keep, unseen, banned, round_.number, len(tokens), policy_id)
        banned = frozenset()
        if token in generation.end_of_sequence:
            return tokens, ThinkingEnd.SEQUENCE
        tokens.append(token)
        begun = _begun_marker(tokens, start, markers.natural_end)
        if begun == len(markers.natural_end):
            return tokens[:-begun], ThinkingEnd.NATURAL
        # What may yet become the end marker is no thinking until it is something else.
        if len(tokens) - begun > longest:
            return tokens[:longest], None
        keep, unseen = _see_next(generation, token)


def _begun_marker(tokens: Sequence[int], start: int, marker: tuple[int, ...]) -> int:
    """How many of the marker's tokens, from its first, the tokens after `start` end in."""
    for length in range(min(len(marker), len(tokens) - start), 0, -1):
        if tuple(tokens[-length:]) == marker[:length]:
            return length
    return 0


def _end_thinking(
    generation: Generation,
    markers: ThinkingMarkers,
    thinking: list[int],
    end: ThinkingEnd,
    round_: _Round,
    policies: Sequence[Policy],
) -> Program:
    if end is ThinkingEnd.NATURAL:
        yield from _answer(generation, thinking, list(markers.end), end, round_.interventions, policies)
        return
    newline = () if generation.ends_in_newline([*generation.prompt, *thinking]) else markers.newline
    forced = (*newline, *markers.end, *markers.final_answer_prompt)
    yield from _answer(
        generation,
        thinking,
        list(forced),
        end,
        (*round_.interventions, Intervention(True, len(thinking), forced)),
        policies,
        begun=list(markers.final_answer_prompt),
    )


def _answer(
    generation: Generation,
    thinking: list[int],
    between: list[int],
    end: ThinkingEnd,
    interventions: tuple[Intervention, ...],
    policies: Sequence[Policy],
    begun: Sequence[int] = (),
) -> Program:
    """Decodes the answer, once for all policies that thought the same. @param begun forced tokens of it"""
    before = [*thinking, *between]
    answer = list(begun)
    reason = FinishReason.LENGTH
    text: str | None = None
    room = generation.context_length - len(generation.prompt) - len(before)
    keep, unseen = _see(generation, before)
    for index in range(min(generation.max_answer_tokens, room)):
        token = yield Feed(keep, unseen, frozenset(), _ANSWER_STREAM, index, policies[0].id)
        if token in generation.end_of_sequence:
            reason = FinishReason.STOP
            break
        answer.append(token)
        text = generation.cut_at_stop(answer)
        if text is not None:
            reason = FinishReason.STOP_STRING
            break
        keep, unseen = _see_next(generation, token)
    for policy in policies:
        shared = max((_common_prefix(thinking, other) for other in generation.emitted), default=0)
        generation.emitted.append(thinking)
        generation.emit(Outcome(policy.id, thinking, answer, interventions, end, reason, shared, answer_text=text))


def _see(generation: Generation, tokens: Sequence[int]) -> tuple[int, list[int]]:
    """How much of prompt and tokens is cached already, and what the model has to see."""
    sequence = [*generation.prompt, *tokens]
    # At least one token is seen again, or nothing would say what follows.
    keep = min(_common_prefix(generation.cached, sequence), len(sequence) - 1)
    generation.cached[keep:] = sequence[keep:]
    return keep, sequence[keep:]


def _see_next(generation: Generation, token: int) -> tuple[int, list[int]]:
    """One token more."""
    generation.cached.append(token)
    return len(generation.cached) - 1, [token]


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    length = min(len(one), len(other))
    return next((index for index in range(length) if one[index] != other[index]), length)
