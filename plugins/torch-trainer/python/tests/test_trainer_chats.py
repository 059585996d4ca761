"""Chats with thinking, and with replies that are only seen: which tokens are trained, and what is refused."""

import pytest
from chat_rows import (
    ANSWER,
    CHATML,
    DEEPSEEK,
    HARMONY,
    QUESTION,
    RESULT,
    TOOLS,
    bytes_with,
    call,
    calling,
    row_of,
    texts,
    trained_texts,
)

from simmer_trainer.data import check_masks, tokenize
from simmer_trainer.errors import TrainingError


def test_a_reply_of_weight_0_is_seen_and_not_trained() -> None:
    untrained = {"role": "assistant", "content": "No.", "weight": 0}
    trained = {**ANSWER, "weight": 1}
    tokenizer = bytes_with(CHATML)
    for completion, wanted in (
        ([ANSWER, *QUESTION, untrained, *QUESTION, trained], 2),
        ([untrained, *QUESTION, trained], 1),
        ([trained, *QUESTION, untrained], 1),
        ([trained, untrained], 1),
        ([untrained, trained], 1),
    ):
        (row,) = tokenize([row_of(completion)], tokenizer, 4096)
        assert trained_texts(row, tokenizer) == ["Yes, -4.<|im_end|>\n"] * wanted
        messages = [{name: value for name, value in one.items() if name != "weight"} for one in completion]
        whole = tokenizer.apply_chat_template([*QUESTION, *messages], tools=TOOLS, tokenize=False)
        assert tokenizer.decode(row.token_ids) == whole


def test_rows_that_train_nothing_are_told_as_what_they_are() -> None:
    untrained = {"role": "assistant", "content": "No.", "weight": 0}
    rows = tokenize([row_of([untrained])], bytes_with(CHATML), 4096)
    with pytest.raises(TrainingError, match="or has only replies of weight 0"):
        check_masks(rows, 4096)
    # The prompt alone would leave room.
    cut = len(rows[0].token_ids)
    rows = tokenize([row_of([untrained, *QUESTION, ANSWER])], bytes_with(CHATML), cut)
    with pytest.raises(TrainingError, match=rf"what is trained begins behind max_sequence_length \({cut} tokens\)"):
        check_masks(rows, cut)


def test_thinking_is_trained_by_the_name_that_the_template_has_for_it() -> None:
    """And chats whose former replies the template would write otherwise are refused."""
    thought = {**ANSWER, "reasoning_content": "North."}
    wanted = " analysis North.<|im_end|>\n<|im_start|>assistant final Yes, -4.<|endoftext|>"
    assert texts(row_of([thought], tools=None), HARMONY) == [wanted]
    asked = {**calling(call({"city": "Oslo"})), "reasoning_content": "I ask."}
    called = " analysis I ask.<|im_end|>\n<|im_start|>assistant to=weather"
    assert texts(row_of([asked], tools=None), HARMONY) == [f'{called} {{"city": "Oslo"}}<|endoftext|>']
    former = row_of([thought], prompt=[*QUESTION, asked, RESULT, thought, *QUESTION], tools=None)
    assert texts(former, HARMONY) == [wanted]
    with pytest.raises(TrainingError, match="what is trained cannot be told apart"):
        texts(row_of([thought, *QUESTION, thought], tools=None), HARMONY)


def test_a_template_that_leaves_out_thinking_gets_calls_in_its_form_for_all_that() -> None:
    thought = {**ANSWER, "reasoning_content": "North."}
    asked = calling(call({"city": "Oslo"}))
    with pytest.raises(TrainingError, match=r"would not be trained: North\.\. Give"):
        texts(row_of([asked, RESULT, thought], tools=None), DEEPSEEK)
    seen = row_of([asked, RESULT, {**thought, "weight": 0}], tools=None)
    assert texts(seen, DEEPSEEK) == ['function weather {"city": "Oslo"}\n<|im_end|>\n']


@pytest.mark.parametrize(
    "template", [CHATML, CHATML.replace("message.content }}", "message.content.replace('/no_think', '') }}")]
)
def test_a_switch_of_thinking_may_be_taken_out_of_a_question(template: str) -> None:
    (text,) = texts(row_of([ANSWER], prompt=[{"role": "user", "content": "Is it cold? /no_think"}]), template)
    assert text == "Yes, -4.<|im_end|>\n"


# Qwen3's and Nemotron 3's: thinking stands only behind the last question.
THINKING = CHATML.replace(
    "{% if tools",
    "{% set last = namespace(at=0) %}{% for message in messages %}"
    "{% if message.role == 'user' %}{% set last.at = loop.index0 %}{% endif %}{% endfor %}{% if tools",
    1,
).replace(
    "{{ message.content }}{% for call",
    "{% if message.reasoning_content and loop.index0 > last.at %}<think>{{ message.reasoning_content }}</think>"
    "{% endif %}{{ message.content }}{% for call",
)


def test_replies_to_the_last_question_are_trained_where_the_template_takes_thinking_out_of_former_ones() -> None:
    thought = {**ANSWER, "reasoning_content": "North."}
    steps = [{**calling(call({"city": "Oslo"})), "reasoning_content": "I ask."}, RESULT, thought]
    with pytest.raises(TrainingError, match="what is trained cannot be told apart"):
        texts(row_of([thought, *QUESTION, *steps]), THINKING)
    assert texts(row_of(steps, prompt=[*QUESTION, thought, *QUESTION]), THINKING) == [
        '<think>I ask.</think><tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>\n',
        "<think>North.</think>Yes, -4.<|im_end|>\n",
    ]


def test_rows_are_the_same_on_every_day() -> None:
    dated = "{% set today = strftime_now('%d %b %Y') %}<|im_start|>system\nToday: {{ today }}<|im_end|>\n" + CHATML
    tokenizer = bytes_with(dated)
    (row,) = tokenize([row_of([ANSWER])], tokenizer, 4096)
    assert "Today: 26 Jul 2024<|im_end|>" in tokenizer.decode(row.token_ids)
