"""
Whether a chat template and its tokenizer agree, and replies end: what is silently wrong otherwise. A marker that is no
token is trained as so many characters, and a model that never saw the end of a reply never stops.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from simmer_trainer.data import TokenizedRow, render_chat
from simmer_trainer.errors import TrainingError, shorten
from simmer_trainer.messages import has_calls

_MARKER = re.compile(r"<\|[^|<>\s]+\|>|<(?:start|end)_of_turn>|\[/?INST\]")
# Nothing that a template or a tokenizer would change.
_PROBE = "simmer7probe"
_USER = {"role": "user", "content": _PROBE}
_REPLY = {"role": "assistant", "content": _PROBE}
_CALL = {"type": "function", "id": "simmer7id", "function": {"name": _PROBE, "arguments": {}}}


def check_template(raw: Sequence[dict[str, Any]], tokenizer: Any) -> None:
    """
    What can be said before rows are tokenized. @param raw rows as they were read
    Raises TrainingError template_markers_missing
    """
    chats = [row for row in raw if isinstance(row["prompt"], list)]
    # Without a template, the first chat is refused by its name.
    if not chats or not tokenizer.chat_template:
        return
    _check_are_tokens(tokenizer)
    if any(isinstance(row["completion"], list) for row in chats):
        _check_reply_can_be_told(tokenizer)


def check_markers(raw: Sequence[dict[str, Any]], rows: Sequence[TokenizedRow], tokenizer: Any) -> list[str]:
    """
    @param raw rows as they were read @param rows the same, as tokens
    @returns rows, by their ids, whose completion has nothing that ends a reply, where others have it
    Raises TrainingError template_markers_missing
    """
    chats = [row for values, row in zip(raw, rows, strict=True) if isinstance(values["prompt"], list)]
    if not chats:
        # The caller wrote all markers that there are, but for the end, which is always there.
        return []
    ends = _ends_of_reply(tokenizer)
    if any(has_calls(values["completion"]) for values in raw if isinstance(values["completion"], list)):
        ends |= _ends_of_call(tokenizer)
    # A row that was cut has lost its end, and is counted elsewhere.
    whole = [row for row in chats if not row.truncated]
    endless = [row.id for row in whole if not ends & set(row.token_ids[row.prompt_tokens :])]
    if whole and len(endless) == len(whole):
        names = " or ".join(sorted(tokenizer.convert_ids_to_tokens(sorted(ends))))
        raise _missing(
            f"no completion has a token that ends a reply ({names}), so the model would not learn to stop. Let "
            "completions end with it, as curation/format does, or give them as messages",
            endless,
        )
    return endless


def end_of_rows(rows: Sequence[TokenizedRow], tokenizer: Any) -> int | None:
    """The special token that most rows end with, but for white space behind it: with it the model learns to stop."""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    # Rows that were cut, or go on after the last reply, end elsewhere.
    whole = [row.token_ids for row in rows if not row.truncated and row.trained_mask[-1]]
    ends = Counter(next((token for token in reversed(ids) if tokenizer.decode([token]).strip()), None) for ids in whole)
    token, count = ends.most_common(1)[0] if ends else (None, 0)
    return token if token in special and 2 * count > len(whole) else None


def _check_are_tokens(tokenizer: Any) -> None:
    text = render_chat(tokenizer, [_USER])
    unknown = [
        marker
        for marker in dict.fromkeys(_MARKER.findall(text))
        if len(tokenizer(marker, add_special_tokens=False)["input_ids"]) != 1
    ]
    # Llama 2's and Zephyr's templates write markers as text, and end replies with a token for all that.
    if unknown and written_end(tokenizer) is None:
        raise _missing(
            f"the chat template writes {shorten(unknown)}, and that is no token of the tokenizer: template and "
            "tokenizer are of different models"
        )


def _check_reply_can_be_told(tokenizer: Any) -> None:
    """Some templates end with the prompt for the next reply, asked for or not: it would be trained, too."""
    if render_chat(tokenizer, [_USER]) != render_chat(tokenizer, [_USER], generation_prompt=False):
        return
    asked = render_chat(tokenizer, [_USER])
    after = render_chat(tokenizer, [_USER, _REPLY], generation_prompt=False).rpartition(_PROBE)[2]
    if after and asked.endswith(after):
        raise _missing(
            "the chat template ends every conversation with the prompt for the next reply, so where a completion that "
            "is given as messages ends cannot be told. Give completions as text, as curation/format does"
        )


def _ends_of_reply(tokenizer: Any) -> set[int]:
    """What ends generation, and what the template writes after a reply."""
    return {tokenizer.eos_token_id, written_end(tokenizer)} - {None}


def _ends_of_call(tokenizer: Any) -> set[int]:
    """The last special token after a call: those before it close the call. gpt-oss and Gemma 4 have one of its own."""
    return set(_special_after(tokenizer, {"role": "assistant", "content": "", "tool_calls": [_CALL]})[-1:])


def written_end(tokenizer: Any) -> int | None:
    """The first special token that the template writes after a reply; None also where it writes no reply of its own."""
    return next(iter(_special_after(tokenizer, _REPLY)), None)


def _special_after(tokenizer: Any, reply: dict[str, Any]) -> list[int]:
    """The special tokens that the template writes after the probe in a reply."""
    try:
        after = render_chat(tokenizer, [_USER, reply], generation_prompt=False).rpartition(_PROBE)[2]
    except TrainingError:
        return []
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    written = tokenizer(after, add_special_tokens=False)["input_ids"]
    # Of some tokenizers, as Gemma's, white space is among the added tokens.
    return [token for token in written if token in special and tokenizer.decode([token]).strip()]


def _missing(what: str, row_ids: Sequence[str] = ()) -> TrainingError:
    return TrainingError("template_markers_missing", f"Markers are missing: {what}.", row_ids=row_ids[:100])
