"""What is trained and evaluated, token by token, and what ends a training."""

import math
from pathlib import Path
from typing import Any

import pytest
from trainer_process import (
    MINICPM3,
    TrainerProcess,
    hyperparameters,
    losses,
    random_model,
    sums,
    training_request,
    write_rows,
)

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


@pytest.mark.parametrize(
    "kind",
    [
        {},
        # Those divide their logits by a number of their own, or multiply them; cap them; or divide what comes before.
        {"model_type": "granite", "logits_scaling": 8.0},
        {"model_type": "cohere", "logit_scale": 0.25},
        {"model_type": "gemma2", "head_dim": 16, "final_logit_softcapping": 2.5},
        MINICPM3,
    ],
    ids=lambda kind: kind.get("model_type", "llama"),
)
def test_the_loss_is_the_mean_over_trained_tokens_of_the_step(
    kind: dict[str, Any], shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    """Against plain transformers: one step over all rows, in passes of two, rows of different lengths."""
    data = write_rows(tmp_path / "rows.parquet", sums(6))
    parameters = hyperparameters(max_steps=1, global_batch_size=6, device_batch_size=2)
    model = random_model(attention_dropout=0.0, **kind)
    request = training_request(tmp_path, training_data=str(data), hyperparameters=parameters, model=model)
    events = shared_trainer.train(request)
    started = events[0].training_started

    import torch

    from simmer_trainer.data import read_rows, tokenize
    from simmer_trainer.models import load_model, load_tokenizer

    rows = tokenize(read_rows(data), load_tokenizer(model), 256)
    network = load_model(model, torch.float32)
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row.token_ids])
        labels = torch.tensor([row.labels])[0, 1:]
        with torch.no_grad():
            logits = network(ids).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum"))
        count += int((labels != -100).sum())
    assert losses(events)[1] == pytest.approx(total / count, rel=1e-5)
    assert started.trained_tokens == count
    assert started.tokens == sum(len(row.token_ids) for row in rows)
    assert started.rows == 6


def test_only_the_completion_is_trained(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """The same completions after other prompts of the same length: the mask sees to it that only those count."""
    requests = {}
    for name, prompt in (("one", "aaaa"), ("other", "bbbb")):
        rows = [{"prompt": prompt, "completion": "cdefghij"}] * 4
        folder = tmp_path / name
        folder.mkdir()
        data = write_rows(folder / "own.parquet", rows)
        requests[name] = training_request(
            folder,
            job=name,
            training_data=str(data),
            hyperparameters=hyperparameters(max_steps=60, learning_rate=1e-2, weight_decay=0),
        )
        assert shared_trainer.train(requests[name])[-1].training_completed.final_loss < 0.1

    import torch

    from simmer_trainer.models import load_model, load_tokenizer

    trained = pb.ModelSource(folder=str(tmp_path / "one/output/model"))
    tokenizer = load_tokenizer(trained)
    network = load_model(trained, torch.float32)
    ids = tokenizer("aaaacdefghij", add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = network(ids).logits[0]
    # It has learned c after the prompt, d after c and to end, and nothing about a after a.
    c, d, a = tokenizer("cda", add_special_tokens=False)["input_ids"]
    probabilities = logits.softmax(-1)
    assert probabilities[3, c] > 0.8
    assert probabilities[4, d] > 0.8
    assert probabilities[11, tokenizer.eos_token_id] > 0.8
    assert probabilities[0, a] < 0.5


def test_a_loss_that_is_not_finite_ends_the_attempt_and_names_the_rows(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(
        tmp_path, hyperparameters=hyperparameters(learning_rate=1e30, warmup_ratio=0, max_gradient_norm=0, max_steps=50)
    )
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "loss_not_finite"
    assert failed.step >= 1
    assert set(failed.row_ids) <= {f"row-{index}" for index in range(18)}
    assert len(failed.row_ids) > 0
    # The process is as good as new.
    fine = training_request(tmp_path, attempt=2)
    assert shared_trainer.train(fine)[-1].HasField("training_completed")


def test_float32_is_no_advice_for_a_loss_that_is_not_finite_in_it(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    diverging = {"learning_rate": 1e30, "warmup_ratio": 0, "max_gradient_norm": 0, "max_steps": 50}
    for precision, is_advised in ((pb.PRECISION_FLOAT32, False), (pb.PRECISION_BFLOAT16, True)):
        parameters = hyperparameters(**diverging, precision=precision)
        request = training_request(tmp_path / str(precision), hyperparameters=parameters)
        failed = shared_trainer.train(request)[-1].training_failed
        assert failed.code == "loss_not_finite"
        assert ("use float32" in failed.message) is is_advised


def test_rows_that_are_too_long_are_cut_and_counted(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(max_sequence_length=40, max_steps=1)
    request = training_request(tmp_path, hyperparameters=parameters)
    events = shared_trainer.train(request)
    assert events[0].log_written.level == pb.LOG_LEVEL_WARNING
    started = events[1].training_started
    assert started.truncated_rows == 18
    assert started.tokens == 18 * 40


def test_a_single_step_that_learns_nothing_is_told(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """Warm-up begins at a learning rate of 0, also where there is but one step."""
    for warmup, told in ((0.05, 1), (0, 0)):
        folder = tmp_path / f"{warmup}"
        parameters = hyperparameters(max_steps=1, warmup_ratio=warmup)
        events = shared_trainer.train(training_request(folder, hyperparameters=parameters))
        warnings = [event.log_written.message for event in events if event.HasField("log_written")]
        assert len(warnings) == told
        assert all("the model stays as it is" in message for message in warnings)


def test_too_many_cut_rows_are_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(max_sequence_length=40, max_steps=1, max_truncated_share=0.5)
    request = training_request(tmp_path, hyperparameters=parameters)
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "data_invalid"
    assert "18 of 18 rows" in failed.message and "max_truncated_share" in failed.message
    assert len(failed.row_ids) == 18


@pytest.mark.parametrize("data", ["training_data", "evaluation_data"])
def test_rows_beyond_the_context_of_the_model_are_refused(
    shared_trainer: TrainerProcess, tmp_path: Path, data: str
) -> None:
    long = [{"id": "long", "prompt": [{"role": "user", "content": "a"}], "completion": "b" * 100}]
    files = {name: write_rows(tmp_path / f"{name}.parquet", sums(4)) for name in ("training_data", "evaluation_data")}
    write_rows(files[data], [*sums(4), *long])
    request = training_request(
        tmp_path,
        job=f"beyond-{data}",
        model=random_model(max_position_embeddings=96),
        hyperparameters=hyperparameters(evaluate_every_steps=1, max_steps=1),
        **{name: str(file) for name, file in files.items()},
    )
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "data_invalid", failed
    assert failed.message.startswith(f"1 of 5 rows of {data}.parquet are longer than the 96 tokens")
    assert list(failed.row_ids) == ["long"]


def test_evaluation_is_the_mean_over_tokens_and_disturbs_nothing(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "evaluation.parquet", sums(5))
    plain = training_request(tmp_path / "plain")
    expected = losses(shared_trainer.train(plain))
    evaluated = training_request(
        tmp_path / "evaluated",
        job="evaluated",
        evaluation_data=str(data),
        hyperparameters=hyperparameters(evaluate_every_steps=3),
    )
    events = shared_trainer.train(evaluated)
    evaluations = [event.evaluation_logged for event in events if event.HasField("evaluation_logged")]
    assert [one.step for one in evaluations] == [3, 6, 9, 10]
    assert all(math.isfinite(one.loss) and 3 < one.loss < 7 for one in evaluations)
    assert losses(events) == expected


def test_messages_may_be_the_completion_as_well(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{index}"}],
            "completion": [{"role": "assistant", "content": f"{index}!"}],
        }
        for index in range(4)
    ]
    data = write_rows(tmp_path / "messages.parquet", rows)
    inspected = shared_trainer.stub.Inspect(
        pb.InspectRequest(model=random_model(), training_data=str(data), rows=[2]), timeout=60
    ).rows[0]
    trained = "".join(
        token for token, is_trained in zip(inspected.tokens, inspected.trained, strict=True) if is_trained
    )
    assert trained == "2!<|im_end|>\n"
