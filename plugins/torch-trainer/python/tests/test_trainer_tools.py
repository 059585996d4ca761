"""Chats in which tools are called: which tokens are trained, and what is refused."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chat_rows import (
    ANSWER,
    BY_THEMSELVES,
    CHATML,
    DEEPSEEK,
    LLAMA,
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
from real_tokenizers import llama3_folder, qwen2_5_folder, smollm2_file
from trainer_process import hyperparameters, write_rows

from simmer_trainer.data import read_rows, tokenize
from simmer_trainer.errors import TrainingError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import Extensions
from simmer_trainer.markers import check_markers
from simmer_trainer.models import load_tokenizer
from simmer_trainer.packing import collate_packed, join_rows
from simmer_trainer.training_rows import load_rows


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    llama = load_tokenizer(pb.ModelSource(folder=str(llama3_folder())))
    smollm = load_tokenizer(pb.ModelSource(gguf_file=str(smollm2_file())))
    llama.chat_template, smollm.chat_template = LLAMA, CHATML
    return {
        "Qwen2.5": load_tokenizer(pb.ModelSource(folder=str(qwen2_5_folder()))),
        "Llama 3": llama,
        "SmolLM2": smollm,
    }


TWICE = [calling(call({"city": "Oslo"}), call({"city": "Oslo"}))]
ROW = row_of([calling(call({"city": "Oslo"})), RESULT, ANSWER])


PINNED = {
    "Qwen2.5": [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>\n',
        "Yes, -4.<|im_end|>\n",
    ],
    "Llama 3": ['{"name": "weather", "parameters": {"city": "Oslo"}}<|eot_id|>', "Yes, -4.<|eot_id|>"],
    "SmolLM2": [
        '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>\n',
        "Yes, -4.<|im_end|>\n",
    ],
}


@pytest.mark.parametrize("name", PINNED)
def test_calls_and_replies_are_trained_and_nothing_else_alone_and_packed(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    raw = [ROW, {**ROW, "id": "b"}]
    rows = tokenize(raw, tokenizer, 2000)
    assert check_markers(raw, rows, tokenizer) == []
    assert trained_texts(rows[0], tokenizer) == PINNED[name]
    completion = [{**ROW["completion"][0], "content": ""}, RESULT, ANSWER]
    whole = tokenizer.apply_chat_template([*QUESTION, *completion], tools=TOOLS, tokenize=False)
    # The definitions are in it, and the result.
    assert tokenizer.decode(rows[0].token_ids) == whole
    assert '"required": ["city"]' in whole and "celsius" in whole
    batch = collate_packed([join_rows(rows)])
    assert batch["labels"].tolist() == [rows[0].labels + rows[1].labels]


def test_the_mask_of_a_call_is_exact_to_the_token(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["Qwen2.5"]
    (row,) = tokenize([ROW], tokenizer, 2000)
    tokens = [
        ("+" if trained else "") + tokenizer.decode([token])
        for token, trained in zip(row.token_ids, row.trained_mask, strict=True)
    ]
    start = row.prompt_tokens - 3
    assert tokens[start:] == [
        "<|im_start|>", "assistant", "\n",
        "+<tool_call>", "+\n", '+{"', "+name", '+":', '+ "', "+weather", '+",', '+ "', "+arguments", '+":', '+ {"',
        "+city", '+":', '+ "', "+Os", "+lo", '+"}}\n', "+</tool_call>", "+<|im_end|>", "+\n",
        "<|im_start|>", "user", "\n", "<", "tool", "_response", ">\n", '{"', "c", "elsius", '":', " -", "4", "}\n",
        "</", "tool", "_response", ">", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n",
        "+Yes", "+,", "+ -", "+4", "+.", "+<|im_end|>", "+\n",
    ]  # fmt: skip


@pytest.mark.parametrize("template", [CHATML, DEEPSEEK, BY_THEMSELVES], ids=["objects", "text", "by themselves"])
def test_arguments_are_objects_or_json_text_and_content_is_null_or_empty_or_not_there(template: str) -> None:
    tools = None if template == DEEPSEEK else TOOLS
    wanted = texts(row_of([calling(call({"city": "Oslo", "days": 2}), content="")], tools=tools), template)
    assert "Oslo" in wanted[0] and "\\" not in wanted[0]
    reply = calling(call('{"city":"Oslo","days":2}'))
    assert texts(row_of([reply], tools=tools), template) == wanted
    assert texts(row_of([{"role": "assistant", "tool_calls": reply["tool_calls"]}], tools=tools), template) == wanted


def test_a_template_that_writes_text_as_it_is_gets_json_and_not_what_python_makes_of_an_object() -> None:
    template = CHATML.replace("call.function | tojson", "call.function.name }} {{ call.function.arguments")
    assert texts(row_of([calling(call({"city": "Oslo"}))]), template) == [
        '<tool_call>weather {"city": "Oslo"}</tool_call><|im_end|>\n'
    ]


def test_calls_of_a_prompt_are_in_the_form_of_the_template_and_seen() -> None:
    tokenizer = bytes_with(DEEPSEEK)
    prompt = [*QUESTION, calling(call({"city": "Oslo"})), {**RESULT, "content": ""}]
    for completion in ([ANSWER], "Yes, -4.<|im_end|>\n"):
        (row,) = tokenize([row_of(completion, prompt=prompt, tools=None)], tokenizer, 4096)
        assert 'function weather {"city": "Oslo"}' in tokenizer.decode(row.token_ids)
        assert trained_texts(row, tokenizer) == ["Yes, -4.<|im_end|>\n"]


def test_calls_of_a_prompt_that_the_template_leaves_out_are_told(tmp_path: Path) -> None:
    told: list[pb.TrainerEvent] = []
    rows = [PROMPTED, row_of([ANSWER], id="b", prompt=[*QUESTION, ANSWER, *QUESTION])]
    file = write_rows(tmp_path / "rows.parquet", [{**row, "tools": None} for row in rows])
    request = pb.StartTrainingRequest(training_data=str(file), hyperparameters=hyperparameters())
    control: Any = SimpleNamespace(emit=told.append, stop_request=lambda: None)
    load_rows(request, Extensions(), bytes_with(CHATML), control)
    assert told == []
    load_rows(request, Extensions(), bytes_with(NO_CALLS), control)
    (message,) = (event.log_written.message for event in told)
    assert message.startswith("1 of 2 rows of rows.parquet have calls of tools in their prompt that the chat template ")
    assert message.endswith("(a).")


def test_what_a_file_of_columns_fills_in_is_taken_away(tmp_path: Path) -> None:
    other = {"type": "function", "function": {"name": "time", "parameters": {"properties": {"zone": {"type": "text"}}}}}
    rows = [
        {
            "prompt": QUESTION,
            "completion": [calling(call({"city": "Oslo"}), call({"zone": "CET"}, "time")), RESULT, ANSWER],
        },
        {"prompt": QUESTION, "completion": [ANSWER]},
    ]
    columns = [{**row, "tools": tools} for row, tools in zip(rows, ([*TOOLS, other], []), strict=True)]
    tokenizer = bytes_with(CHATML)
    read = tokenize(read_rows(write_rows(tmp_path / "rows.parquet", columns)), tokenizer, 4096)
    given = tokenize([{**row, "id": "a"} for row in columns], tokenizer, 4096)
    assert [row.token_ids for row in read] == [row.token_ids for row in given]
    assert "null" not in tokenizer.decode(read[0].token_ids)


def test_definitions_may_be_json_text_whose_nulls_are_meant() -> None:
    tools = copy.deepcopy(TOOLS)
    tools[0]["function"]["parameters"]["properties"]["days"] = {"default": None}
    tokenizer = bytes_with(CHATML)
    (row,) = tokenize([{**ROW, "tools": json.dumps(tools)}], tokenizer, 4096)
    assert '{"default": null}' in tokenizer.decode(row.token_ids)
    rows = [
        {"id": "a", "prompt": QUESTION, "completion": [ANSWER], "tools": none} for none in (None, "", "[]", "null", [])
    ]
    assert len({tuple(row.token_ids) for row in tokenize(rows, tokenizer, 4096)}) == 1


def test_a_reply_that_calls_may_end_with_a_token_of_its_own() -> None:
    template = CHATML.replace(
        "<|im_end|>\n{% endfor %}{% if add",
        "{{ '<|endoftext|>' if message.tool_calls else '<|im_end|>' }}\n{% endfor %}{% if add",
    )
    tokenizer = bytes_with(template)
    raw = [row_of([calling(call({"city": "Oslo"}))])]
    assert check_markers(raw, tokenize(raw, tokenizer, 4096), tokenizer) == []


# As DeepSeek-V3's: what ends a reply stands behind the second of several calls, and not behind a single one.
OPEN_CALL = CHATML.replace(
    "<|im_end|>\n{% endfor %}{% if add",
    "{{ '' if message.tool_calls and message.tool_calls | length == 1 else '<|im_end|>' }}\n{% endfor %}{% if add",
)


def test_a_call_without_an_end_is_refused_also_where_the_answer_has_one() -> None:
    tokenizer = bytes_with(OPEN_CALL)
    # What closes a call ends no reply.
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    answered = row_of([ANSWER], id="answered")
    twice = row_of([*TWICE, RESULT, ANSWER], id="twice")
    for others, endless in (([], None), ([answered, twice], ["a"])):
        raw = [ROW, *others]
        rows = tokenize(raw, tokenizer, 4096)
        if endless is not None:
            assert check_markers(raw, rows, tokenizer) == endless
            continue
        with pytest.raises(TrainingError, match="every completion has a reply without a token that ends one") as raised:
            check_markers(raw, rows, tokenizer)
        assert raised.value.code == "template_markers_missing"


ONLY_ONE = CHATML.replace("message.tool_calls or []", "(message.tool_calls or [])[:1]")
NO_ARGUMENTS = CHATML.replace("call.function | tojson", "call.function.name")
NO_CALLS = CHATML.replace("message.tool_calls or []", "[]")
NO_RESULTS = CHATML.replace("{{ message.content }}", "{{ message.content if message.role != 'tool' }}")
PROMPTED = row_of([ANSWER], prompt=[*QUESTION, calling(call({"city": "Oslo"})), RESULT])
DEVELOPER = [{"role": "developer", "content": "Be brief."}, *QUESTION]
KNOWN_ROLES = CHATML.replace("messages %}<|im", "messages if message.role != 'developer' %}<|im")


@pytest.mark.parametrize(
    ("row", "template", "reason"),
    [
        (row_of(TWICE), ONLY_ONE, 'would not be trained: weather {"city": "Oslo"}'),
        (ROW, NO_ARGUMENTS, 'would not be trained: weather {"city": "Oslo"}'),
        (ROW, NO_RESULTS, 'leaves out results of tools, which the model would not see: {"celsius": -4}'),
        (row_of([ANSWER]), DEEPSEEK, "leaves out definitions of tools, which the model would not see: weather"),
        (PROMPTED, NO_RESULTS, 'leaves out a message of the prompt, which the model would not see: {"celsius": -4}'),
        (row_of([ANSWER], prompt=DEVELOPER), KNOWN_ROLES, "leaves out a message of the prompt, which the model would"),
        (row_of([calling(call("Oslo"))]), CHATML, "arguments of a call of weather are no object"),
        (row_of([calling(call(["Oslo"]))]), CHATML, "arguments of a call of weather are no object"),
        (row_of([calling({"type": "function"})]), CHATML, "a call of completion lacks the name of its function"),
        (row_of([{**ANSWER, "tool_calls": '[{"name": "add"}]'}]), CHATML, "are no list of calls"),
        (row_of([{"role": "assistant", "content": None}]), CHATML, "lacks its role or its content"),
        (row_of([{**ANSWER, "weight": 0.5}]), CHATML, "weight of a reply of completion is 0.5, and not 0 or 1"),
        (row_of([ANSWER], tools="weather"), CHATML, "tools is no list of definitions"),
        (row_of([ANSWER], tools=["weather"]), CHATML, "tools is no list of definitions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_of_its_row(row: dict[str, Any], template: str, reason: str) -> None:
    with pytest.raises(TrainingError) as raised:
        texts(row, template)
    assert raised.value.message.startswith("Row a: ") and reason in raised.value.message
    assert (raised.value.code, raised.value.row_ids) == ("data_invalid", ("a",))


@pytest.mark.parametrize("template", [CHATML, DEEPSEEK, BY_THEMSELVES], ids=["objects", "text", "by themselves"])
@pytest.mark.parametrize("arguments", [{}, "{}", "", None], ids=["object", "text", "empty", "none"])
def test_a_call_without_arguments_is_trained(arguments: Any, template: str) -> None:
    tools = None if template == DEEPSEEK else TOOLS
    once, twice = (
        texts(row_of([calling(*[call(arguments)] * times)], tools=tools), template)[0].count("weather")
        for times in (1, 2)
    )
    assert (once, twice) == (1, 2)


def test_calls_that_are_made_twice_are_trained_twice() -> None:
    (text,) = texts(row_of(TWICE))
    assert text.count('{"city": "Oslo"}') == 2
