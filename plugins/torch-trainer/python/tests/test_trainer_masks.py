"""Which tokens of real models' templates are trained, token by token, alone and packed."""

import re
from pathlib import Path
from typing import Any

import pytest
from real_tokenizers import llama3_folder, qwen2_5_folder, smollm2_file
from spaced_tokenizer import tokenizer_like_llama_2
from trainer_process import write_rows

from simmer_trainer.byte_tokenizer import make_byte_tokenizer
from simmer_trainer.data import TokenizedRow, read_rows, token_texts, tokenize
from simmer_trainer.errors import TrainingError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.markers import check_markers, check_template, end_of_rows
from simmer_trainer.models import load_tokenizer
from simmer_trainer.packing import collate_packed, join_rows
from simmer_trainer.reply_ends import written_end

QUESTION = [{"role": "user", "content": "2+3?"}]


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    return {
        "Qwen2.5": load_tokenizer(pb.ModelSource(folder=str(qwen2_5_folder()))),
        "Llama 3": load_tokenizer(pb.ModelSource(folder=str(llama3_folder()))),
        "SmolLM2": load_tokenizer(pb.ModelSource(gguf_file=str(smollm2_file()))),
    }


def marked(row: TokenizedRow, tokenizer: Any) -> list[str]:
    """Every token; those that are trained after a plus."""
    return [
        ("+" if trained else "") + tokenizer.decode([token])
        for token, trained in zip(row.token_ids, row.trained_mask, strict=True)
    ]


# As the models' authors render a conversation, and s1 a completion.
PINNED: dict[str, tuple[str, list[str]]] = {
    "Qwen2.5": (
        "<|im_start|>think\nadd\n<|im_start|>answer\n5<|im_end|>",
        [
            "<|im_start|>", "system", "\n", "You", " are", " Q", "wen", ",", " created", " by", " Alibaba", " Cloud",
            ".", " You", " are", " a", " helpful", " assistant", ".", "<|im_end|>", "\n",
            "<|im_start|>", "user", "\n", "2", "+", "3", "?", "<|im_end|>", "\n",
            "<|im_start|>", "assistant", "\n",
            "+<|im_start|>", "+think", "+\n", "+add", "+\n", "+<|im_start|>", "+answer", "+\n", "+5", "+<|im_end|>",
        ],
    ),
    "Llama 3": (
        "add, so 5<|eot_id|>",
        [
            "<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>", "\n\n",
            "2", "+", "3", "?", "<|eot_id|>",
            "<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n",
            "+add", "+,", "+ so", "+ ", "+5", "+<|eot_id|>",
        ],
    ),
    "SmolLM2": (
        "add, so 5<|im_end|>\n",
        [
            "<|im_start|>", "system", "\n", "You", " are", " a", " helpful", " AI", " assistant", " named", " Sm", "ol",
            "LM", ",", " trained", " by", " H", "ugging", " Face", "<|im_end|>", "\n",
            "<|im_start|>", "user", "\n", "2", "+", "3", "?", "<|im_end|>", "\n",
            "<|im_start|>", "ass", "istant", "\n",
            "+add", "+,", "+ so", "+ ", "+5", "+<|im_end|>", "+\n",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PINNED)
def test_the_mask_of_a_template_is_exact_to_the_token_alone_and_packed(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    completion, expected = PINNED[name]
    raw = [
        {"id": "a", "prompt": QUESTION, "completion": completion},
        {"id": "b", "prompt": "No chat:", "completion": " text"},
        {"id": "c", "prompt": QUESTION, "completion": completion},
    ]
    rows = tokenize(raw, tokenizer, 1000)
    assert marked(rows[0], tokenizer) == expected
    check_markers(raw, rows, tokenizer)
    # Packed, each row's labels are those that it has alone, at its own place, and its positions are its own.
    batch = collate_packed([join_rows(rows)])
    labels = [
        -100 if not trained else token
        for row in rows
        for token, trained in zip(row.token_ids, row.trained_mask, strict=True)
    ]
    assert batch["labels"].tolist() == [labels]
    assert batch["input_ids"].tolist() == [[token for row in rows for token in row.token_ids]]
    assert batch["position_ids"].tolist() == [[place for row in rows for place in range(len(row.token_ids))]]
    assert batch["cu_seq_lens_q"].diff().tolist() == [len(row.token_ids) for row in rows]


@pytest.mark.parametrize("name", ["Qwen2.5", "SmolLM2"])
def test_a_reply_given_as_a_message_is_trained_to_the_end_of_its_turn(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    raw = [{"id": "a", "prompt": QUESTION, "completion": [{"role": "assistant", "content": "5"}]}]
    (row,) = rows = tokenize(raw, tokenizer, 1000)
    check_markers(raw, rows, tokenizer)
    assert marked(row, tokenizer)[row.prompt_tokens :] == ["+5", "+<|im_end|>", "+\n"]
    assert row.trained_tokens == 3


def trained_text(row: TokenizedRow, tokenizer: Any) -> str:
    text: str = tokenizer.decode([label for label in row.labels if label != -100])
    return text


@pytest.mark.parametrize("name", ["Qwen2.5", "SmolLM2"])
def test_what_others_say_between_replies_is_seen_and_not_trained(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    turns = [("assistant", "5"), ("user", "why?"), ("assistant", "add"), ("user", "fine")]
    completion = [{"role": role, "content": content} for role, content in turns]
    raw = [{"id": "a", "prompt": QUESTION, "completion": completion}]
    (row,) = rows = tokenize(raw, tokenizer, 1000)
    check_markers(raw, rows, tokenizer)
    assert trained_text(row, tokenizer) == "5<|im_end|>\nadd<|im_end|>\n"
    assert row.trained_tokens == sum(row.trained_mask) == 6
    whole = tokenizer.apply_chat_template([*QUESTION, *completion], tokenize=False)
    assert tokenizer.decode(row.token_ids) == whole
    # Cut in what another says: trained is what is left of the replies.
    (cut,) = tokenize(raw, tokenizer, row.prompt_tokens + 8)
    assert (cut.trained_tokens, sum(cut.trained_mask)) == (3, 3)


@pytest.mark.parametrize("name", ["Qwen2.5", "SmolLM2"])
def test_what_opens_a_reply_right_after_another_is_seen_and_not_trained(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    completion = [{"role": "assistant", "content": text} for text in ("5", "add", "done")]
    (row,) = tokenize([{"id": "a", "prompt": QUESTION, "completion": completion}], tokenizer, 1000)
    assert trained_text(row, tokenizer) == "5<|im_end|>\nadd<|im_end|>\ndone<|im_end|>\n"
    assert tokenizer.decode(row.token_ids) == tokenizer.apply_chat_template([*QUESTION, *completion], tokenize=False)


@pytest.mark.parametrize("name", ["Qwen2.5", "SmolLM2"])
def test_former_turns_of_a_prompt_are_seen_and_the_last_reply_alone_is_trained(
    name: str, tokenizers: dict[str, Any]
) -> None:
    tokenizer = tokenizers[name]
    turns = [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi"), ("user", "2+3?")]
    prompt = [{"role": role, "content": content} for role, content in turns]
    raw = [{"id": "a", "prompt": prompt, "completion": "5<|im_end|>"}]
    (row,) = rows = tokenize(raw, tokenizer, 1000)
    check_markers(raw, rows, tokenizer)
    assert trained_text(row, tokenizer) == "5<|im_end|>"
    whole = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True) + "5<|im_end|>"
    assert tokenizer.decode(row.token_ids) == whole


def test_results_of_tools_that_the_template_writes_as_one_turn_are_one(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["Qwen2.5"]
    turns = [("assistant", "calling"), ("tool", "4"), ("tool", "9"), ("assistant", "done")]
    raw = [{"id": "a", "prompt": QUESTION, "completion": [{"role": role, "content": text} for role, text in turns]}]
    (row,) = tokenize(raw, tokenizer, 1000)
    assert trained_text(row, tokenizer) == "calling<|im_end|>\ndone<|im_end|>\n"


def test_a_template_that_rewrites_former_turns_is_refused(tokenizers: dict[str, Any]) -> None:
    import copy

    tokenizer = copy.deepcopy(tokenizers["SmolLM2"])
    # As templates do that take the thinking out of all replies but the last.
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{{ message.content if loop.last or message.role == 'user' else '' }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    completion = [{"role": role, "content": "text"} for role in ("assistant", "user", "assistant")]
    remedy = r"Train what replies to the last question \(replies: last\), or make each reply a row of its own"
    with pytest.raises(TrainingError, match=remedy):
        tokenize([{"id": "a", "prompt": QUESTION, "completion": completion}], tokenizer, 1000)


# DeepSeek-R1's takes the thinking out of every reply.
WITHOUT_THINKING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content.split('</think>')[-1] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALL = {"type": "function", "function": {"name": "add", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("reply", "lost"),
    [
        ({"content": "<think>\n2+3 is 5\n</think>\n\n5"}, "2+3 is 5"),
        ({"content": "5", "reasoning_content": "2+3 is 5"}, "2+3 is 5"),
        ({"content": "", "tool_calls": [CALL]}, "add"),
    ],
    ids=["thinking", "reasoning_content", "tool_calls"],
)
def test_a_template_that_leaves_out_what_a_reply_says_is_refused(reply: dict[str, Any], lost: str) -> None:
    tokenizer = make_byte_tokenizer(512)
    tokenizer.chat_template = WITHOUT_THINKING
    row = {"id": "a", "prompt": QUESTION, "completion": [{"role": "assistant", **reply}]}
    with pytest.raises(TrainingError, match=re.escape(f"would not be trained: {lost}")):
        tokenize([row], tokenizer, 1000)
    # Of former replies, it does so when the model is asked, too.
    tokenize(
        [{**row, "prompt": [*QUESTION, *row["completion"], *QUESTION], "completion": "5<|im_end|>"}], tokenizer, 1000
    )


def test_a_reply_whose_thinking_is_no_text_is_refused() -> None:
    reply = {"role": "assistant", "content": "5", "reasoning_content": ["2+3 is 5"]}
    row = {"id": "a", "prompt": QUESTION, "completion": [reply]}
    with pytest.raises(TrainingError, match="Row a: reasoning_content of a message of completion is no text"):
        tokenize([row], make_byte_tokenizer(512), 1000)


def test_a_template_may_write_thinking_in_marks_and_white_space_of_its_own() -> None:
    tokenizer = make_byte_tokenizer(512)
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{% if '</think>' in message.content %}"
        "<thought>{{ message.content.split('</think>')[0][7:] | trim }}</thought>{% endif %}"
        "{{ message.content.split('</think>')[-1] | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    completion = [{"role": "assistant", "content": "<think>\n2+3 is 5\n</think>\n\n5"}]
    (row,) = tokenize([{"id": "a", "prompt": QUESTION, "completion": completion}], tokenizer, 1000)
    assert trained_text(row, tokenizer) == "<thought>2+3 is 5</thought>5<|im_end|>\n"


def test_what_other_messages_of_a_file_have_is_not_there_where_a_message_lacks_it(tmp_path: Path) -> None:
    tokenizer = make_byte_tokenizer(512)
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{% if 'reasoning_content' in message %}<think>{{ message.reasoning_content }}</think>{% endif %}"
        "{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    replies = [{"role": "assistant", "content": "5"}, {"role": "assistant", "content": "5", "reasoning_content": "sum"}]
    rows = [{"prompt": QUESTION, "completion": [reply]} for reply in replies]
    read = tokenize(read_rows(write_rows(tmp_path / "rows.parquet", rows)), tokenizer, 1000)
    assert [trained_text(row, tokenizer) for row in read] == ["5<|im_end|>\n", "<think>sum</think>5<|im_end|>\n"]


def refusal(raw: list[dict[str, Any]], tokenizer: Any) -> TrainingError:
    with pytest.raises(TrainingError) as raised:
        check_template(raw, tokenizer)
        check_markers(raw, tokenize(raw, tokenizer, 1000), tokenizer)
    assert raised.value.code == "template_markers_missing"
    return raised.value


def test_a_template_that_always_asks_for_the_next_reply_is_refused_for_messages(tokenizers: dict[str, Any]) -> None:
    reply = {"role": "assistant", "content": "5"}
    for completion in ([reply], [reply, *QUESTION, reply]):
        raw = [{"id": "a", "prompt": QUESTION, "completion": completion}]
        assert "Give completions as text" in refusal(raw, tokenizers["Llama 3"]).message


@pytest.mark.parametrize("name", PINNED)
def test_completions_that_never_end_a_reply_are_refused_with_what_would_end_one(
    name: str, tokenizers: dict[str, Any]
) -> None:
    error = refusal([{"id": "endless", "prompt": QUESTION, "completion": "five"}], tokenizers[name])
    end = "<|eot_id|>" if name == "Llama 3" else "<|im_end|>"
    assert end in error.message
    assert error.row_ids == ("endless",)


def test_completions_without_an_end_are_named_where_others_have_one(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["Qwen2.5"]
    completions = {
        "ends": "5<|im_end|>",
        "endless": "5",
        "later": "5<|im_end|>\n",
        "closed": "5<|im_end|>\n<|endoftext|>",
        "named": "It ends with <|im_end|>, as all do.",
    }
    raw = [{"id": name, "prompt": QUESTION, "completion": text} for name, text in completions.items()]
    assert check_markers(raw, tokenize(raw, tokenizer, 1000), tokenizer) == ["endless", "named"]


def test_the_template_of_another_model_is_refused_by_its_markers(tokenizers: dict[str, Any]) -> None:
    import copy

    stranger = copy.deepcopy(tokenizers["SmolLM2"])
    stranger.chat_template = tokenizers["Llama 3"].chat_template
    error = refusal([{"id": "a", "prompt": QUESTION, "completion": "5<|im_end|>"}], stranger)
    assert "<|start_header_id|>" in error.message and "no token of the tokenizer" in error.message


# As Zephyr and TinyLlama write a conversation, and as Llama 2 does: `<|user|>` and `[INST]` are no tokens of theirs.
MARKERS_AS_TEXT = {
    "<|user|>": (
        "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    "[INST]": (
        "{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
        "{% else %} {{ message.content }} {{ eos_token }}{% endif %}{% endfor %}"
    ),
}


@pytest.mark.parametrize("marker", MARKERS_AS_TEXT)
def test_a_template_that_writes_its_markers_as_text_is_taken_where_a_token_ends_its_replies(marker: str) -> None:
    tokenizer = make_byte_tokenizer(512)
    tokenizer.chat_template = MARKERS_AS_TEXT[marker]
    raw = [{"id": "a", "prompt": QUESTION, "completion": [{"role": "assistant", "content": "5"}]}]
    (row,) = rows = tokenize(raw, tokenizer, 1000)
    assert marker in tokenizer.decode(row.token_ids)
    assert check_markers(raw, rows, tokenizer) == []
    assert trained_text(row, tokenizer).split() == (["5<|im_end|>"] if marker == "<|user|>" else ["5", "<|im_end|>"])
    # One that ends them as text, too, is another model's.
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ eos_token }}", "<|end|>")
    assert marker in refusal(raw, tokenizer).message


def test_white_space_ends_no_reply_where_it_is_a_token_that_was_added() -> None:
    tokenizer = make_byte_tokenizer(512)
    # As Gemma's has it.
    tokenizer.add_tokens(["\n\n"])
    turns = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n\n{% endfor %}"
    tokenizer.chat_template = turns
    assert written_end(tokenizer) is None
    tokenizer.chat_template = turns.replace("{% endfor %}", "{{ eos_token }}{% endfor %}")
    assert written_end(tokenizer) == tokenizer.eos_token_id


def test_characters_that_were_lost_before_are_shown_where_they_stand(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["Qwen2.5"]
    lost = tokenizer("\N{REPLACEMENT CHARACTER}" * 20, add_special_tokens=False)["input_ids"]
    assert all(token_texts(lost, tokenizer))


def test_no_space_is_put_between_what_goes_on_and_what_was_before() -> None:
    tokenizer = tokenizer_like_llama_2(MARKERS_AS_TEXT["[INST]"])
    turns = [("assistant", "5"), ("user", "why?"), ("assistant", "5")]
    chat = [{"role": role, "content": content} for role, content in turns]
    # The last one goes on with what would be one token with the end of its prompt: there, the border counts, and the
    # space is not written twice.
    completions = {"text": ("2+3=", "5"), "spaced": ("2+3=", " 5"), "chat": (QUESTION, chat), "cut": ("2+3= ", "5")}
    raw = [{"id": name, "prompt": prompt, "completion": text} for name, (prompt, text) in completions.items()]
    rows = tokenize(raw, tokenizer, 1000)
    trained = {row.id: tokenizer.convert_ids_to_tokens([label for label in row.labels if label >= 0]) for row in rows}
    assert trained == {
        "text": ["5", "</s>"],
        "spaced": ["▁5", "</s>"],
        "chat": ["▁5", "▁", "</s>", "▁5", "▁", "</s>"],
        "cut": ["5", "</s>"],
    }
    whole = tokenizer.apply_chat_template([*QUESTION, *chat], tokenize=False)
    assert rows[2].token_ids == tokenizer(whole, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", PINNED)
def test_text_after_text_ends_with_the_end_of_sequence_and_never_twice(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    end = tokenizer.eos_token
    turn = "<|eot_id|>" if name == "Llama 3" else "<|im_end|>"
    completions = ["5", f"5{end}", f"5{turn}", f"5{turn}\n"]
    raw = [{"id": text, "prompt": "2+3=", "completion": text} for text in completions]
    rows = tokenize(raw, tokenizer, 1000)
    check_markers(raw, rows, tokenizer)
    assert [marked(row, tokenizer)[row.prompt_tokens :] for row in rows] == [
        ["+5", f"+{end}"],
        ["+5", f"+{end}"],
        ["+5", f"+{turn}"],
        ["+5", f"+{turn}", "+\n"],
    ]


def test_text_that_is_cut_or_empty_gets_no_end(tokenizers: dict[str, Any]) -> None:
    raw = [{"id": text, "prompt": "2+3=", "completion": text} for text in ["", "five"]]
    empty, cut = tokenize(raw, tokenizers["Qwen2.5"], 5)
    assert (empty.trained_tokens, empty.truncated) == (0, False)
    assert (marked(cut, tokenizers["Qwen2.5"])[4:], cut.truncated) == (["+five"], True)


def test_the_token_that_most_rows_end_with_is_found_behind_and_before_white_space(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["Qwen2.5"]

    def end_of(*rows: tuple[Any, Any]) -> str | None:
        raw = [{"id": "a", "prompt": prompt, "completion": completion} for prompt, completion in rows]
        token = end_of_rows(tokenize(raw, tokenizer, 1000), tokenizer)
        return None if token is None else tokenizer.decode([token])

    reply = [{"role": "assistant", "content": "5"}]
    assert end_of((QUESTION, reply)) == "<|im_end|>"
    assert end_of((QUESTION, "5<|im_end|>"), (QUESTION, "5<|im_end|>\n"), (QUESTION, "five")) == "<|im_end|>"
    assert end_of(("2+3=", "5")) == tokenizer.eos_token
    # What is special within a reply is no end of it.
    assert end_of((QUESTION, "<|im_start|>answer\n5")) is None
    assert end_of((QUESTION, "5<|im_end|>"), (QUESTION, "five")) is None
    # Others have the last word.
    assert end_of((QUESTION, [*reply, {"role": "user", "content": "fine"}])) is None
