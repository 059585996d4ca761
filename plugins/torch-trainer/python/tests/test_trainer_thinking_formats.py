"""What the trainer lets a model see of its thinking, held against the text that such models are trained on."""

from dataclasses import replace
from typing import Any

import pytest
from real_tokenizers import llama3_folder, qwen2_5_folder, smollm2_file
from trainer_process import random_model

from simmer_trainer.budget_forcing import FinishReason, Outcome, ThinkingEnd
from simmer_trainer.data import TokenizedRow, tokenize
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_request import make_rows
from simmer_trainer.models import ModelCache, OpenModel, load_tokenizer

QUESTION = "2+3?"
SOURCES = {
    "Qwen2.5": pb.ModelSource(folder=str(qwen2_5_folder())),
    "Llama 3": pb.ModelSource(folder=str(llama3_folder())),
    "SmolLM2": pb.ModelSource(gguf_file=str(smollm2_file())),
}
# The presets of budget-forcing/generate, and what curation/format writes under the same names.
S1 = pb.ThinkingFormat(start="<|im_start|>think\n", end="<|im_start|>answer\n", final_answer_prompt="Final Answer:")
R1 = pb.ThinkingFormat(start="<think>\n", end="</think>\n\n", final_answer_prompt="Final Answer:")
COMPLETIONS = [
    pytest.param(S1, "<|im_start|>think\nI add.\n<|im_start|>answer\nAnswer: 5", id="s1"),
    pytest.param(R1, "<think>\nI add.\n</think>\n\n5", id="r1"),
]


@pytest.fixture(scope="module")
def model() -> OpenModel:
    # Its weights say nothing here, but every token has some.
    return ModelCache().open(random_model(vocab_size=160_000, attention_dropout=0.0), pb.PRECISION_FLOAT32)


def request_for(form: pb.ThinkingFormat) -> pb.GenerateRequest:
    messages = pb.Messages(messages=[pb.Message(role="user", content=QUESTION)])
    return pb.GenerateRequest(
        prompts=[pb.Prompt(id="a", messages=messages)],
        sampling=pb.SamplingParameters(max_answer_tokens=20, samples=1),
        thinking_format=form,
        policies=[pb.ThinkingPolicy(id="40", max_thinking_tokens=40)],
    )


def trained_row(tokenizer: Any, completion: str) -> TokenizedRow:
    prompt = [{"role": "user", "content": QUESTION}]
    (row,) = tokenize([{"id": "a", "prompt": prompt, "completion": completion}], tokenizer, 1000)
    return row


def recite(opened: OpenModel, form: pb.ThinkingFormat, text: list[int]) -> Outcome:
    """Plays a model that says what it was trained on, and checks that it never sees anything else."""
    (row,) = make_rows(request_for(form), opened)
    feed = next(row.program)
    seen: list[int] = []
    while not row.outcomes:
        seen[feed.keep :] = feed.tokens
        assert seen == text[: len(seen)], opened.tokenizer.decode(seen)
        try:
            feed = row.program.send(text[len(seen)])
        except StopIteration:
            break
    (outcome,) = row.outcomes
    return outcome


# The distilled models of DeepSeek-R1 and the thinking ones of Qwen3 end so; curation/format leaves the tag to them.
OPENING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(("form", "completion"), COMPLETIONS)
def test_thinking_ends_by_itself_where_a_model_says_what_it_was_trained_on(
    name: str, form: pb.ThinkingFormat, completion: str, model: OpenModel
) -> None:
    opened = replace(model, tokenizer=load_tokenizer(SOURCES[name]))
    text = trained_row(opened.tokenizer, completion + opened.tokenizer.eos_token).token_ids
    outcome = recite(opened, form, text)
    assert outcome.thinking_end is ThinkingEnd.NATURAL
    assert opened.tokenizer.decode(outcome.thinking) == "I add.\n"
    assert outcome.finish_reason is FinishReason.STOP
    assert completion.endswith(opened.tokenizer.decode(outcome.answer))


def test_thinking_that_the_chat_template_opens_is_not_opened_again(model: OpenModel) -> None:
    tokenizer = load_tokenizer(SOURCES["Qwen2.5"])
    tokenizer.chat_template = OPENING
    text = trained_row(tokenizer, f"I add.\n</think>\n\n5{tokenizer.eos_token}").token_ids
    outcome = recite(replace(model, tokenizer=tokenizer), R1, text)
    assert outcome.thinking_end is ThinkingEnd.NATURAL
    assert tokenizer.decode(outcome.thinking) == "I add.\n"


def test_thinking_is_opened_where_the_template_opens_another(model: OpenModel) -> None:
    tokenizer = load_tokenizer(SOURCES["Qwen2.5"])
    tokenizer.chat_template = OPENING
    completion = "<|im_start|>think\nI add.\n<|im_start|>answer\nAnswer: 5"
    text = trained_row(tokenizer, completion + tokenizer.eos_token).token_ids
    assert recite(replace(model, tokenizer=tokenizer), S1, text).thinking_end is ThinkingEnd.NATURAL


def test_a_reply_ends_with_its_turn_also_where_the_config_names_another_end(model: OpenModel) -> None:
    tokenizer = load_tokenizer(SOURCES["Qwen2.5"])
    # As Qwen2.5's base models have it: their template ends turns with <|im_end|> all the same.
    tokenizer.eos_token = "<|endoftext|>"
    text = trained_row(tokenizer, "<think>\nI add.\n</think>\n\n5<|im_end|>\n<|im_start|>user\nAnd 3+4?").token_ids
    outcome = recite(replace(model, tokenizer=tokenizer), R1, text)
    assert (tokenizer.decode(outcome.answer), outcome.finish_reason) == ("5", FinishReason.STOP)


def test_thinking_may_end_with_what_ends_a_turn(model: OpenModel) -> None:
    tokenizer = load_tokenizer(SOURCES["Qwen2.5"])
    tokenizer.eos_token = "<|endoftext|>"
    form = pb.ThinkingFormat(start="<|im_start|>think\n", end="<|im_end|>\n<|im_start|>answer\n")
    completion = "<|im_start|>think\nI add.<|im_end|>\n<|im_start|>answer\n5<|endoftext|>"
    outcome = recite(replace(model, tokenizer=tokenizer), form, trained_row(tokenizer, completion).token_ids)
    assert outcome.thinking_end is ThinkingEnd.NATURAL
    assert (tokenizer.decode(outcome.thinking), tokenizer.decode(outcome.answer)) == ("I add.", "5")
