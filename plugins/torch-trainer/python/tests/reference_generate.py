"""
Budget forcing the slow way: one policy, one prompt, one sequence, no cache, a whole forward pass for every token.
It shares no code with what it is compared to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Reference:
    """What a policy should yield."""

    thinking: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    # (kind, position, token ids)
    interventions: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)
    thinking_end: str = ""
    finish_reason: str = "length"


@dataclass(frozen=True)
class ReferencePolicy:
    maximum: int
    minimum: int = 0
    ignore: int = 0
    word: tuple[int, ...] = ()
    per_round: bool = False
    # Thinking that the context holds, whatever the maximum says.
    room: int = 1 << 30


@dataclass(frozen=True)
class ReferenceFormat:
    end: tuple[int, ...]
    # The end marker without trailing white space.
    seen_end: tuple[int, ...]
    newline: tuple[int, ...]
    final: tuple[int, ...]


# Logits after a sequence: token id -> score.
Next = Callable[[Sequence[int], frozenset[int]], int]


def reference_generate(
    next_token: Next,
    prompt: Sequence[int],
    form: ReferenceFormat,
    policy: ReferencePolicy,
    end_of_sequence: frozenset[int],
    max_answer_tokens: int,
    ends_in_newline: Callable[[Sequence[int]], bool],
) -> Reference:
    result = Reference()
    text: list[int] = list(prompt)
    round_start = 0
    extensions = 0
    while True:
        kind, content = _one_round(
            next_token, text, form, policy, end_of_sequence, round_start, len(prompt), extensions
        )
        result.thinking = content
        text = [*prompt, *content]
        if kind == "forced":
            break
        wants_more = extensions < policy.ignore or len(content) < policy.minimum
        budget = min(policy.room, (len(content) if policy.per_round else 0) + policy.maximum)
        if not wants_more or len(content) + len(policy.word) >= budget:
            break
        result.interventions.append(("extended", len(content), policy.word))
        extensions += 1
        round_start = len(content)
        text += policy.word
    result.thinking_end = kind
    if kind == "natural":
        text += form.end
    else:
        forced = (*(() if ends_in_newline(text) else form.newline), *form.end, *form.final)
        result.interventions.append(("ended", len(result.thinking), forced))
        text += forced
        result.answer += form.final
    for _ in range(max_answer_tokens):
        token = next_token(text, frozenset())
        if token in end_of_sequence:
            result.finish_reason = "stop"
            break
        result.answer.append(token)
        text.append(token)
    return result


def _one_round(
    next_token: Next,
    text: list[int],
    form: ReferenceFormat,
    policy: ReferencePolicy,
    end_of_sequence: frozenset[int],
    round_start: int,
    prompt_length: int,
    extensions: int,
) -> tuple[str, list[int]]:
    """Decodes far past the maximum if need be, and then looks at what it has."""
    limit = min(policy.room, (round_start if policy.per_round else 0) + policy.maximum)
    already = text[prompt_length:]
    decoded: list[int] = []
    marker = form.seen_end
    first = True
    while len(already) + len(decoded) <= limit + len(marker):
        banned = end_of_sequence | {marker[0]} if first and extensions else frozenset()
        first = False
        token = next_token([*text, *decoded], banned)
        if token in end_of_sequence:
            content = already + decoded
            return ("sequence", content) if len(content) <= limit else ("forced", content[:limit])
        decoded.append(token)
        if tuple(decoded[-len(marker) :]) == marker:
            content = already + decoded[: -len(marker)]
            return ("natural", content) if len(content) <= limit else ("forced", content[:limit])
    return "forced", (already + decoded)[:limit]
