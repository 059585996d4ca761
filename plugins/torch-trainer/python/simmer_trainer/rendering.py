"""Rows as text: the prompt, and the parts of the completion that are trained or only seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simmer_trainer.chat_template import render_chat
from simmer_trainer.errors import TrainingError
from simmer_trainer.messages import (
    are_calls_written,
    check_is_seen,
    check_is_written,
    check_prompt_is_seen,
    forms_of,
    has_calls,
    has_forms,
    is_last_thought_written,
    messages_of,
    names_of,
    tools_of,
    weights_of,
)


@dataclass(frozen=True)
class Part:
    """Of a completion."""

    text: str
    is_trained: bool


@dataclass(frozen=True)
class RowTexts:
    """Of a row, as the chat template writes them."""

    prompt: str
    completion: list[Part]
    loses_calls: bool = False


def render_row(row: dict[str, Any], tokenizer: Any, openings: Mapping[bool, str]) -> RowTexts:
    """
    @param openings what ends a reply although the next turn begins with it, by whether the reply calls a tool; mostly
    nothing. Raises TrainingError data_invalid
    """
    prompt, completion, loses_calls = row["prompt"], row["completion"], False
    if isinstance(prompt, list):
        messages, tools = messages_of(row, "prompt"), tools_of(row)
        replies = messages_of(row, "completion") if isinstance(completion, list) else []
        weights = weights_of(row, replies)
        chat = _as_template_takes(tokenizer, [*messages, *replies], tools)
        prompt = render_chat(tokenizer, chat[: len(messages)], tools, row_id=row["id"])
        check_is_seen(row["id"], "definitions of tools", names_of(tools or []), prompt)
        check_prompt_is_seen(row["id"], chat[: len(messages)], prompt)
        loses_calls = not are_calls_written(chat[: len(messages)], prompt)
        if replies:
            turns = {**row, "prompt": chat[: len(messages)], "completion": chat[len(messages) :], "tools": tools}
            return RowTexts(prompt, _render_turns(turns, weights, tokenizer, prompt, openings), loses_calls)
    if not isinstance(prompt, str) or not isinstance(completion, str):
        column, value = ("prompt", prompt) if not isinstance(prompt, str) else ("completion", completion)
        expected = (
            "text or a list of messages" if column == "prompt" else "text, or messages where the prompt is messages"
        )
        raise TrainingError(
            "data_invalid",
            f"Row {row['id']}: {column} is {'empty' if value is None else type(value).__name__}, not {expected}.",
            row_ids=[row["id"]],
        )
    return RowTexts(prompt, [Part(completion, is_trained=True)], loses_calls)


def _as_template_takes(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> list[dict[str, Any]]:
    """The messages in the form in which the template writes calls and thinking, or else calls; as they are, if none."""
    if not has_forms(messages):
        return messages
    with_calls = messages
    for form in forms_of(messages):
        try:
            text = render_chat(tokenizer, form, tools, generation_prompt=False)
        except TrainingError:
            continue
        if not are_calls_written(form, text):
            continue
        if is_last_thought_written(form, text):
            return form
        if with_calls is messages:
            with_calls = form
    return with_calls


def _render_turns(
    row: dict[str, Any], weights: Sequence[int], tokenizer: Any, prompt_text: str, openings: Mapping[bool, str]
) -> list[Part]:
    """A reply has what the template writes from its beginning on; what comes before the next one is not of it."""
    messages, completion, tools = list(row["prompt"]), row["completion"], row["tools"]
    roles = [message["role"] for message in completion]
    parts: list[Part] = []
    before, opening = prompt_text, ""
    for index, message in enumerate(completion):
        messages.append(message)
        is_reply, next_role = roles[index] == "assistant", (roles[index + 1 :] or [None])[0]
        if not is_reply and next_role not in ("assistant", None):
            # Templates may write what others say, several results of tools for one, as one turn.
            continue
        opens_reply = not is_reply and next_role == "assistant"
        text = render_chat(tokenizer, messages, tools, row_id=row["id"], generation_prompt=opens_reply)
        if parts and not text.startswith(before):
            parts[-1], before = _without_end_of_text(parts[-1], before, tokenizer)
        if not text.startswith(before):
            raise _cannot_be_told_apart(row["id"], roles, is_first=not parts)
        if opening and text.startswith(opening, len(before)):
            parts[-1], before = _ending_with(parts[-1], opening), f"{before}{opening}"
        if is_reply and index > 0 and roles[index - 1] == "assistant":
            # What opens a reply is seen, also where nobody spoke before it.
            opened = render_chat(tokenizer, messages[:-1], tools, row_id=row["id"])
            if opened.startswith(before) and text.startswith(opened):
                parts.append(Part(opened[len(before) :], is_trained=False))
                before = opened
        is_trained = is_reply and weights[index] == 1
        parts.append(Part(text[len(before) :], is_trained))
        if is_trained:
            check_is_written(row["id"], message, parts[-1].text)
        before, opening = text, openings[has_calls([message])] if is_reply else ""
    parts[-1] = _ending_with(parts[-1], opening)
    results = [message["content"] for message in completion if message["role"] == "tool"]
    check_is_seen(row["id"], "results of tools", results, before)
    return parts


def _ending_with(reply: Part, end: str) -> Part:
    return Part(f"{reply.text}{end}", reply.is_trained)


def _cannot_be_told_apart(row_id: str, roles: Sequence[str], *, is_first: bool) -> TrainingError:
    """Where a template writes former turns in another way than the last."""
    remedy = (
        "Give the completion as text"
        if is_first
        else "Train what replies to the last question (replies: last), or make each reply a row of its own"
        if "user" in roles
        else "Make each reply a row of its own"
    )
    return TrainingError(
        "data_invalid",
        f"Row {row_id}: the chat template renders prompt and completion together as a text that does not begin with "
        f"the {'prompt' if is_first else 'conversation before its last turn'}: what is trained cannot be told apart. "
        f"{remedy}.",
        row_ids=[row_id],
    )


def _without_end_of_text(reply: Part, before: str, tokenizer: Any) -> tuple[Part, str]:
    """
    A reply and the text up to it, without what some templates (Phi-3.5's) close every conversation with, behind the end
    of the reply, and write no more when somebody goes on.
    """
    end = tokenizer.eos_token
    text = reply.text.removesuffix(end) if end else reply.text
    specials = tuple(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    # gpt-oss's ends replies before the last with a token that ends no generation: trained with it, none would stop.
    if text == reply.text or not text.rstrip().endswith(specials):
        return reply, before
    return Part(text, reply.is_trained), before.removesuffix(end)
