"""Where a reply ends, by templates that write it in ways of their own."""

from typing import Any

import pytest

from simmer_trainer.byte_tokenizer import make_byte_tokenizer
from simmer_trainer.data import tokenize
from simmer_trainer.markers import check_markers, end_of_rows

QUESTION = [{"role": "user", "content": "2+3?"}]
CALL = {"type": "function", "function": {"name": "add", "arguments": "{}"}}

# Phi-3.5's: what closes a conversation is written once, behind the end of its last turn.
CLOSED = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}{{ eos_token }}{% endif %}"
)


def test_what_closes_a_conversation_is_trained_behind_the_last_reply_alone() -> None:
    tokenizer = make_byte_tokenizer(512)
    tokenizer.eos_token, tokenizer.chat_template = "<|endoftext|>", CLOSED
    reply = {"role": "assistant", "content": "5"}
    raw = [{"id": "a", "prompt": QUESTION, "completion": [reply, *QUESTION, reply, reply]}]
    (row,) = rows = tokenize(raw, tokenizer, 1000)
    assert check_markers(raw, rows, tokenizer) == []
    assert [tokenizer.decode(one) for one in row.replies] == ["5<|im_end|>\n"] * 2 + ["5<|im_end|>\n<|endoftext|>"]
    messages = [*QUESTION, *raw[0]["completion"]]
    assert tokenizer.decode(row.token_ids) == tokenizer.apply_chat_template(messages, tokenize=False)


# GLM-4's: nothing ends a turn but what opens the next one, and at that, generation ends.
OPENED = (
    "{% for message in messages %}<|{{ 'observation' if message.role == 'tool' else message.role }}|>"
    "{{ '\n' + message.content }}{% for call in message.tool_calls or [] %}"
    "<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_a_reply_ends_with_what_opens_the_next_turn_where_the_template_has_no_other_end() -> None:
    tokenizer = make_byte_tokenizer(512)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>", "<|observation|>"]})
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    tokenizer.chat_template = OPENED
    reply = {"role": "assistant", "content": "5"}
    asked = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    result = {"role": "tool", "content": "4"}
    call = '\n<tool_call>{"name": "add", "arguments": {}}</tool_call><|observation|>'
    for completion, wanted in (
        ([reply], ["\n5<|user|>"]),
        ([asked], [call]),
        ([reply, *QUESTION, asked, result, reply], ["\n5<|user|>", call, "\n5<|user|>"]),
        ([{**reply, "weight": 0}, *QUESTION, reply], ["\n5<|user|>"]),
    ):
        raw = [{"id": "a", "prompt": QUESTION, "completion": completion}]
        (row,) = rows = tokenize(raw, tokenizer, 1000)
        assert [tokenizer.decode(one) for one in row.replies] == wanted
        assert check_markers(raw, rows, tokenizer) == []
    assert end_of_rows(rows, tokenizer) == tokenizer.convert_tokens_to_ids("<|user|>")


def test_rows_do_not_ask_one_by_one_which_tokens_were_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma's tokenizer has 6,000 of them, and takes 50 ms to tell."""
    tokenizer = make_byte_tokenizer(512)
    tokenizer.chat_template = CLOSED
    asked: list[Any] = []
    kind = type(tokenizer)
    told = kind.added_tokens_decoder.fget
    monkeypatch.setattr(kind, "added_tokens_decoder", property(lambda self: asked.append(self) or told(self)))
    counts = []
    for number in (1, 20):
        raw = [{"id": str(at), "prompt": QUESTION, "completion": "5<|im_end|>"} for at in range(number)]
        rows = tokenize(raw, tokenizer, 1000)
        asked.clear()
        assert check_markers(raw, rows, tokenizer) == []
        counts.append(len(asked))
    assert counts[0] == counts[1]
