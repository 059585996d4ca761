"""Rows that are messages: what each must have, and what a chat template must make of them."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from simmer_trainer.errors import TrainingError, shorten

#: Nemotron's template takes what switches thinking on or off out of what a user says.
_SWITCH = re.compile(r"/(?:no_)?think")


def messages_of(row: dict[str, Any], column: str) -> list[dict[str, Any]]:
    """
    The messages of a row, without what a file of columns fills in where a message lacks what others have: templates ask
    whether it is there. Arguments of calls are objects. Raises TrainingError data_invalid
    """
    messages = [_without_nothing(message) for message in row[column]]
    for message in messages:
        fields = message if isinstance(message, dict) else {}
        if fields.get("tool_calls") == []:
            del fields["tool_calls"]
        if "tool_calls" in fields and fields.get("role") == "assistant":
            fields.setdefault("content", "")
        if not isinstance(fields.get("role"), str) or not isinstance(fields.get("content"), str):
            raise _invalid(row["id"], f"a message of {column} lacks its role or its content.")
        if not isinstance(fields.get("reasoning_content", ""), str):
            raise _invalid(row["id"], f"reasoning_content of a message of {column} is no text.")
        _open_calls(row["id"], column, fields)
    if not messages:
        raise _invalid(row["id"], f"{column} has no messages.")
    return messages


def tools_of(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Definitions of tools, a list or its JSON text; None where there are none. Raises TrainingError data_invalid"""
    # In JSON text a null is meant.
    tools = row.get("tools")
    tools = _read_json(tools or "[]") if isinstance(tools, str) else _without_nothing(tools)
    if tools is None or tools == []:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise _invalid(row["id"], "tools is no list of definitions, and no JSON text of one.")
    return tools


def weights_of(row: dict[str, Any], messages: Sequence[dict[str, Any]]) -> list[int]:
    """
    Takes what OpenAI's format has out of messages of a completion: 0 where a reply is only seen, else 1. No template
    asks for it. Raises TrainingError data_invalid
    """
    weights = [message.pop("weight", 1) for message in messages]
    for message, weight in zip(messages, weights, strict=True):
        if message["role"] == "assistant" and weight not in (0, 1):
            raise _invalid(row["id"], f"weight of a reply of completion is {weight}, and not 0 or 1.")
    return weights


def has_calls(messages: Sequence[dict[str, Any]]) -> bool:
    return any(message.get("tool_calls") for message in messages)


def has_forms(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether messages have what templates take in several forms."""
    return has_calls(messages) or any(message.get("reasoning_content") for message in messages)


def forms_of(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """
    What chat templates take: arguments that are objects; those that are JSON text, as OpenAI has them; or these, beside
    a content of null where a message says nothing, as DeepSeek's do. And thinking by the name that gpt-oss has for it.
    """
    thoughts = [
        {**message, "thinking": message["reasoning_content"]} if message.get("reasoning_content") else message
        for message in messages
    ]
    for named in (messages,) if thoughts == messages else (messages, thoughts):
        yield named
        if not has_calls(named):
            continue
        texts = [_with_texts(message) for message in named]
        yield texts
        yield [{**text, "content": text["content"] or None} if text.get("tool_calls") else text for text in texts]


def is_last_thought_written(messages: Sequence[dict[str, Any]], text: str) -> bool:
    """Whether a template wrote the thinking of a reply at the end: it may take out that of others."""
    last = messages[-1]
    thought = last.get("reasoning_content", "") if last["role"] == "assistant" else ""
    return _squeezed(thought) in _squeezed(text)


def are_calls_written(messages: Sequence[dict[str, Any]], text: str) -> bool:
    """Whether a template wrote all of them."""
    return not _missing_calls([call for message in messages for call in message.get("tool_calls", [])], _squeezed(text))


def check_is_written(row_id: str, reply: dict[str, Any], text: str) -> None:
    """
    Some templates take the thinking out of every reply, or know nothing of reasoning_content or tool_calls: what is not
    in the text is not trained. White space counts for nothing. Raises TrainingError data_invalid
    """
    written = _squeezed(text)
    missing = [part for part in _texts_of(reply) if _squeezed(part) not in written]
    missing += _missing_calls(reply.get("tool_calls", []), written)
    if missing:
        raise _invalid(
            row_id,
            "the chat template leaves out a part of a reply, which would not be trained: "
            f"{shorten([part.strip()[:40] for part in missing])}. Give the completion as text.",
        )


def check_is_seen(row_id: str, what: str, texts: Sequence[str], text: str) -> None:
    """
    What the model may call, and what came of it, is in the text that it sees. @param what these are
    Raises TrainingError data_invalid
    """
    if not texts:
        return
    written = _squeezed(text)
    missing = [part for part in texts if not any(_squeezed(spelling) in written for spelling in _spellings(part))]
    if missing:
        raise _invalid(
            row_id,
            f"the chat template leaves out {what}, which the model would not see: "
            f"{shorten([part.strip()[:40] for part in missing])}. Say it in a system message and leave it out here, or "
            "give prompt and completion as text.",
        )


def check_prompt_is_seen(row_id: str, messages: Sequence[dict[str, Any]], text: str) -> None:
    """
    What others than the model say in a prompt: some templates leave out a role that they do not know. Of former replies
    they may leave out what they like, as when the model is asked, and some rewrite system messages.
    Raises TrainingError data_invalid
    """
    said = [message["content"] or "" for message in messages if message["role"] not in ("assistant", "system")]
    check_is_seen(row_id, "a message of the prompt", [_SWITCH.sub("", one) for one in said], _SWITCH.sub("", text))


def names_of(tools: Sequence[dict[str, Any]]) -> list[str]:
    return [str(_function_of(tool).get("name", "")) for tool in tools]


def _open_calls(row_id: str, column: str, message: dict[str, Any]) -> None:
    """Makes the arguments of all calls of a message objects."""
    calls = message.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise _invalid(row_id, f"tool_calls of a message of {column} are no list of calls.")
    for call in calls:
        function = _function_of(call)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _invalid(row_id, f"a call of {column} lacks the name of its function.")
        given = function.get("arguments")
        arguments = _read_json(given or "{}") if isinstance(given, str) else given if given is not None else {}
        if not isinstance(arguments, dict):
            raise _invalid(row_id, f"arguments of a call of {function['name']} are no object, and no JSON text of one.")
        function["arguments"] = arguments


def _function_of(call: dict[str, Any]) -> Any:
    """Some have its name and arguments beside each other, without `function` around them."""
    return call.get("function", call)


def _with_texts(message: dict[str, Any]) -> dict[str, Any]:
    calls = []
    for call in message.get("tool_calls", []):
        function = {**_function_of(call), "arguments": _json(_function_of(call)["arguments"])}
        calls.append({"type": "function", **call, "function": function} if "function" in call else function)
    return {**message, "tool_calls": calls} if calls else message


def _texts_of(reply: dict[str, Any]) -> Iterator[str]:
    """What it says and thinks. Templates have marks of their own around thinking."""
    for name in ("reasoning_content", "content"):
        yield from re.split(r"</?think>", reply.get(name) or "")


def _missing_calls(calls: Sequence[dict[str, Any]], written: str) -> list[str]:
    """Those that are not in a text without white space; one that is made twice must be there twice."""
    missing = []
    times: Counter[str] = Counter()
    for function in map(_function_of, calls):
        name, arguments = function["name"], function["arguments"]
        call = f"{name} {arguments if isinstance(arguments, str) else _json(arguments)}"
        times.update((name, call))
        if written.count(_squeezed(name)) < times[name] or not _has_arguments(arguments, written, times[call]):
            missing.append(call)
    return missing


def _has_arguments(arguments: dict[str, Any] | str, written: str, times: int) -> bool:
    """As JSON, or, as the templates of Qwen3-Coder and GLM-4.5 write them, each by itself."""

    def is_there(spellings: Sequence[str]) -> bool:
        return any(written.count(_squeezed(spelling)) >= times for spelling in spellings)

    if isinstance(arguments, str):
        return is_there([arguments])
    if is_there([_json(arguments), json.dumps(arguments)]):
        return True
    # What Python makes of an object is no JSON: this template takes text.
    is_repr = bool(arguments) and _squeezed(str(arguments)) in written
    return not is_repr and all(is_there(_spellings(leaf)) for leaf in _leaves_of(arguments))


def _leaves_of(value: Any) -> Iterator[Any]:
    """All keys and values of an object."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves_of(item)
    else:
        yield value


def _spellings(leaf: Any) -> list[str]:
    """How templates may write it: as it is, or as JSON has it."""
    texts = [_json(leaf), json.dumps(leaf)]
    return [str(leaf), *(text[1:-1] if isinstance(leaf, str) else text for text in texts)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _read_json(text: str) -> Any:
    """The text itself where it is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value


def _invalid(row_id: str, what: str) -> TrainingError:
    return TrainingError("data_invalid", f"Row {row_id}: {what}", row_ids=[row_id])
