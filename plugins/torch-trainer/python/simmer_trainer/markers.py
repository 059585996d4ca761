"""
Whether a chat template and its tokenizer agree, and replies end: what is silently wrong otherwise. A marker that is no
token is trained as so many characters, and a model that never saw the end of a reply never stops.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from simmer_trainer.chat_template import render_chat
from simmer_trainer.data import TokenizedRow
from simmer_trainer.errors import TrainingError, shorten
from simmer_trainer.messages import has_calls
from simmer_trainer.reply_ends import PROBE, REPLY, USER, ends_of_call, ends_of_reply, written_end

_MARKER = re.compile(r"<\|[^|<>\s]+\|>|<(?:start|end)_of_turn>|\[/?INST\]")


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
    @returns rows, by their ids, of which a trained reply has nothing that ends it, where those of others have it
    Raises TrainingError template_markers_missing
    """
    chats = [row for values, row in zip(raw, rows, strict=True) if isinstance(values["prompt"], list)]
    if not chats:
        # The caller wrote all markers that there are, but for the end, which is always there.
        return []
    ends = ends_of_reply(tokenizer)
    if any(has_calls(values["completion"]) for values in raw if isinstance(values["completion"], list)):
        ends |= ends_of_call(tokenizer)
    # A row that was cut has lost its end, and is counted elsewhere.
    whole = [row for row in chats if not row.truncated]
    # Asked for once: of some tokenizers, as Gemma's, these are thousands, which takes as long as all else of many rows.
    added = set(tokenizer.added_tokens_decoder)
    endless = [row.id for row in whole if not all(_is_ended(reply, ends, added, tokenizer) for reply in row.replies)]
    if whole and len(endless) == len(whole):
        names = " or ".join(sorted(tokenizer.convert_ids_to_tokens(sorted(ends))))
        raise _missing(
            f"every completion has a reply without a token that ends one ({names}), so the model would not learn to "
            "stop. Let completions that are text end with it, as curation/format does; in messages, the chat template "
            "has to write it",
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


def _is_ended(reply: Sequence[int], ends: set[int], added: set[int], tokenizer: Any) -> bool:
    """Behind all that it says: a text may speak of such tokens. @param added tokens that stand for no text"""
    closing = takewhile(lambda token: token in added or not tokenizer.decode([token]).strip(), reversed(reply))
    return not ends.isdisjoint(closing)


def _check_are_tokens(tokenizer: Any) -> None:
    text = render_chat(tokenizer, [USER])
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
    if render_chat(tokenizer, [USER]) != render_chat(tokenizer, [USER], generation_prompt=False):
        return
    asked = render_chat(tokenizer, [USER])
    after = render_chat(tokenizer, [USER, REPLY], generation_prompt=False).rpartition(PROBE)[2]
    if after and asked.endswith(after):
        raise _missing(
            "the chat template ends every conversation with the prompt for the next reply, so where a completion that "
            "is given as messages ends cannot be told. Give completions as text, as curation/format does"
        )


def _missing(what: str, row_ids: Sequence[str] = ()) -> TrainingError:
    return TrainingError("template_markers_missing", f"Markers are missing: {what}.", row_ids=row_ids[:100])
