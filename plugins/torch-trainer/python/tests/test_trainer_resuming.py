"""A job that was killed goes on exactly as if it had not been: from whole checkpoints, of its own data."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from trainer_process import (
    MINICPM3,
    TrainerProcess,
    code_of,
    hyperparameters,
    losses,
    random_model,
    sums,
    training_request,
    wait_until,
    write_rows,
)
from trainer_results import assert_same_weights, weights_of

from simmer_trainer.checkpoints import list_checkpoints, prune_checkpoints
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

CONSTANT = pb.LEARNING_RATE_SCHEDULE_CONSTANT
LORA = pb.Lora(rank=4, alpha=8, dropout=0.1)
LINEAR_HEADS = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        # Killed in the second of three epochs, between two accumulated passes of a batch that is not full.
        pytest.param(
            random_model(),
            hyperparameters(epochs=3, checkpoint_every_steps=1, gradient_checkpointing=True),
            id="full",
        ),
        pytest.param(
            random_model(),
            hyperparameters(epochs=3, checkpoint_every_steps=2, method=pb.METHOD_LORA, lora=LORA),
            id="lora",
        ),
        pytest.param(
            random_model(),
            hyperparameters(epochs=3, checkpoint_every_steps=1, precision=pb.PRECISION_BFLOAT16),
            id="bfloat16",
        ),
        # Its experts are one tensor in the model, and many in its files.
        pytest.param(
            random_model(model_type="mixtral", num_local_experts=4),
            hyperparameters(epochs=3, checkpoint_every_steps=1),
            id="experts",
        ),
    ],
)
def test_a_job_that_was_killed_goes_on_bit_for_bit(
    forked_trainer: TrainerProcess, tmp_path: Path, model: pb.ModelSource, parameters: pb.Hyperparameters
) -> None:
    whole = training_request(tmp_path / "whole", model=model, hyperparameters=parameters)
    expected = forked_trainer.train(whole)
    assert expected[-1].HasField("training_completed"), expected[-1]

    # A row that takes long would make the kill easy to place; steps are quick, so it is placed by its checkpoint.
    first = training_request(tmp_path / "killed", job="killed", model=model, hyperparameters=parameters)
    forked_trainer.stub.StartTraining(first, timeout=60)
    forked_trainer.wait_for_step(first.attempt_id, 7)
    forked_trainer.restart()
    before = forked_trainer.events(first.attempt_id)
    assert before[-1].training_failed.code == "trainer_exited"
    done = max(losses(before))
    saved = [event.checkpoint_saved for event in before if event.HasField("checkpoint_saved")]
    # Not the newest: steps that were logged run again.
    checkpoint = saved[-2] if len(saved) > 1 else saved[-1]

    second = training_request(
        tmp_path / "killed",
        job="killed",
        attempt=2,
        model=model,
        hyperparameters=parameters,
        resume_from=checkpoint.path,
    )
    after = forked_trainer.train(second)
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


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt_neox", "tie_word_embeddings": False},
        {"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 1},
        # Whose row for padding transformers sets to 0 as it loads it.
        {**MINICPM3, "model_type": "youtu"},
        {"model_type": "olmo_hybrid", "layer_types": ["linear_attention", "full_attention"], **LINEAR_HEADS},
    ],
    ids=lambda config: config["model_type"],
)
def test_weights_that_transformers_loads_otherwise_than_by_name_are_resumed(
    shared_trainer: TrainerProcess, tmp_path: Path, config: dict[str, Any]
) -> None:
    """A head's, experts' that are one tensor in the model, and convolutions' that are one: each as it was saved."""
    parameters = hyperparameters(max_steps=4, checkpoint_every_steps=2, learning_rate=1e-2)
    whole = training_request(tmp_path / "whole", model=random_model(**config), hyperparameters=parameters)
    expected = losses(shared_trainer.train(whole))
    checkpoint = tmp_path / "whole/output/checkpoints/step-00000002"
    again = training_request(
        tmp_path / "resumed",
        model=random_model(**config),
        hyperparameters=parameters,
        resume_from=str(checkpoint),
    )
    assert losses(shared_trainer.train(again)) == {step: expected[step] for step in (3, 4)}
    assert_same_weights(tmp_path / "whole/output/model", tmp_path / "resumed/output/model")


def test_a_checkpoint_that_lacks_weights_is_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shared_trainer.train(training_request(tmp_path, hyperparameters=hyperparameters(max_steps=1)))
    checkpoint = tmp_path / "output/checkpoints/step-00000001"
    weights = weights_of(checkpoint)
    del weights["model.norm.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    marker = json.loads((checkpoint / "simmer-checkpoint.json").read_text())
    marker["files"]["model.safetensors"] = (checkpoint / "model.safetensors").stat().st_size
    # As former versions wrote it.
    del marker["digests"], marker["digest"]
    (checkpoint / "simmer-checkpoint.json").write_text(json.dumps(marker))
    again = training_request(tmp_path, attempt=2, resume_from=str(checkpoint))
    failed = shared_trainer.train(again)[-1].training_failed
    assert failed.code == "checkpoint_invalid" and "model.norm.weight" in failed.message


@pytest.mark.parametrize(
    ("parameters", "steps"),
    [
        pytest.param(hyperparameters(), 10, id="at an epoch's end"),
        # At a constant learning rate one step more is another model.
        pytest.param(hyperparameters(max_steps=7, schedule=CONSTANT), 7, id="within an epoch"),
        pytest.param(hyperparameters(epochs=1.5, schedule=CONSTANT, packing=True), 8, id="packed"),
        pytest.param(hyperparameters(max_steps=7, schedule=CONSTANT, method=pb.METHOD_LORA, lora=LORA), 7, id="lora"),
    ],
)
def test_a_job_killed_at_its_end_only_writes_its_model(
    shared_trainer: TrainerProcess, tmp_path: Path, parameters: pb.Hyperparameters, steps: int
) -> None:
    events = shared_trainer.train(training_request(tmp_path, hyperparameters=parameters))
    saved = [event.checkpoint_saved for event in events if event.HasField("checkpoint_saved")]
    assert [one.step for one in saved] == [steps]
    model = tmp_path / "output/model"
    model.rename(tmp_path / "former")
    again = training_request(tmp_path, attempt=2, hyperparameters=parameters, resume_from=saved[0].path)
    after = shared_trainer.train(again)
    assert not losses(after)
    first, second = events[-1].training_completed, after[-1].training_completed
    assert (second.model_folder, second.steps, second.final_loss) == (str(model), steps, first.final_loss)
    assert_same_weights(tmp_path / "former", model)


def test_checkpoints_are_whole_pruned_and_left_alone_where_unfinished(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    parameters = hyperparameters(checkpoint_every_steps=2, checkpoints_kept=2)
    request = training_request(tmp_path, hyperparameters=parameters)
    drafts = tmp_path / "output/checkpoints/.step-00000004.draft-1"
    drafts.mkdir(parents=True)
    events = shared_trainer.train(request)
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
        shared_trainer.stub.StartTraining(again, timeout=60)


def flip_a_bit(file: Path) -> None:
    """As a bad disk does: the size stays."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(hyperparameters(max_steps=2), id="full"),
        pytest.param(hyperparameters(max_steps=2, method=pb.METHOD_LORA, lora=LORA), id="lora"),
    ],
)
def test_a_checkpoint_that_is_not_as_it_was_saved_is_refused_whichever_file_has_changed(
    shared_trainer: TrainerProcess, tmp_path: Path, parameters: pb.Hyperparameters
) -> None:
    events = shared_trainer.train(training_request(tmp_path, hyperparameters=parameters))
    checkpoint = Path(next(event.checkpoint_saved.path for event in events if event.HasField("checkpoint_saved")))
    marker = json.loads((checkpoint / "simmer-checkpoint.json").read_text())
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.stem != "simmer-checkpoint"]
    assert {path.relative_to(checkpoint).as_posix() for path in files} == set(marker["files"])
    attempts = iter(range(2, 100))

    def resume() -> pb.TrainerEvent:
        again = training_request(
            tmp_path, attempt=next(attempts), hyperparameters=parameters, resume_from=str(checkpoint)
        )
        return shared_trainer.train(again)[-1]

    for file in files:
        flip_a_bit(file)
        failed = resume().training_failed
        assert (failed.code, str(file) in failed.message) == ("checkpoint_damaged", True), f"{file.name}: {failed}"
        flip_a_bit(file)
    assert resume().HasField("training_completed")


def test_a_model_made_of_a_checkpoint_that_has_changed_is_refused(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    shared_trainer.train(training_request(tmp_path, hyperparameters=hyperparameters(max_steps=1)))
    checkpoint = tmp_path / "output/checkpoints/step-00000001"
    flip_a_bit(checkpoint / "model.safetensors")
    model = pb.ModelSource(checkpoint=str(checkpoint))
    (tmp_path / "exported").mkdir()
    import grpc

    with pytest.raises(grpc.RpcError) as error:
        shared_trainer.stub.Export(pb.ExportRequest(model=model, output_folder=str(tmp_path / "exported")), timeout=60)
    assert code_of(error) == (grpc.StatusCode.INVALID_ARGUMENT, "checkpoint_damaged")


def test_one_that_goes_on_from_the_checkpoint_before_a_damaged_one_is_left_with_good_ones(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    parameters = hyperparameters(max_steps=5, checkpoint_every_steps=2, checkpoints_kept=2)
    expected = shared_trainer.train(training_request(tmp_path / "whole", hyperparameters=parameters))
    kept = tmp_path / "whole/output/checkpoints"
    assert sorted(path.name for path in kept.iterdir()) == ["step-00000004", "step-00000005"]
    flip_a_bit(kept / "step-00000005/model.safetensors")
    one = hyperparameters(max_steps=6, checkpoint_every_steps=1, checkpoints_kept=1)
    again = training_request(
        tmp_path / "whole", attempt=2, hyperparameters=one, resume_from=str(kept / "step-00000004")
    )
    assert losses(shared_trainer.train(again))[5] == losses(expected)[5]
    assert [path.name for path in kept.iterdir()] == ["step-00000006"]


def test_where_a_damaged_checkpoint_is_the_newest_the_next_one_is_not_pruned_for_it(tmp_path: Path) -> None:
    for step in (4, 6, 9):
        folder = tmp_path / f"checkpoints/step-{step:08d}"
        folder.mkdir(parents=True)
        (folder / "simmer-checkpoint.json").write_text("{}")
    # An attempt went on from 4, since 9 was refused, and has saved 6.
    prune_checkpoints(tmp_path, 1, newest=6)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000006"]


def test_a_job_whose_best_checkpoint_is_damaged_or_gone_says_so_before_it_trains(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    # What is learned of sums is soon of no use for it.
    evaluation = str(write_rows(tmp_path / "evaluation.parquet", [{"prompt": "Other", "completion": " words"}]))
    parameters = hyperparameters(
        max_steps=12, checkpoint_every_steps=4, evaluate_every_steps=1, keep_best=True, learning_rate=1e-2
    )
    changes: dict[str, Any] = {"hyperparameters": parameters, "evaluation_data": evaluation}
    events = shared_trainer.train(training_request(tmp_path, **changes))
    best = events[-1].training_completed.best_step
    assert 0 < best < 12
    checkpoints = tmp_path / "output/checkpoints"
    newest = str(checkpoints / "step-00000012")
    folder = checkpoints / f"step-{best:08d}"
    flip_a_bit(folder / "model.safetensors")
    failed = shared_trainer.train(training_request(tmp_path, attempt=2, resume_from=newest, **changes))[-1]
    assert failed.training_failed.code == "checkpoint_damaged"
    shutil.rmtree(folder)
    failed = shared_trainer.train(training_request(tmp_path, attempt=3, resume_from=newest, **changes))[-1]
    assert failed.training_failed.code == "checkpoint_damaged"
    assert f"step-{best:08d}" in failed.training_failed.message


def test_a_checkpoint_of_other_data_is_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    events = shared_trainer.train(request)
    path = next(event.checkpoint_saved.path for event in events if event.HasField("checkpoint_saved"))
    data = write_rows(tmp_path / "fewer.parquet", sums(5))
    other = training_request(tmp_path, attempt=2, resume_from=path, training_data=str(data))
    assert shared_trainer.train(other)[-1].training_failed.code == "checkpoint_invalid"


@pytest.mark.slow
def test_killed_at_every_step_it_goes_on_bit_for_bit(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(epochs=2, checkpoint_every_steps=1)
    whole = training_request(tmp_path / "whole", hyperparameters=parameters)
    expected = losses(forked_trainer.train(whole))
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
        forked_trainer.stub.StartTraining(request, timeout=60)
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
    expected = forked_trainer.train(whole)
    assert losses(expected)[6] < losses(expected)[1]
    first = training_request(tmp_path / "killed", job="killed", **values)
    forked_trainer.stub.StartTraining(first, timeout=60)
    forked_trainer.wait_for_step(first.attempt_id, 5)
    forked_trainer.restart()
    path = str(tmp_path / "killed/output/checkpoints/step-00000004")
    wait_until(Path(path).is_dir, 1)
    second = training_request(tmp_path / "killed", job="killed", attempt=2, resume_from=path, **values)
    started = time.monotonic()
    after = losses(forked_trainer.train(second))
    assert time.monotonic() - started < 120
    assert after == {step: losses(expected)[step] for step in (5, 6)}
    assert_same_weights(tmp_path / "whole/output/model", tmp_path / "killed/output/model")
