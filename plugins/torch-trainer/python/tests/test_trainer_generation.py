"""Generate on real models: the batched decoder on its cache against one forward pass a token."""

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plain_generate import PlainGenerate
from reference_generate import Reference
from sample_reference import as_reference, expected
from spaced_tokenizer import tokenizer_like_llama_2
from trainer_process import MINICPM3, random_model

from simmer_trainer.encoding import encode
from simmer_trainer.errors import RequestError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation import generate
from simmer_trainer.generation_request import check_model, check_request
from simmer_trainer.models import ModelCache, OpenModel

FORMAT = pb.ThinkingFormat(start="<|im_start|>think\n", end="<|im_start|>answer\n", final_answer_prompt="Final Answer:")
PROMPTS = ["2 + 2", "A farm has 12 goats. It buys 3.", "Why?", "x" * 40, "7 * 6 = ?"]


@pytest.fixture(scope="module")
def tiny() -> OpenModel:
    # A head of its own that is not tied, or a random model repeats its last token for ever.
    source = random_model(seed=3, tie_word_embeddings=False, initializer_range=0.7, attention_dropout=0.0)
    return ModelCache().open(source, pb.PRECISION_FLOAT32)


def policy(id: str, maximum: int, minimum: int = 0, ignore: int = 0, word: str = "", per_round: bool = False) -> Any:
    return pb.ThinkingPolicy(
        id=id,
        max_thinking_tokens=maximum,
        min_thinking_tokens=minimum or None,
        ignore_end_count=ignore,
        word=word,
        spending_rule=pb.SPENDING_RULE_PER_ROUND if per_round else pb.SPENDING_RULE_TOTAL,
    )


POLICIES = [
    policy("4", 4),
    policy("11", 11),
    policy("30", 30),
    policy("30-2", 30, ignore=2, word="Wait"),
    policy("30-min", 30, minimum=18, word="Hmm"),
    policy("30-both", 30, minimum=12, ignore=1, word="Wait"),
    policy("30-none", 30, ignore=3),
    policy("8-round", 8, ignore=2, word="Wait", per_round=True),
]


def request(
    prompts: Sequence[str], policies: Sequence[Any] = POLICIES, form: Any = FORMAT, **sampling: Any
) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        prompts=[
            pb.Prompt(id=f"p{index}", messages=pb.Messages(messages=[pb.Message(role="user", content=text)]))
            for index, text in enumerate(prompts)
        ],
        sampling=pb.SamplingParameters(**{"max_answer_tokens": 6, "samples": 1, "seed": 5, **sampling}),
        thinking_format=form,
        policies=policies,
    )


def samples_of(message: pb.GenerateRequest, opened: OpenModel) -> dict[tuple[str, str, int], pb.Sample]:
    responses = list(generate(message, opened, lambda: True))
    assert responses[-1].HasField("completed")
    samples = [response.sample for response in responses if response.HasField("sample")]
    found = {(one.prompt_id, one.policy_id, one.sample_index): one for one in samples}
    assert len(found) == len(samples) == responses[-1].completed.samples
    return found


def reference(opened: OpenModel, whole: PlainGenerate, text: str, one: Any, form: Any = FORMAT) -> Reference:
    prompt = pb.Prompt(id=text, messages=pb.Messages(messages=[pb.Message(role="user", content=text)]))
    return expected(opened, whole, prompt, one, form, 6)


def test_every_policy_of_every_prompt_is_what_the_reference_says(tiny: OpenModel) -> None:
    found = samples_of(request(PROMPTS), tiny)
    whole = PlainGenerate.with_weights_of(tiny.model)
    for index, text in enumerate(PROMPTS):
        for one in POLICIES:
            assert as_reference(found[f"p{index}", one.id, 0]) == reference(tiny, whole, text, one), (text, one.id)


def test_ends_that_a_random_model_never_writes_are_as_the_reference_says(tiny: OpenModel) -> None:
    """Two of the model's own favourite tokens become the end marker, so that thinking ends by itself."""
    thinking = samples_of(request(PROMPTS, [policy("30", 30)]), tiny)["p1", "30", 0].thinking_token_ids
    pairs = [tuple(thinking[index : index + 2]) for index in range(3, 20)]
    texts = {tiny.tokenizer.decode(pair): pair for pair in pairs}
    # Not every pair of bytes is text.
    marker = next(text for text, pair in texts.items() if text.strip() == text and encode(tiny.tokenizer, text) == pair)
    form = pb.ThinkingFormat(start=FORMAT.start, end=marker, final_answer_prompt="F:")
    found = samples_of(request(PROMPTS, form=form), tiny)
    assert any(sample.thinking_end == pb.THINKING_END_NATURAL for sample in found.values())
    assert any(one.kind == pb.INTERVENTION_KIND_EXTENDED for sample in found.values() for one in sample.interventions)
    whole = PlainGenerate.with_weights_of(tiny.model)
    for index, text in enumerate(PROMPTS):
        for one in POLICIES:
            assert as_reference(found[f"p{index}", one.id, 0]) == reference(tiny, whole, text, one, form), (
                text,
                one.id,
            )


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_the_batch_changes_nothing(tiny: OpenModel, batch: int) -> None:
    whole = samples_of(request(PROMPTS), tiny)
    message = request(PROMPTS)
    message.max_batch_size = batch
    parts = samples_of(message, tiny)
    assert {key: as_reference(sample) for key, sample in parts.items()} == {
        key: as_reference(sample) for key, sample in whole.items()
    }


def test_a_sample_depends_on_its_seed_prompt_and_index_alone(tiny: OpenModel) -> None:
    drawn = samples_of(request(PROMPTS, temperature=0.9, top_p=0.95, samples=3), tiny)
    message = request(PROMPTS[:2], [POLICIES[3]], temperature=0.9, top_p=0.95, samples=2)
    message.max_batch_size = 1
    alone = samples_of(message, tiny)
    assert {key: as_reference(sample) for key, sample in alone.items()} == {
        key: as_reference(drawn[key]) for key in alone
    }
    texts = {sample.thinking for key, sample in drawn.items() if key[:2] == ("p1", "30")}
    assert len(texts) == 3
    other = samples_of(request(PROMPTS, temperature=0.9, top_p=0.95, samples=3, seed=6), tiny)
    assert other["p0", "30", 0].thinking != drawn["p0", "30", 0].thinking


def test_only_the_samples_that_are_asked_for_are_drawn_and_they_are_the_same(tiny: OpenModel) -> None:
    drawn = samples_of(request(PROMPTS[:2], POLICIES[2:4], temperature=0.9, samples=3), tiny)
    message = request(PROMPTS[:2], POLICIES[2:4], temperature=0.9, samples=3)
    message.prompts[0].sample_indices.extend([2])
    some = samples_of(message, tiny)
    assert {key[2] for key in some if key[0] == "p0"} == {2}
    assert {key[2] for key in some if key[0] == "p1"} == {0, 1, 2}
    assert {key: as_reference(sample) for key, sample in some.items()} == {
        key: as_reference(drawn[key]) for key in some
    }


def test_a_tokenizer_that_cannot_write_a_marker_is_refused_by_name(tiny: OpenModel) -> None:
    class Narrow:
        """Knows letters; angle brackets are unknown to it."""

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [0 if one in "<|>" else ord(one) for one in text]}

        def decode(self, ids: Sequence[int]) -> str:
            return "".join(chr(one) if one else "?" for one in ids)

        def __len__(self) -> int:
            return 256

    message = request(PROMPTS[:1])
    message.prompts[0].token_ids.ids.extend([5, 6, 7])
    with pytest.raises(RequestError) as refusal:
        list(generate(message, replace(tiny, tokenizer=Narrow()), lambda: True))
    assert refusal.value.code == "text_not_in_tokenizer"
    assert "thinking_format.end is '<|im_start|>answer\\n'" in refusal.value.message


def test_shorter_maxima_share_what_the_longest_thought(tiny: OpenModel) -> None:
    found = samples_of(request(PROMPTS, POLICIES[:3]), tiny)
    for index in range(len(PROMPTS)):
        longest = found[f"p{index}", "30", 0]
        assert longest.shared_thinking_tokens == 0
        for name in ("4", "11"):
            sample = found[f"p{index}", name, 0]
            assert sample.shared_thinking_tokens == len(sample.thinking_token_ids)
            assert list(longest.thinking_token_ids[: len(sample.thinking_token_ids)]) == list(sample.thinking_token_ids)


def test_interventions_say_where_in_the_text_they_stand(tiny: OpenModel) -> None:
    found = samples_of(request(PROMPTS), tiny)
    for sample in found.values():
        for one in sample.interventions:
            if one.kind == pb.INTERVENTION_KIND_ENDED:
                assert one.character_offset == len(sample.thinking)
                assert one.position == len(sample.thinking_token_ids)
                assert one.text.endswith(FORMAT.end + FORMAT.final_answer_prompt)


def test_without_a_thinking_format_the_completion_is_the_answer(tiny: OpenModel) -> None:
    message = request(PROMPTS, [])
    message.ClearField("thinking_format")
    found = samples_of(message, tiny)
    assert len(found) == len(PROMPTS)
    for sample in found.values():
        assert sample.thinking_end == pb.THINKING_END_UNSPECIFIED
        assert not sample.thinking_token_ids
        assert len(sample.answer_token_ids) <= 6


def test_a_stop_string_ends_the_answer_before_it(tiny: OpenModel) -> None:
    plain = samples_of(request(PROMPTS, POLICIES[:1]), tiny)["p0", "4", 0]
    written = plain.answer.removeprefix("Final Answer:")
    stop = written[2:4]
    cut = samples_of(request(PROMPTS, POLICIES[:1], stop=[stop]), tiny)["p0", "4", 0]
    assert cut.finish_reason == pb.FINISH_REASON_STOP_STRING
    assert cut.answer == plain.answer[: plain.answer.index(stop)]


def test_live_tokens_come_again_in_the_samples(tiny: OpenModel) -> None:
    message = request(PROMPTS)
    message.stream_tokens = True
    live = [one.tokens for one in generate(message, tiny, lambda: True) if one.HasField("tokens")]
    ids = {prompt.id for prompt in message.prompts}
    assert all(one.prompt_id in ids and one.token_count > 0 for one in live)


def test_no_space_is_put_before_what_is_forced(tiny: OpenModel) -> None:
    """The tokenizer puts one before a text by itself, and the model was trained with what goes on."""
    tokenizer = tokenizer_like_llama_2()
    form = pb.ThinkingFormat(start="[t]\n", end="[/t]\n", final_answer_prompt="so")
    message = request([], [policy("3", 3)], form)
    message.prompts.append(pb.Prompt(id="p0", text="2+3="))
    responses = list(generate(message, replace(tiny, tokenizer=tokenizer), lambda: True))
    (sample,) = [response.sample for response in responses if response.HasField("sample")]
    assert sample.prompt_tokens == len(tokenizer("2+3=[t]\n")["input_ids"])
    (end,) = sample.interventions
    assert "".join(tokenizer.convert_ids_to_tokens(end.token_ids)) == "\n[/t]\nso"


def test_nothing_is_decoded_while_nothing_is_asked_for(tiny: OpenModel) -> None:
    message = request(PROMPTS * 4, [policy("400", 400)])
    for index, prompt in enumerate(message.prompts):
        prompt.id = f"p{index}"
    is_active = True
    responses = generate(message, tiny, lambda: is_active)
    first = next(responses)
    assert first.progress.tokens_decoded < 20 * 400
    is_active = False
    assert not any(response.HasField("completed") for response in responses)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda message: message.prompts.append(message.prompts[0]), "id_not_unique"),
        (lambda message: setattr(message.sampling, "samples", 0), "sampling_invalid"),
        (lambda message: message.prompts[0].sample_indices.append(1), "sampling_invalid"),
        (lambda message: setattr(message.sampling, "temperature", -1), "sampling_invalid"),
        (lambda message: setattr(message.sampling, "top_p", 1.5), "sampling_invalid"),
        (lambda message: setattr(message.policies[0], "min_thinking_tokens", 5), "policy_invalid"),
        (lambda message: setattr(message.thinking_format, "end", ""), "thinking_format_invalid"),
        (lambda message: setattr(message.prompts[0], "text", "x" * 600), "prompt_too_long"),
        (lambda message: message.prompts[0].token_ids.ids.append(99_999), "prompt_invalid"),
        (lambda message: message.prompts[0].ClearField("prompt"), "prompt_invalid"),
    ],
)
def test_a_request_that_cannot_be_is_refused_by_name(tiny: OpenModel, change: Any, code: str) -> None:
    message = request(PROMPTS)
    change(message)
    with pytest.raises(RequestError) as refusal:
        check_request(message)
        list(generate(message, tiny, lambda: True))
    assert refusal.value.code == code


def test_tokens_that_the_weights_lack_are_refused_by_name(tiny: OpenModel) -> None:
    """As where a tokenizer was given markers, and the model not enlarged."""
    tokenizer = copy.deepcopy(tiny.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"]})
    opened = replace(tiny, tokenizer=tokenizer)
    form = pb.ThinkingFormat(start="<new>", end=FORMAT.end)
    for message, what in ((request(["a <new> b"]), "Prompt p0"), (request(["a"], form=form), "thinking_format.start")):
        with pytest.raises(RequestError, match=f"{what} has '<new>'") as refusal:
            list(generate(message, opened, lambda: True))
        assert refusal.value.code == "token_not_in_model"


def test_a_model_with_sliding_windows_is_refused() -> None:
    source = random_model(model_type="mistral", sliding_window=16, attention_dropout=0.0)
    opened = ModelCache().open(source, pb.PRECISION_FLOAT32)
    with pytest.raises(RequestError, match="whole sequence"):
        check_model(opened)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ({"model_type": "doge"}, "has a mask for each head"),
        (MINICPM3, "type minicpm3 keeps keys and values of other sizes"),
    ],
)
def test_what_keeps_or_masks_its_keys_otherwise_is_refused_with_the_reason(kind: dict[str, Any], why: str) -> None:
    opened = ModelCache().open(random_model(**kind), pb.PRECISION_FLOAT32)
    check_model(opened)
    with pytest.raises(NotImplementedError, match=f"{why}.*Generate does not support"):
        list(generate(request(PROMPTS[:1]), opened, lambda: True))


def test_other_families_decode_as_they_do_without_a_cache() -> None:
    for family in ("qwen2", "qwen3"):
        source = random_model(
            model_type=family, tie_word_embeddings=False, initializer_range=0.7, attention_dropout=0.0
        )
        opened = ModelCache().open(source, pb.PRECISION_FLOAT32)
        found = samples_of(request(PROMPTS[:3], [POLICIES[0], POLICIES[2], POLICIES[6]]), opened)
        whole = PlainGenerate.with_weights_of(opened.model)
        for index, text in enumerate(PROMPTS[:3]):
            for one in (POLICIES[0], POLICIES[2], POLICIES[6]):
                assert as_reference(found[f"p{index}", one.id, 0]) == reference(opened, whole, text, one), (
                    family,
                    one.id,
                )


@pytest.mark.slow
def test_a_pretrained_model_is_forced_as_the_reference_says() -> None:
    folder = os.environ.get("SIMMER_TEST_MODEL", "")
    if not Path(folder, "config.json").is_file():
        pytest.skip("SIMMER_TEST_MODEL names no model folder")
    opened = ModelCache().open(pb.ModelSource(folder=folder), pb.PRECISION_FLOAT32)
    prompts = ["Mia has 12 marbles. She buys 5 marbles. How many marbles are there?", "What is 7 * 8?", "Say hello."]
    policies = [
        policy("8", 8),
        policy("24", 24),
        policy("24-1", 24, ignore=1, word="Wait"),
        policy("m", 24, minimum=20),
    ]
    found = samples_of(request(prompts, policies), opened)
    whole = PlainGenerate.with_weights_of(opened.model)
    for index, text in enumerate(prompts):
        for one in policies:
            assert as_reference(found[f"p{index}", one.id, 0]) == reference(opened, whole, text, one), (text, one.id)
