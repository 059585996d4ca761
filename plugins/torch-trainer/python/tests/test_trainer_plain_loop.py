"""What a training yields, step by step and in its weights, is what a loop yields that one writes by hand in PyTorch."""

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf.struct_pb2 import Struct
from plain_loop import PlainTraining, train_by_hand
from torch import Tensor
from trainer_process import TrainerProcess, hyperparameters, random_model, training_request, write_rows
from trainer_results import weights_of

from simmer_trainer.data import TokenizedRow, read_rows, tokenize
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import load_model, load_tokenizer

MODEL = random_model(attention_dropout=0.0)
WITH_BIASES = random_model(model_type="qwen2", attention_dropout=0.0, tie_word_embeddings=False)
WITH_EXPERTS = random_model(
    model_type="mixtral",
    attention_dropout=0.0,
    num_local_experts=4,
    output_router_logits=True,
    router_aux_loss_coef=0.5,
)
# Everything that bears on an update, and nothing at its default. 22 rows are five batches and a short one.
WANTED: dict[str, Any] = {
    "epochs": 2.5,
    "global_batch_size": 4,
    "learning_rate": 3e-3,
    "warmup_ratio": 0.2,
    "adam_beta1": 0.8,
    "adam_beta2": 0.9,
    "adam_epsilon": 1e-5,
    "weight_decay": 0.5,
    "max_gradient_norm": 0.4,
    "evaluate_every_steps": 4,
}
STEPS = 15


def uneven(count: int) -> list[dict[str, Any]]:
    """Of a batch's trained tokens, one row may have two and another thirty."""
    return [
        {"id": str(index), "prompt": "ab" * (index % 9), "completion": "cdefg"[: 1 + index % 5] * (1 + index**2 % 7)}
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    return {
        "training_data": write_rows(folder / "rows.parquet", uneven(22)),
        "evaluation_data": write_rows(folder / "others.parquet", uneven(7)[::-1]),
    }


def rows_of(file: Path) -> list[TokenizedRow]:
    return tokenize(read_rows(file), load_tokenizer(MODEL), 256)


def trained(
    trainer: TrainerProcess,
    folder: Path,
    data: dict[str, Path],
    wanted: pb.Hyperparameters,
    model: pb.ModelSource = MODEL,
    **extensions: Any,
) -> tuple[PlainTraining, dict[str, Tensor]]:
    """What the trainer tells of its steps, and the weights that it writes."""
    more = Struct()
    more.update({"groupByLength": False, **extensions})
    files = {name: str(file) for name, file in data.items()}
    request = training_request(folder, job=str(folder), model=model, hyperparameters=wanted, extensions=more, **files)
    events = trainer.train(request)
    assert events[-1].HasField("training_completed"), events[-1]
    steps = [event.step_logged for event in events if event.HasField("step_logged")]
    told = PlainTraining(
        losses=[step.loss for step in steps],
        rates=[step.learning_rate for step in steps],
        gradient_norms=[step.gradient_norm for step in steps],
        rows_seen=[step.rows_seen for step in steps],
        evaluations={
            event.evaluation_logged.step: event.evaluation_logged.loss
            for event in events
            if event.HasField("evaluation_logged")
        },
    )
    return told, weights_of(folder / "output/model")


def by_hand(
    data: dict[str, Path],
    wanted: pb.Hyperparameters,
    model: pb.ModelSource = MODEL,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[PlainTraining, dict[str, Tensor]]:
    network = load_model(model, torch.float32)
    weights = dict(network.named_parameters())
    told = train_by_hand(
        lambda ids: network(ids[None]).logits[0],
        weights,
        rows_of(data["training_data"]),
        wanted,
        evaluation_rows=rows_of(data["evaluation_data"]),
        precision=precision,
    )
    return told, {name: weight.detach() for name, weight in weights.items()}


def assert_alike(told: PlainTraining, expected: PlainTraining) -> None:
    assert len(expected.losses) == STEPS
    assert told.losses == pytest.approx(expected.losses, rel=1e-4)
    assert told.rates == pytest.approx(expected.rates, rel=1e-6)
    assert told.gradient_norms == pytest.approx(expected.gradient_norms, rel=1e-3)
    assert told.rows_seen == expected.rows_seen
    assert told.evaluations == pytest.approx(expected.evaluations, rel=1e-4)


def untrained(model: pb.ModelSource = MODEL) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in load_model(model, torch.float32).named_parameters()}


def distance(weights: dict[str, Tensor], expected: dict[str, Tensor], before: dict[str, Tensor]) -> float:
    """How far weights are from those expected, as a share of the way that these have come."""
    missed = sum(float((weight - expected[name]).square().sum()) for name, weight in weights.items())
    way = sum(float((weight - before[name]).square().sum()) for name, weight in expected.items())
    return math.sqrt(missed / way)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (MODEL, {"device_batch_size": 1, "schedule": pb.LEARNING_RATE_SCHEDULE_COSINE}),
        (WITH_BIASES, {"device_batch_size": 2, "schedule": pb.LEARNING_RATE_SCHEDULE_LINEAR}),
        (MODEL, {"packing": True, "device_batch_size": 1, "schedule": pb.LEARNING_RATE_SCHEDULE_CONSTANT}),
        (MODEL, {"max_gradient_norm": 0, "gradient_checkpointing": True}),
    ],
    ids=["a-row-a-pass", "padded-with-biases", "packed", "never-clipped"],
)
def test_steps_and_weights_are_those_of_a_loop_by_hand(
    shared_trainer: TrainerProcess,
    tmp_path: Path,
    data: dict[str, Path],
    model: pb.ModelSource,
    changes: dict[str, Any],
) -> None:
    wanted = hyperparameters(**{**WANTED, **changes})
    told, weights = trained(shared_trainer, tmp_path, data, wanted, model)
    expected, expected_weights = by_hand(data, wanted, model)
    assert_alike(told, expected)
    assert weights.keys() == expected_weights.keys()
    assert distance(weights, expected_weights, untrained(model)) < 1e-5


@pytest.mark.parametrize("changes", [{"device_batch_size": 1}, {"packing": True, "device_batch_size": 2}])
def test_experts_are_trained_on_the_loss_of_their_tokens_alone(
    shared_trainer: TrainerProcess, tmp_path: Path, data: dict[str, Path], changes: dict[str, Any]
) -> None:
    """How evenly a pass loads them depends on which rows share it."""
    wanted = hyperparameters(**{**WANTED, **changes})
    told, _ = trained(shared_trainer, tmp_path, data, wanted, WITH_EXPERTS)
    expected, _ = by_hand(data, wanted, WITH_EXPERTS)
    assert_alike(told, expected)
    (checkpoint,) = (tmp_path / "output/checkpoints").iterdir()
    for folder in (checkpoint, tmp_path / "output/model"):
        config = json.loads((folder / "config.json").read_text())
        assert (config["output_router_logits"], config["router_aux_loss_coef"]) == (True, 0.5)


def test_float32_weights_under_bfloat16_keep_updates_that_bfloat16_weights_round_away(
    shared_trainer: TrainerProcess, tmp_path: Path, data: dict[str, Path]
) -> None:
    # A step changes a weight by less than half of the distance to the next number in bfloat16.
    changes = {**WANTED, "precision": pb.PRECISION_BFLOAT16, "device_batch_size": 2, "learning_rate": 1e-5}
    wanted = hyperparameters(**changes)
    expected, expected_weights = by_hand(data, wanted, precision=lambda: torch.autocast("cpu", torch.bfloat16))
    told, weights = trained(shared_trainer, tmp_path / "float32", data, wanted)
    assert told.losses == pytest.approx(expected.losses, rel=1e-3)
    assert told.evaluations == pytest.approx(expected.evaluations, rel=1e-3)
    assert distance(weights, expected_weights, untrained()) < 0.01
    _, rounded = trained(shared_trainer, tmp_path / "bfloat16", data, wanted, weights="bfloat16")
    assert distance(rounded, expected_weights, untrained()) > 0.5


@pytest.mark.parametrize(
    ("model", "targets", "adapted"),
    [(MODEL, [], 14), (WITH_BIASES, ["q_proj", "lm_head"], 3)],
    ids=["all-linear", "a-head-of-its-own"],
)
def test_an_adapter_is_trained_and_merged_as_by_hand(
    shared_trainer: TrainerProcess,
    tmp_path: Path,
    data: dict[str, Path],
    model: pb.ModelSource,
    targets: list[str],
    adapted: int,
) -> None:
    lora = pb.Lora(rank=4, alpha=12, dropout=0.0, target_modules=targets)
    adapter = {**WANTED, "method": pb.METHOD_LORA, "lora": lora, "device_batch_size": 2, "learning_rate": 1e-2}
    # The rate of a first step of warm-up is 0: the adapter as it begins.
    beginning = hyperparameters(**{**adapter, "warmup_ratio": 1.0, "max_steps": 1})
    _, weights = trained(shared_trainer, tmp_path / "beginning", data, beginning, model)
    weights = {name: weight.requires_grad_() for name, weight in weights.items()}
    base = untrained(model)

    def merged() -> dict[str, Tensor]:
        change = {
            name.removeprefix("base_model.model.").replace("lora_A.", ""): 12 / 4 * weights[name.replace("A", "B")] @ a
            for name, a in weights.items()
            if "lora_A" in name
        }
        assert len(change) == adapted
        return {name: weight + change.get(name, 0) for name, weight in base.items()}

    network = load_model(model, torch.float32)
    wanted = hyperparameters(**adapter)
    expected = train_by_hand(
        lambda ids: torch.func.functional_call(network, merged(), (ids[None],)).logits[0],
        weights,
        rows_of(data["training_data"]),
        wanted,
        evaluation_rows=rows_of(data["evaluation_data"]),
    )
    told, _ = trained(shared_trainer, tmp_path / "whole", data, wanted, model)
    assert_alike(told, expected)
    folder = tmp_path / "merged"
    folder.mkdir()
    source = pb.ModelSource(random=model.random, adapter_folder=str(tmp_path / "whole/output/model"))
    shared_trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(folder)), timeout=60)
    with torch.no_grad():
        assert distance(weights_of(folder), merged(), base) < 1e-5
