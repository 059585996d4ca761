"""Rows that share a sequence: isolated from each other, always laid out alike, trained as if they were alone."""

import itertools
import math
import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from trainer_process import TrainerProcess, hyperparameters, losses, random_model, training_request, write_rows

from simmer_trainer import packed_attention
from simmer_trainer.data import DataOrder, TokenizedRow
from simmer_trainer.errors import TrainingError
from simmer_trainer.models import load_model
from simmer_trainer.packing import PackingPlan, collate_packed, join_rows, pack, passes_needed
from simmer_trainer.rank_group import RankGroup

SLIDING = ["full_attention", "sliding_attention"]
ATTENTIONS = (packed_attention.NAME, "sdpa", "eager")
# Bit-equal is too much to ask: products of matrices of other shapes round elsewhere.
TOLERANCE = 2e-5


def extensions(**values: Any) -> Struct:
    return json_format.ParseDict(values, Struct())


def rows_of(lengths: list[int], *, seed: int = 0) -> list[TokenizedRow]:
    generator = random.Random(seed)
    return [
        TokenizedRow(str(index), [generator.randrange(250) for _ in range(length)], length // 3, False)
        for index, length in enumerate(lengths)
    ]


def logits_of(rows: list[TokenizedRow], attention: str, **kind: Any) -> list[torch.Tensor]:
    """[tokens, vocabulary] of each row, computed in one packed pass."""
    packed_attention.register()
    network = load_model(random_model(attention_dropout=0.0, **kind), torch.float32, attention=attention).eval()
    batch = collate_packed([join_rows(rows)])
    batch.pop("labels")
    with torch.no_grad():
        logits = network(**batch, use_cache=False).logits[0]
    return list(logits.split([len(row.token_ids) for row in rows]))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_row_has_the_logits_that_it_has_alone(attention: str) -> None:
    rows = rows_of([7, 1, 30, 2, 19])
    for row, packed in zip(rows, logits_of(rows, attention), strict=True):
        (alone,) = logits_of([row], attention)
        assert torch.allclose(packed, alone, atol=TOLERANCE)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_what_lies_beside_a_row_changes_nothing_of_it(attention: str) -> None:
    """Not by a bit: the same shapes with other neighbours on both sides, whose tokens are all different."""
    row = rows_of([23])[0]
    before, after = rows_of([11, 17], seed=1)
    other_before, other_after = rows_of([11, 17], seed=2)
    one = logits_of([before, row, after], attention)
    other = logits_of([other_before, row, other_after], attention)
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize(
    ("kind", "keeps_apart"),
    [
        ({}, True),
        ({"model_type": "codegen", "rotary_dim": 8}, True),
        ({"model_type": "gpt2"}, True),
        # It makes its masks without positions.
        ({"model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 64}, False),
    ],
    ids=lambda value: value.get("model_type", "llama") if isinstance(value, dict) else "",
)
def test_packing_by_masks_is_refused_exactly_where_rows_see_each_other(kind: dict[str, Any], keeps_apart: bool) -> None:
    row = rows_of([23])[0]
    seen = [logits_of([*rows_of([11], seed=seed), row], "eager", **kind)[1] for seed in (1, 2)]
    assert torch.equal(*seen) is keeps_apart
    network = load_model(random_model(**kind), torch.float32, attention="eager")
    refusal = nullcontext() if keeps_apart else pytest.raises(TrainingError, match="rows would see each other")
    with refusal:
        packed_attention.check_packing(network, "eager", RankGroup.alone())
    assert network.config._attn_implementation == "eager"


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_no_gradient_flows_from_one_row_to_another(attention: str) -> None:
    packed_attention.register()
    network = load_model(random_model(attention_dropout=0.0), torch.float32, attention=attention).train()
    rows = rows_of([9, 14, 12])
    batch = collate_packed([join_rows(rows)])
    embedded = network.get_input_embeddings()(batch.pop("input_ids")).detach().requires_grad_()
    batch.pop("labels")
    logits = network(inputs_embeds=embedded, **batch, use_cache=False).logits[0]
    # All that the second row says.
    logits[9:23].square().sum().backward()
    assert embedded.grad is not None
    assert embedded.grad[0, 9:23].abs().sum() > 0
    assert embedded.grad[0, :9].abs().sum() == 0
    assert embedded.grad[0, 23:].abs().sum() == 0


def test_under_autocast_rows_attend_in_float32_and_go_on_in_the_type_of_the_layers() -> None:
    lengths = [9, 14]
    query = torch.randn(1, 4, 23, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    key, value = (torch.randn(1, 2, 23, 8, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    borders = torch.tensor([0, 9, 23], dtype=torch.int32)
    with torch.autocast("cpu", torch.bfloat16):
        packed, _ = packed_attention.packed_attention(
            torch.nn.Module(), query, key, value.bfloat16(), None, cu_seq_lens_q=borders, max_length_q=14
        )
    assert packed.dtype == torch.bfloat16
    alone = [
        torch.nn.functional.scaled_dot_product_attention(*row, is_causal=True, enable_gqa=True)
        for row in zip(*(one.split(lengths, dim=2) for one in (query, key, value.bfloat16().float())), strict=True)
    ]
    # Rounded once, at the end.
    assert torch.equal(packed, torch.cat(alone, dim=2).transpose(1, 2).bfloat16())
    packed.float().sum().backward()
    assert query.grad is not None and query.grad.dtype == torch.float32


def test_the_first_token_of_a_row_is_never_a_target_even_without_a_prompt() -> None:
    rows = [TokenizedRow("a", [1, 2, 3], 0, False), TokenizedRow("b", [4, 5], 0, False)]
    assert collate_packed([join_rows(rows)])["labels"].tolist() == [[-100, 2, 3, -100, 5]]
    assert [row.trained_tokens for row in rows] == [2, 1]


@pytest.mark.parametrize("seed", range(20))
def test_a_step_keeps_its_rows_and_its_passes_keep_their_limit(seed: int) -> None:
    generator = random.Random(seed)
    lengths = [generator.randrange(1, 60) for _ in range(generator.randrange(1, 50))]
    order = DataOrder(lengths, batch=generator.randrange(1, 9), seed=seed, group_by_length=False)
    steps = 3 * order.steps_per_epoch
    plan = PackingPlan(lengths, order, total_steps=steps, tokens_per_pass=80)
    for step in range(1, steps + 1):
        passes = plan.step(step)
        assert len(passes) == plan.passes_per_step
        assert sorted(itertools.chain(*passes)) == sorted(order.step(step))
        assert all(sum(lengths[row] for row in one) <= 80 for one in passes)
    again = PackingPlan(lengths, order, total_steps=steps, tokens_per_pass=80, ranks=2)
    assert again.passes_per_step % 2 == 0
    assert list(plan.epoch(1)) == [
        one for step in range(order.steps_per_epoch + 1, 2 * order.steps_per_epoch + 1) for one in plan.step(step)
    ]


def test_rows_are_shared_out_evenly_and_always_alike() -> None:
    lengths = [50, 10, 40, 30, 20, 10]
    assert pack(range(6), lengths, 2) == [(0, 4, 1), (2, 3, 5)]
    assert pack([5, 4, 3, 2, 1, 0], lengths, 2) == pack(range(6), lengths, 2)
    assert passes_needed(range(6), lengths, 80) == 2
    assert passes_needed(range(6), lengths, 79) == 3
    assert passes_needed([0], lengths, 10) == 1


def test_training_on_packed_rows_has_the_losses_and_weights_of_padded_ones(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    data = write_rows(
        tmp_path / "rows.parquet",
        [
            {"id": str(index), "prompt": "ab" * (index % 9), "completion": "cd" * (1 + index**2 % 23)}
            for index in range(22)
        ],
    )
    found: dict[str, dict[int, float]] = {}
    norms: dict[str, list[float]] = {}
    for name, packing, attention in [
        ("padded", False, "sdpa"),
        ("packed", True, "auto"),
        ("packed with a mask", True, "sdpa"),
        ("packed with an eager mask", True, "eager"),
    ]:
        request = training_request(
            tmp_path / name,
            job=name,
            training_data=str(data),
            evaluation_data=str(data),
            model=random_model(attention_dropout=0.0),
            hyperparameters=hyperparameters(packing=packing, evaluate_every_steps=4, epochs=3),
            extensions=extensions(groupByLength=False, attention=attention),
        )
        events = shared_trainer.train(request)
        assert events[-1].HasField("training_completed"), events[-1]
        found[name] = losses(events)
        found[name] |= {
            1000 + event.evaluation_logged.step: event.evaluation_logged.loss
            for event in events
            if event.HasField("evaluation_logged")
        }
        norms[name] = [event.step_logged.gradient_norm for event in events if event.HasField("step_logged")]
    padded = found.pop("padded")
    # The last step is evaluated, too.
    assert len(padded) == 18 + 5
    for name, packed in found.items():
        assert packed == pytest.approx(padded, abs=TOLERANCE), name
        assert norms[name] == pytest.approx(norms["padded"], rel=1e-3), name


def test_a_packed_job_that_was_killed_goes_on_bit_for_bit(trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(epochs=3, checkpoint_every_steps=1, packing=True, device_batch_size=1)
    whole = training_request(tmp_path / "whole", hyperparameters=parameters)
    expected = trainer.train(whole)
    assert expected[-1].HasField("training_completed"), expected[-1]
    first = training_request(tmp_path / "killed", job="killed", hyperparameters=parameters)
    trainer.stub.StartTraining(first, timeout=60)
    trainer.wait_for_step(first.attempt_id, 7)
    trainer.restart()
    before = trainer.events(first.attempt_id)
    saved = [event.checkpoint_saved for event in before if event.HasField("checkpoint_saved")]
    second = training_request(
        tmp_path / "killed", job="killed", attempt=2, hyperparameters=parameters, resume_from=saved[-2].path
    )
    after = trainer.train(second)
    assert {**losses(before), **losses(after)} == losses(expected)
    assert math.isfinite(after[-1].training_completed.final_loss)
    names = {event.step_logged.rows_seen for event in after if event.HasField("step_logged")}
    assert max(names) == 3 * 18


def test_flash_attention_is_refused_where_there_is_no_gpu(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    for values, what in (({"attention": "flash_attention_2"}, "attention"), ({"kernels": "liger"}, "kernels")):
        request = training_request(tmp_path, job=what, extensions=extensions(**values))
        failed = shared_trainer.train(request)[-1].training_failed
        assert failed.code == "kernel_unavailable"
        assert f"extensions.{what}" in failed.message and "GPU" in failed.message


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ({"model_type": "lfm2", "layer_types": ["full_attention", "conv"]}, "layers of type conv"),
        ({"model_type": "jamba", "num_experts": 2, "mamba_d_state": 4}, "layers of type linear_attention"),
        ({"model_type": "stablelm"}, "extensions: { attention: eager }"),
        ({"model_type": "mistral", "sliding_window": 16}, "extensions: { attention: eager }"),
        ({"model_type": "afmoe", "num_experts": 2, "layer_types": SLIDING, "num_dense_layers": 1}, "sliding windows"),
        ({"model_type": "gpt_oss", "num_local_experts": 2, "num_experts_per_tok": 1}, "no borders of rows"),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_a_model_whose_packed_rows_would_see_each_other_is_refused(
    kind: dict[str, Any], why: str, shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(
        tmp_path,
        model=random_model(**kind),
        hyperparameters=hyperparameters(max_steps=1, packing=True),
        extensions=extensions(attention="eager") if kind["model_type"] == "gpt_oss" else None,
    )
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "packing_unsupported"
    assert why in failed.message and "packing: false" in failed.message
    # What is advised is not refused in its turn.
    assert kind["model_type"] != "afmoe" or "eager" not in failed.message
