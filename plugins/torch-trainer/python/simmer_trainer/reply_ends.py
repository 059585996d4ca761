"""What ends a reply: a model that never saw it does not stop."""

from typing import Any

from simmer_trainer.chat_template import render_chat
from simmer_trainer.errors import TrainingError

# Nothing that a template or a tokenizer would change.
PROBE = "simmer7probe"
USER = {"role": "user", "content": PROBE}
REPLY = {"role": "assistant", "content": PROBE}
_CALL = {"type": "function", "id": "simmer7id", "function": {"name": PROBE, "arguments": {}}}
_RESULT = {"role": "tool", "name": PROBE, "tool_call_id": "simmer7id", "content": PROBE}


def ends_of_reply(tokenizer: Any) -> set[int]:
    """What ends generation, and what the template writes after a reply."""
    opening = opening_after(tokenizer, calls=False)
    return {tokenizer.eos_token_id, written_end(tokenizer), *_special_in(tokenizer, opening)} - {None}


def ends_of_call(tokenizer: Any) -> set[int]:
    """
    The last special token after a call: those before it close the call, as does one after which another call follows.
    gpt-oss and Gemma 4 have one of its own. DeepSeek-V3's template writes none after a single call.
    """
    # The question has the probe, too: what is between it and a single call opens the reply.
    between = _written(tokenizer, USER, _calling(2)).split(PROBE)[2:-1]
    last = set(_special_after(tokenizer, _calling(1))[-1:]) - set(_special_in(tokenizer, "".join(between)))
    return last | set(_special_in(tokenizer, opening_after(tokenizer, calls=True)))


def opening_after(tokenizer: Any, *, calls: bool) -> str:
    """
    The special token that opens the turn after a reply, where the template writes none that ends a reply: as GLM-4's
    models have it, it is what ends generation. @param calls whether the reply calls a tool
    """
    if written_end(tokenizer) is not None:
        return ""
    reply, turn = (_calling(1), _RESULT) if calls else (REPLY, USER)
    alone, further = _written(tokenizer, USER, reply), _written(tokenizer, USER, reply, turn)
    if not alone or not further.startswith(alone):
        return ""
    specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return max((one for one in specials if further.startswith(one, len(alone))), key=len, default="")


def written_end(tokenizer: Any) -> int | None:
    """The first special token that the template writes after a reply; None also where it writes no reply of its own."""
    return next(iter(_special_after(tokenizer, REPLY)), None)


def _calling(times: int) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [_CALL] * times}


def _special_after(tokenizer: Any, reply: dict[str, Any]) -> list[int]:
    """The special tokens that the template writes after the probe in a reply."""
    return _special_in(tokenizer, _written(tokenizer, USER, reply).rpartition(PROBE)[2])


def _written(tokenizer: Any, *messages: dict[str, Any]) -> str:
    """A conversation as it stands; nothing where the template refuses it."""
    try:
        return render_chat(tokenizer, list(messages), generation_prompt=False)
    except TrainingError:
        return ""


def _special_in(tokenizer: Any, text: str) -> list[int]:
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    written = tokenizer(text, add_special_tokens=False)["input_ids"]
    # Of some tokenizers, as Gemma's, white space is among the added tokens.
    return [token for token in written if token in special and tokenizer.decode([token]).strip()]
