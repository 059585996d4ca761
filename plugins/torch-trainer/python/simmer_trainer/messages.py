"""Rows that are messages: what each must have, and what a chat template must make of a reply."""

import re
from collections.abc import Iterator
from typing import Any

from simmer_trainer.errors import TrainingError, shorten


def messages_of(row: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """
    The messages of a row, without what a file of columns fills in where a message lacks what others have: templates ask
    whether it is there. Raises TrainingError data_invalid
    """
    messages = [_without_nothing(message) for message in row[column]]
    for message in messages:
        fields = message if isinstance(message, dict) else {}
        if not isinstance(fields.get("role"), str) or not isinstance(fields.get("content"), str):
            raise TrainingError(
                "data_invalid",
                f"Row {row['id']}: a message of {column} lacks its role or its content.",
                row_ids=[row["id"]],
            )
    if not messages:
        raise TrainingError("data_invalid", f"Row {row['id']}: {column} has no messages.", row_ids=[row["id"]])
    return messages


def check_is_written(row_id: str, reply: dict[str, Any], text: str) -> None:
    """
    Some templates take the thinking out of every reply, or know nothing of reasoning_content or tool_calls: what is not
    in the text is not trained. White space counts for nothing. Raises TrainingError data_invalid
    """
    written = _squeezed(text)
    try:
        missing = [part for part in _parts_of(reply) if _squeezed(part) not in written]
    except (AttributeError, TypeError) as error:
        raise TrainingError(
            "data_invalid",
            f"Row {row_id}: reasoning_content of a reply is no text, or its tool_calls are no list of calls.",
            row_ids=[row_id],
        ) from error
    if missing:
        raise TrainingError(
            "data_invalid",
            f"Row {row_id}: the chat template leaves out a part of a reply, which would not be trained: "
            f"{shorten([part.strip()[:40] for part in missing])}. Give the completion as text.",
            row_ids=[row_id],
        )


def _parts_of(reply: dict[str, Any]) -> Iterator[str]:
    """What it says, thinks and calls. Templates have marks of their own around thinking."""
    for name in ("reasoning_content", "content"):
        yield from re.split(r"</?think>", reply.get(name) or "")
    for call in reply.get("tool_calls") or []:
        yield str(call.get("function", call).get("name", ""))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value
