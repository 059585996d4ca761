"""Several ranks: they train what one would, shard what they save, live and die together."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file
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

# Dropout draws other numbers on each rank.
MODEL = random_model(attention_dropout=0.0)
LORA = pb.Lora(rank=4, alpha=8, dropout=0.0)
FULL = hyperparameters(checkpoint_every_steps=3, evaluate_every_steps=5, gradient_checkpointing=True)
ADAPTER = hyperparameters(checkpoint_every_steps=3, method=pb.METHOD_LORA, lora=LORA, packing=True)
ACCELERATE_CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
num_machines: 1
num_processes: 2
use_cpu: false
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer
  fsdp_reshard_after_forward: false
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_activation_checkpointing: true
"""
# A dead process is noticed at once; its launcher and the machine take the rest.
SECONDS = 120


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerProcess]:
    with TrainerProcess(tmp_path_factory.mktemp("ranks") / "trainer", ranks=2) as process:
        yield process


def train(trainer: TrainerProcess, folder: Path, parameters: pb.Hyperparameters, **changes: Any) -> list[Any]:
    folder.mkdir()
    if parameters.evaluate_every_steps:
        changes["evaluation_data"] = str(write_rows(folder / "evaluation.parquet", sums(5)))
    request = training_request(folder, hyperparameters=parameters, **{"model": MODEL, **changes})
    events = trainer.train(request)
    assert events[-1].HasField("training_completed"), events[-1]
    return events


def assert_close_weights(one: Path, other: Path) -> None:
    from safetensors.torch import load_file

    for file in sorted(one.glob("*.safetensors")):
        first, second = load_file(file), load_file(other / file.name)
        assert first.keys() == second.keys() and first
        for name, tensor in first.items():
            assert tensor.dtype == second[name].dtype
            assert tensor.allclose(second[name], rtol=1e-3, atol=2e-5), name


@pytest.mark.parametrize("parameters", [FULL, ADAPTER], ids=["full, padded", "adapter, packed"])
def test_two_ranks_train_as_one_does_and_take_up_each_others_checkpoints(
    shared_trainer: TrainerProcess, two_ranks: TrainerProcess, tmp_path: Path, parameters: pb.Hyperparameters
) -> None:
    """18 rows in steps of 4: the last step of an epoch has a pass for one rank alone."""
    assert_ranks_train_as_one(shared_trainer, two_ranks, tmp_path, MODEL, parameters)


def test_ranks_have_what_a_model_keeps_beside_its_weights(
    shared_trainer: TrainerProcess, two_ranks: TrainerProcess, tmp_path: Path
) -> None:
    """As what GLM-4-MoE's routers correct their choice of experts by."""
    base = tmp_path / "base"
    base.mkdir()
    model = random_model(
        model_type="glm4_moe",
        attention_dropout=0.0,
        head_dim=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
    )
    shared_trainer.stub.Export(pb.ExportRequest(model=model, output_folder=str(base)), timeout=60)
    weights = weights_of(base)
    (name,) = (name for name in weights if name.endswith("e_score_correction_bias"))
    # The last two are chosen for every token.
    correction = torch.tensor([0.0, 0.0, 2.001, 2.002])
    save_file({**weights, name: correction}, base / "model.safetensors", metadata={"format": "pt"})
    source = pb.ModelSource(folder=str(base))
    assert_ranks_train_as_one(shared_trainer, two_ranks, tmp_path, source, FULL)
    for folder in ("one", "two", "two-by-two", "two-by-one", "one-by-two"):
        written = weights_of(tmp_path / folder / "output/model")
        assert written.keys() == weights.keys()
        assert torch.equal(written[name], correction), folder


def test_ranks_train_the_language_model_of_a_family_with_images(two_ranks: TrainerProcess, tmp_path: Path) -> None:
    """It names layers for images, too, that are not there."""
    model = random_model(model_type="gemma3_text", attention_dropout=0.0, head_dim=16)
    train(two_ranks, tmp_path / "job", hyperparameters(max_steps=1, gradient_checkpointing=True), model=model)


def test_ranks_whose_head_is_a_unit_of_its_own_train_as_one_does(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    """Its weights are shards where the loss is taken, and FSDP does not average what they learn over ranks."""
    model = random_model(attention_dropout=0.0, tie_word_embeddings=False)
    parameters = hyperparameters(max_steps=3)
    config = tmp_path / "accelerate.yaml"
    config.write_text(ACCELERATE_CONFIG.replace("LlamaDecoderLayer", "LlamaDecoderLayer,Linear"))
    one = train(shared_trainer, tmp_path / "one", parameters, model=model)
    environment = {"SIMMER_ACCELERATE_CONFIG": str(config)}
    with TrainerProcess(tmp_path / "trainer", ranks=2, environment=environment) as trainer:
        two = train(trainer, tmp_path / "two", parameters, model=model)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert_close_weights(tmp_path / "one/output/model", tmp_path / "two/output/model")


def assert_ranks_train_as_one(
    shared_trainer: TrainerProcess,
    two_ranks: TrainerProcess,
    tmp_path: Path,
    model: pb.ModelSource,
    parameters: pb.Hyperparameters,
) -> None:
    """Also from where the one or the others left off."""
    one = train(shared_trainer, tmp_path / "one", parameters, model=model)
    two = train(two_ranks, tmp_path / "two", parameters, model=model)
    expected = losses(one)
    assert losses(two) == pytest.approx(expected, rel=1e-5)
    for name in ("gradient_norm", "rows_seen", "tokens_seen", "learning_rate"):
        first, second = ([getattr(event.step_logged, name) for event in events] for events in (one, two))
        assert second == pytest.approx(first, rel=1e-4), name
    evaluated = [[e.evaluation_logged.loss for e in run if e.HasField("evaluation_logged")] for run in (one, two)]
    assert evaluated[1] == pytest.approx(evaluated[0], rel=1e-5)
    assert one[0].training_started.parameters == two[0].training_started.parameters
    models = tmp_path / "one/output/model", tmp_path / "two/output/model"
    assert {file.name for file in models[0].iterdir()} == {file.name for file in models[1].iterdir()}
    configs = [json.loads(next(folder.glob("*config.json")).read_text()) for folder in models]
    assert configs[0] == configs[1]
    assert_close_weights(*models)

    checkpoints = {name: str(tmp_path / name / "output/checkpoints/step-00000006") for name in ("one", "two")}
    shards = sorted(file.name for file in Path(checkpoints["two"]).rglob("*.distcp"))
    assert shards == ["__0_0.distcp", "__0_0.distcp", "__1_0.distcp", "__1_0.distcp"]
    for name, trainer, checkpoint in (
        ("two-by-two", two_ranks, "two"),
        ("two-by-one", shared_trainer, "two"),
        ("one-by-two", two_ranks, "one"),
    ):
        events = train(trainer, tmp_path / name, parameters, model=model, resume_from=checkpoints[checkpoint])
        assert events[0].training_started.resumed_after_step == 6
        assert losses(events) == pytest.approx({step: expected[step] for step in range(7, 11)}, rel=1e-5), name
        assert_close_weights(models[0], tmp_path / name / "output/model")


def test_ranks_take_up_weights_that_have_other_names_in_files(
    shared_trainer: TrainerProcess, two_ranks: TrainerProcess, tmp_path: Path
) -> None:
    """Experts, and what corrects the choice of them, which is no shard."""
    experts = {"moe_num_experts": 2, "moe_k": 1, "moe_intermediate_size": 32, "attention_dropout": 0.0}
    model = random_model(model_type="ernie4_5_moe", **experts)
    parameters = hyperparameters(max_steps=4, checkpoint_every_steps=2)
    one = train(shared_trainer, tmp_path / "one", parameters, model=model)
    checkpoint = str(tmp_path / "one/output/checkpoints/step-00000002")
    two = train(two_ranks, tmp_path / "two", parameters, model=model, resume_from=checkpoint)
    assert losses(two) == pytest.approx({step: losses(one)[step] for step in (3, 4)}, rel=1e-5)
    assert_close_weights(tmp_path / "one/output/model", tmp_path / "two/output/model")


@pytest.mark.parametrize("parameters", [{}, {"method": pb.METHOD_LORA, "lora": LORA}], ids=["full", "adapter"])
def test_a_checkpoint_of_ranks_is_a_model_to_export_and_to_start_from(
    shared_trainer: TrainerProcess, two_ranks: TrainerProcess, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    train(two_ranks, tmp_path / "job", hyperparameters(max_steps=2, **parameters))
    source = pb.ModelSource(checkpoint=str(tmp_path / "job/output/checkpoints/step-00000002"))
    final = pb.ModelSource(folder=str(tmp_path / "job/output/model"))
    if parameters:
        final = pb.ModelSource(random=MODEL.random, adapter_folder=final.folder)
    for precision, name in ((pb.PRECISION_UNSPECIFIED, "stored"), (pb.PRECISION_BFLOAT16, "half")):
        folders = [tmp_path / f"{name}-{kind}" for kind in ("final", "checkpoint")]
        for model, folder in zip((final, source), folders, strict=True):
            folder.mkdir()
            request = pb.ExportRequest(model=model, output_folder=str(folder), precision=precision)
            shared_trainer.stub.Export(request, timeout=60)
        assert_same_weights(*folders)
        assert {file.name for file in folders[0].iterdir()} == {file.name for file in folders[1].iterdir()}
    train(two_ranks, tmp_path / "next", hyperparameters(max_steps=1), model=source)


def test_in_bfloat16_ranks_differ_from_one_by_no_more_than_its_products(
    shared_trainer: TrainerProcess, two_ranks: TrainerProcess, tmp_path: Path
) -> None:
    """A loss in bfloat16 itself would differ by up to 1/512."""
    parameters = hyperparameters(max_steps=4, precision=pb.PRECISION_BFLOAT16)
    one = losses(train(shared_trainer, tmp_path / "one", parameters))
    two = losses(train(two_ranks, tmp_path / "two", parameters))
    assert two == pytest.approx(one, rel=3e-4)


def test_ranks_heed_a_checkpoint_now_and_a_cancellation(two_ranks: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path, hyperparameters=hyperparameters(epochs=2000), model=MODEL)
    two_ranks.stub.StartTraining(request, timeout=60)
    two_ranks.wait_for_step(request.attempt_id, 2)
    saved = two_ranks.stub.Checkpoint(pb.CheckpointRequest(attempt_id=request.attempt_id), timeout=60).checkpoint
    assert (Path(saved.path) / "simmer-checkpoint.json").exists()
    two_ranks.stub.Cancel(pb.CancelRequest(attempt_id=request.attempt_id, checkpoint_first=True), timeout=60)
    canceled = two_ranks.events(request.attempt_id)[-1].training_canceled
    assert canceled.checkpoint.endswith(f"step-{canceled.step:08d}")
    again = training_request(tmp_path, attempt=2, hyperparameters=hyperparameters(epochs=2000), model=MODEL)
    two_ranks.stub.StartTraining(again, timeout=60)
    two_ranks.wait_for_step(again.attempt_id, 1)
    two_ranks.stub.Cancel(pb.CancelRequest(attempt_id=again.attempt_id), timeout=60)
    assert two_ranks.events(again.attempt_id)[-1].HasField("training_canceled")


def test_rows_that_no_rank_can_train_on_end_the_attempt_and_not_the_trainer(
    two_ranks: TrainerProcess, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "rows.parquet", [{"prompt": "a" * 40, "completion": "b"}])
    request = training_request(
        tmp_path, training_data=str(data), hyperparameters=hyperparameters(max_sequence_length=16), model=MODEL
    )
    assert two_ranks.train(request)[-1].training_failed.code == "mask_empty"
    train(two_ranks, tmp_path / "next", hyperparameters(max_steps=1))


def test_a_checkpoint_that_rank_0_refuses_ends_the_attempt_and_all_ranks(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    """The others wait for the weights that it reads."""
    train(shared_trainer, tmp_path / "one", hyperparameters(max_steps=1))
    checkpoint = tmp_path / "one/output/checkpoints/step-00000001"
    weights = weights_of(checkpoint)
    del weights["model.norm.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    marker = json.loads((checkpoint / "simmer-checkpoint.json").read_text())
    marker["files"]["model.safetensors"] = (checkpoint / "model.safetensors").stat().st_size
    # As former versions wrote it.
    del marker["digests"], marker["digest"]
    (checkpoint / "simmer-checkpoint.json").write_text(json.dumps(marker))
    with TrainerProcess(tmp_path / "trainer", ranks=2) as trainer:
        processes = trainer.rank_processes()
        parameters = hyperparameters(max_steps=2)
        request = training_request(
            tmp_path / "two", model=MODEL, hyperparameters=parameters, resume_from=str(checkpoint)
        )
        failed = trainer.train(request)[-1].training_failed
        assert failed.code == "checkpoint_invalid" and "model.norm.weight" in failed.message
        trainer.wait_for_exit(SECONDS)
        assert not are_running(processes)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(hyperparameters(max_steps=3, schedule=pb.LEARNING_RATE_SCHEDULE_CONSTANT), id="within an epoch"),
        pytest.param(
            hyperparameters(max_steps=9, evaluate_every_steps=1, early_stopping_patience=1, learning_rate=0.3),
            id="stopped early",
        ),
        pytest.param(hyperparameters(max_steps=3, method=pb.METHOD_LORA, lora=LORA), id="lora"),
    ],
)
def test_a_job_of_two_ranks_killed_at_its_end_only_writes_its_model(
    two_ranks: TrainerProcess, tmp_path: Path, parameters: pb.Hyperparameters
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    evaluation = str(write_rows(folder / "evaluation.parquet", sums(5)))
    changes = {"model": MODEL, "hyperparameters": parameters, "evaluation_data": evaluation}
    events = two_ranks.train(training_request(folder, **changes))
    first = events[-1].training_completed
    assert first.steps == 3 or first.stopped_early, events[-1]
    model = folder / "output/model"
    model.rename(folder / "former")
    checkpoint = str(folder / f"output/checkpoints/step-{first.steps:08d}")
    after = two_ranks.train(training_request(folder, attempt=2, resume_from=checkpoint, **changes))
    assert not losses(after)
    assert (after[-1].training_completed.steps, after[-1].training_completed.final_loss) == (
        first.steps,
        first.final_loss,
    ), after[-1]
    assert_same_weights(folder / "former", model)


def test_shards_that_are_not_as_they_were_saved_are_refused_by_all_ranks_which_serve_on(
    two_ranks: TrainerProcess, tmp_path: Path
) -> None:
    parameters = hyperparameters(max_steps=1)
    train(two_ranks, tmp_path / "whole", parameters)
    checkpoint = tmp_path / "whole/output/checkpoints/step-00000001"
    shards = sorted(checkpoint.rglob("*.distcp"))
    assert len(shards) == 4
    for attempt, shard in enumerate(shards, 2):
        content = shard.read_bytes()
        shard.write_bytes(content[:-100] + bytes([content[-100] ^ 16]) + content[-99:])
        request = training_request(
            tmp_path / "whole", attempt=attempt, model=MODEL, hyperparameters=parameters, resume_from=str(checkpoint)
        )
        failed = two_ranks.train(request)[-1].training_failed
        assert failed.code == "checkpoint_damaged" and str(shard) in failed.message
        shard.write_bytes(content)
    train(two_ranks, tmp_path / "next", parameters)


def test_a_killed_rank_ends_the_trainer_within_seconds_and_the_job_goes_on(tmp_path: Path) -> None:
    parameters = hyperparameters(epochs=2000, checkpoint_every_steps=2, checkpoints_kept=2)
    config = tmp_path / "accelerate.yaml"
    config.write_text(ACCELERATE_CONFIG)
    environment = {"SIMMER_ACCELERATE_CONFIG": str(config)}
    with TrainerProcess(tmp_path / "trainer", ranks=2, environment=environment) as trainer:
        first = training_request(tmp_path / "job", hyperparameters=parameters, model=MODEL)
        trainer.stub.StartTraining(first, timeout=60)
        trainer.wait_for_step(first.attempt_id, 5)
        processes = trainer.rank_processes()
        assert sorted(processes) == [0, 1]
        processes[1].send_signal(signal.SIGKILL)
        assert trainer.wait_for_exit(SECONDS) != 0
        assert not are_running(processes)
        assert "rank 1 (process" in trainer.stderr

        trainer.start()
        events = trainer.events(first.attempt_id)
        assert events[-1].training_failed.code == "trainer_exited"
        assert events[-1].training_failed.retryable
        saved = [event.checkpoint_saved for event in events if event.HasField("checkpoint_saved")][-1]
        second = training_request(
            tmp_path / "job", attempt=2, hyperparameters=parameters, model=MODEL, resume_from=saved.path
        )
        trainer.stub.StartTraining(second, timeout=60)
        trainer.wait_for_step(second.attempt_id, saved.step + 1)
        processes = trainer.rank_processes()
        # As a launcher ends it in a hurry: the signal reaches all ranks, and the last step is saved first.
        trainer.process.send_signal(signal.SIGTERM)
        trainer.wait_for_exit(SECONDS)
        assert not are_running(processes)
        markers = sorted((tmp_path / "job/output/checkpoints").glob("step-*/simmer-checkpoint.json"))
        assert json.loads(markers[-1].read_text())["step"] > saved.step


@pytest.mark.parametrize("end", ["rank 0 is killed", "their agent is killed", "no core renews the lease"])
def test_no_rank_is_left_when(end: str, tmp_path: Path) -> None:
    with TrainerProcess(tmp_path / "trainer", ranks=2) as trainer:
        request = training_request(tmp_path / "job", hyperparameters=hyperparameters(epochs=2000), model=MODEL)
        trainer.stub.StartTraining(request, timeout=60)
        processes = trainer.rank_processes()
        assert sorted(processes) == [0, 1]
        if end == "no core renews the lease":
            shorter = pb.RenewLeaseRequest()
            shorter.duration.FromMilliseconds(500)
            trainer.stub.RenewLease(shorter, timeout=60)
            assert trainer.wait_for_exit(SECONDS) == 0
        else:
            trainer.wait_for_step(request.attempt_id, 2)
            (processes[0] if end == "rank 0 is killed" else trainer.process).send_signal(signal.SIGKILL)
            trainer.wait_for_exit(SECONDS)
        wait_until(lambda: not are_running(processes), SECONDS)


def are_running(processes: dict[int, psutil.Process]) -> bool:
    return any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes.values())
