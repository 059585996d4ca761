"""What training yields: exactly the same after a kill, whole checkpoints, losses that are what they say."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
from trainer_process import (
    TrainerProcess,
    hyperparameters,
    losses,
    random_model,
    sums,
    training_request,
    wait_until,
    write_rows,
)
from trainer_results import assert_same_weights, weights_of

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

LORA = pb.Lora(rank=4, alpha=8, dropout=0.1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Killed in the second of three epochs, between two accumulated passes of a batch that is not full.
        ("full", hyperparameters(epochs=3, checkpoint_every_steps=1, gradient_checkpointing=True)),
        ("lora", hyperparameters(epochs=3, checkpoint_every_steps=2, method=pb.METHOD_LORA, lora=LORA)),
        ("bfloat16", hyperparameters(epochs=3, checkpoint_every_steps=1, precision=pb.PRECISION_BFLOAT16)),
    ],
)
def test_a_job_that_was_killed_goes_on_bit_for_bit(
    forked_trainer: TrainerProcess, tmp_path: Path, name: str, parameters: pb.Hyperparameters
) -> None:
    whole = training_request(tmp_path / "whole", hyperparameters=parameters)
    forked_trainer.stub.StartTraining(whole, timeout=30)
    expected = forked_trainer.events(whole.attempt_id)
    assert expected[-1].HasField("training_completed"), expected[-1]

    # A row that takes long would make the kill easy to place; steps are quick, so it is placed by its checkpoint.
    first = training_request(tmp_path / "killed", job="killed", hyperparameters=parameters)
    forked_trainer.stub.StartTraining(first, timeout=30)
    forked_trainer.wait_for_step(first.attempt_id, 7)
    forked_trainer.restart()
    before = forked_trainer.events(first.attempt_id)
    assert before[-1].training_failed.code == "trainer_exited"
    done = max(losses(before))
    saved = [event.checkpoint_saved for event in before if event.HasField("checkpoint_saved")]
    # Not the newest: steps that were logged run again.
    checkpoint = saved[-2] if len(saved) > 1 else saved[-1]

    second = training_request(
        tmp_path / "killed", job="killed", attempt=2, hyperparameters=parameters, resume_from=checkpoint.path
    )
    forked_trainer.stub.StartTraining(second, timeout=30)
    after = forked_trainer.events(second.attempt_id)
    assert after[0].training_started.resumed_after_step == checkpoint.step
    assert {**losses(before), **losses(after)} == losses(expected)
    assert set(losses(after)) == set(range(checkpoint.step + 1, 16))
    for event in after:
        if event.HasField("step_logged"):
            step = event.step_logged
            assert step.rerun == (step.step <= done)
            same = next(one.step_logged for one in expected if one.step_logged.step == step.step)
            for field in ("loss", "gradient_norm", "learning_rate", "epoch", "tokens_seen", "rows_seen"):
                assert getattr(step, field) == getattr(same, field), field
    assert after[-1].training_completed.final_loss == expected[-1].training_completed.final_loss
    assert_same_weights(tmp_path / "whole/output/model", tmp_path / "killed/output/model")


def test_a_job_killed_at_its_end_only_writes_its_model(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    shared_trainer.stub.StartTraining(request, timeout=30)
    events = shared_trainer.events(request.attempt_id)
    saved = [event.checkpoint_saved for event in events if event.HasField("checkpoint_saved")]
    assert [one.step for one in saved] == [10]
    model = tmp_path / "output/model"
    model.rename(tmp_path / "former")
    again = training_request(tmp_path, attempt=2, resume_from=saved[0].path)
    shared_trainer.stub.StartTraining(again, timeout=30)
    events = shared_trainer.events(again.attempt_id)
    assert not losses(events)
    assert events[-1].training_completed.model_folder == str(model)
    assert_same_weights(tmp_path / "former", model)


def test_the_loss_is_the_mean_over_trained_tokens_of_the_step(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """Against plain transformers: one step over all rows, in passes of two, rows of different lengths."""
    data = write_rows(tmp_path / "rows.parquet", sums(6))
    parameters = hyperparameters(max_steps=1, global_batch_size=6, device_batch_size=2)
    model = random_model(attention_dropout=0.0)
    request = training_request(tmp_path, training_data=str(data), hyperparameters=parameters, model=model)
    shared_trainer.stub.StartTraining(request, timeout=30)
    events = shared_trainer.events(request.attempt_id)
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
        shared_trainer.stub.StartTraining(requests[name], timeout=30)
        assert shared_trainer.events(requests[name].attempt_id)[-1].training_completed.final_loss < 0.1

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


def test_checkpoints_are_whole_pruned_and_left_alone_where_unfinished(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    parameters = hyperparameters(checkpoint_every_steps=2, checkpoints_kept=2)
    request = training_request(tmp_path, hyperparameters=parameters)
    drafts = tmp_path / "output/checkpoints/.step-00000004.draft-1"
    drafts.mkdir(parents=True)
    shared_trainer.stub.StartTraining(request, timeout=30)
    events = shared_trainer.events(request.attempt_id)
    saved = [event.checkpoint_saved for event in events if event.HasField("checkpoint_saved")]
    assert [one.step for one in saved] == [2, 4, 6, 8, 10]
    kept = sorted(path.name for path in (tmp_path / "output/checkpoints").iterdir())
    assert kept == ["step-00000008", "step-00000010"]
    for one in saved[-2:]:
        marker = json.loads(Path(one.path, "simmer-checkpoint.json").read_text())
        assert (marker["format"], marker["step"]) == (1, one.step)
        sizes = {name: Path(one.path, name).stat().st_size for name in marker["files"]}
        assert sizes == marker["files"]
        assert sum(sizes.values()) == one.bytes
        assert "model.safetensors" in sizes

    damaged = Path(saved[-1].path, "optimizer.pt")
    os.truncate(damaged, 10)
    again = training_request(tmp_path, attempt=2, resume_from=saved[-1].path)
    import grpc

    with pytest.raises(grpc.RpcError, match=r"optimizer\.pt should have"):
        shared_trainer.stub.StartTraining(again, timeout=30)


def test_a_checkpoint_of_other_data_is_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    shared_trainer.stub.StartTraining(request, timeout=30)
    events = shared_trainer.events(request.attempt_id)
    path = next(event.checkpoint_saved.path for event in events if event.HasField("checkpoint_saved"))
    data = write_rows(tmp_path / "fewer.parquet", sums(5))
    other = training_request(tmp_path, attempt=2, resume_from=path, training_data=str(data))
    shared_trainer.stub.StartTraining(other, timeout=30)
    assert shared_trainer.events(other.attempt_id)[-1].training_failed.code == "checkpoint_invalid"


def test_a_loss_that_is_not_finite_ends_the_attempt_and_names_the_rows(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(
        tmp_path, hyperparameters=hyperparameters(learning_rate=1e30, warmup_ratio=0, max_gradient_norm=0, max_steps=50)
    )
    shared_trainer.stub.StartTraining(request, timeout=30)
    failed = shared_trainer.events(request.attempt_id)[-1].training_failed
    assert failed.code == "loss_not_finite"
    assert failed.step >= 1
    assert set(failed.row_ids) <= {f"row-{index}" for index in range(18)}
    assert len(failed.row_ids) > 0
    # The process is as good as new.
    fine = training_request(tmp_path, attempt=2)
    shared_trainer.stub.StartTraining(fine, timeout=30)
    assert shared_trainer.events(fine.attempt_id)[-1].HasField("training_completed")


def test_rows_that_are_too_long_are_cut_and_counted(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(max_sequence_length=40, max_steps=1)
    request = training_request(tmp_path, hyperparameters=parameters)
    shared_trainer.stub.StartTraining(request, timeout=30)
    events = shared_trainer.events(request.attempt_id)
    assert events[0].log_written.level == pb.LOG_LEVEL_WARNING
    started = events[1].training_started
    assert started.truncated_rows == 18
    assert started.tokens == 18 * 40


def test_too_many_cut_rows_are_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(max_sequence_length=40, max_steps=1, max_truncated_share=0.5)
    request = training_request(tmp_path, hyperparameters=parameters)
    shared_trainer.stub.StartTraining(request, timeout=30)
    failed = shared_trainer.events(request.attempt_id)[-1].training_failed
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
    shared_trainer.stub.StartTraining(request, timeout=30)
    failed = shared_trainer.events(request.attempt_id)[-1].training_failed
    assert failed.code == "data_invalid", failed
    assert failed.message.startswith(f"1 of 5 rows of {data}.parquet are longer than the 96 tokens")
    assert list(failed.row_ids) == ["long"]


def test_evaluation_is_the_mean_over_tokens_and_disturbs_nothing(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "evaluation.parquet", sums(5))
    plain = training_request(tmp_path / "plain")
    shared_trainer.stub.StartTraining(plain, timeout=30)
    expected = losses(shared_trainer.events(plain.attempt_id))
    evaluated = training_request(
        tmp_path / "evaluated",
        job="evaluated",
        evaluation_data=str(data),
        hyperparameters=hyperparameters(evaluate_every_steps=3),
    )
    shared_trainer.stub.StartTraining(evaluated, timeout=30)
    events = shared_trainer.events(evaluated.attempt_id)
    evaluations = [event.evaluation_logged for event in events if event.HasField("evaluation_logged")]
    assert [one.step for one in evaluations] == [3, 6, 9, 10]
    assert all(math.isfinite(one.loss) and 3 < one.loss < 7 for one in evaluations)
    assert losses(events) == expected


def test_an_adapter_is_small_and_export_merges_it(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    exported = shared_trainer.stub.Export(
        pb.ExportRequest(model=random_model(attention_dropout=0.0), output_folder=str(base)), timeout=60
    )
    assert exported.architecture == "LlamaForCausalLM"
    assert exported.context_length == 512
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(exported.files)
    request = training_request(
        tmp_path,
        model=pb.ModelSource(folder=str(base)),
        hyperparameters=hyperparameters(method=pb.METHOD_LORA, lora=LORA, learning_rate=1e-2),
    )
    shared_trainer.stub.StartTraining(request, timeout=30)
    events = shared_trainer.events(request.attempt_id)
    started, completed = events[0].training_started, events[-1].training_completed
    assert started.trained_parameters < started.parameters / 4
    adapter = Path(completed.model_folder)
    assert (adapter / "adapter_config.json").is_file()
    merged = tmp_path / "merged"
    merged.mkdir()
    source = pb.ModelSource(folder=str(base), adapter_folder=str(adapter))
    shared_trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(merged)), timeout=60)
    before, after = weights_of(base), weights_of(merged)
    assert before.keys() == after.keys()
    assert any(not before[name].equal(after[name]) for name in before)
    # A checkpoint of an adapter is a model, too.
    checkpoint = next(event.checkpoint_saved.path for event in events if event.HasField("checkpoint_saved"))
    again = tmp_path / "again"
    again.mkdir()
    shared_trainer.stub.Export(
        pb.ExportRequest(model=pb.ModelSource(checkpoint=checkpoint), output_folder=str(again)), timeout=60
    )
    assert_same_weights(merged, again)


def test_a_random_model_is_the_same_every_time_and_keeps_its_precision(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    folders = {}
    for name, precision in (
        ("one", pb.PRECISION_UNSPECIFIED),
        ("two", pb.PRECISION_FLOAT32),
        ("half", pb.PRECISION_BFLOAT16),
    ):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        request = pb.ExportRequest(model=random_model(), output_folder=str(folders[name]), precision=precision)
        shared_trainer.stub.Export(request, timeout=60)
    assert_same_weights(folders["one"], folders["two"])
    assert {str(tensor.dtype) for tensor in weights_of(folders["half"]).values()} == {"torch.bfloat16"}
    config = json.loads((folders["one"] / "config.json").read_text())
    assert str(tmp_path) not in json.dumps(config)
    # What is trained from a model in bfloat16 is one in bfloat16.
    trained = training_request(tmp_path, job="half", model=pb.ModelSource(folder=str(folders["half"])))
    shared_trainer.stub.StartTraining(trained, timeout=30)
    assert shared_trainer.events(trained.attempt_id)[-1].HasField("training_completed")
    assert {str(tensor.dtype) for tensor in weights_of(tmp_path / "output/model").values()} == {"torch.bfloat16"}


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


@pytest.mark.slow
def test_killed_at_every_step_it_goes_on_bit_for_bit(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(epochs=2, checkpoint_every_steps=1)
    whole = training_request(tmp_path / "whole", hyperparameters=parameters)
    forked_trainer.stub.StartTraining(whole, timeout=30)
    expected = losses(forked_trainer.events(whole.attempt_id))
    seen: dict[int, float] = {}
    for attempt in range(1, 30):
        checkpoints = sorted((tmp_path / "killed/output/checkpoints").glob("step-*/simmer-checkpoint.json"))
        request = training_request(
            tmp_path / "killed",
            job="killed",
            attempt=attempt,
            hyperparameters=parameters,
            **({"resume_from": str(checkpoints[-1].parent)} if checkpoints else {}),
        )
        forked_trainer.stub.StartTraining(request, timeout=30)
        watch = forked_trainer.stub.Watch(pb.WatchRequest(attempt_id=request.attempt_id), timeout=120)
        ended = False
        for response in watch:
            fresh = losses(list(response.events))
            ended = any(event.HasField("training_completed") for event in response.events)
            has_saved = any(event.HasField("checkpoint_saved") for event in response.events)
            # By turns after a step, whose checkpoint may be half written, and after the checkpoint.
            if ended or has_saved or (fresh and attempt % 2):
                break
        if not ended:
            watch.cancel()
            forked_trainer.restart()
        # Those, too, that it made before it was dead.
        for step, loss in losses(forked_trainer.events(request.attempt_id)).items():
            assert seen.setdefault(step, loss) == loss
        if ended:
            break
    else:
        raise AssertionError("it never came to its end")
    assert seen == expected
    assert_same_weights(tmp_path / "whole/output/model", tmp_path / "killed/output/model")


@pytest.mark.slow
def test_a_pretrained_model_learns_and_goes_on_bit_for_bit(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    folder = os.environ.get("SIMMER_TEST_MODEL", "")
    if not Path(folder, "config.json").is_file():
        pytest.skip("SIMMER_TEST_MODEL names no model folder")
    parameters = hyperparameters(max_steps=6, learning_rate=1e-4, checkpoint_every_steps=2)
    values: dict[str, Any] = {"model": pb.ModelSource(folder=folder), "hyperparameters": parameters}
    whole = training_request(tmp_path / "whole", **values)
    forked_trainer.stub.StartTraining(whole, timeout=60)
    expected = forked_trainer.events(whole.attempt_id)
    assert losses(expected)[6] < losses(expected)[1]
    first = training_request(tmp_path / "killed", job="killed", **values)
    forked_trainer.stub.StartTraining(first, timeout=60)
    forked_trainer.wait_for_step(first.attempt_id, 5)
    forked_trainer.restart()
    path = str(tmp_path / "killed/output/checkpoints/step-00000004")
    wait_until(Path(path).is_dir, 1)
    second = training_request(tmp_path / "killed", job="killed", attempt=2, resume_from=path, **values)
    started = time.monotonic()
    forked_trainer.stub.StartTraining(second, timeout=60)
    after = losses(forked_trainer.events(second.attempt_id))
    assert time.monotonic() - started < 120
    assert after == {step: losses(expected)[step] for step in (5, 6)}
    assert_same_weights(tmp_path / "whole/output/model", tmp_path / "killed/output/model")
