"""DeepSpeed's ZeRO over two ranks. Its trainings are listed as not run where DeepSpeed is not installed."""

import importlib.util
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from test_trainer_ranks import SECONDS, are_running
from trainer_process import TrainerProcess, hyperparameters, losses, random_model, training_request

from simmer_trainer import zero
from simmer_trainer.errors import TrainingError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.sharding import settings

CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
num_machines: 1
num_processes: 2
use_cpu: false
deepspeed_config:
"""
STAGE = "  zero_stage: {stage}\n  gradient_accumulation_steps: 8\n  gradient_clipping: 3.0\n"
# Dropout draws other numbers on each rank.
MODEL = random_model(attention_dropout=0.0)
ADAPTER = hyperparameters(
    max_steps=3,
    method=pb.METHOD_LORA,
    lora=pb.Lora(rank=4, alpha=8, dropout=0.0),
    packing=True,
    gradient_checkpointing=True,
)
# The second step's gradients overflow, though its loss is still a number.
DIVERGING = hyperparameters(learning_rate=1e30, warmup_ratio=0, max_gradient_norm=0, max_steps=9)
has_deepspeed = importlib.util.find_spec("deepspeed") is not None


def config(folder: Path, section: str) -> str:
    file = folder / "accelerate.yaml"
    file.write_text(CONFIG + section)
    return str(file)


def own_config(folder: Path, values: dict[str, Any]) -> str:
    (folder / "zero.json").write_text(json.dumps(values))
    return config(folder, "  deepspeed_config_file: zero.json\n")


def refusal(file: str) -> TrainingError:
    with pytest.raises(TrainingError) as error:
        settings(file)
    return error.value


@pytest.mark.parametrize("stage", ["0", "4", "two"])
def test_a_stage_that_does_not_exist_is_refused_with_file_and_key(tmp_path: Path, stage: str) -> None:
    file = config(tmp_path, STAGE.format(stage=stage))
    error = refusal(file)
    assert error.code == "accelerate_config_invalid"
    assert file in error.message
    assert "deepspeed_config.zero_stage" in error.message


def test_an_answer_that_accelerate_does_not_know_is_refused_with_file_and_key(tmp_path: Path) -> None:
    file = config(tmp_path, "  zero_stage: 2\n  offload_optimiser_device: cpu\n")
    error = refusal(file)
    assert error.code == "accelerate_config_invalid"
    assert file in error.message
    assert "deepspeed_config.offload_optimiser_device" in error.message


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({}, "zero_optimization.stage"),
        ({"zero_optimization": {"stage": 2}, "optimizer": {"type": "Adam"}}, "optimizer"),
        ({"zero_optimization": {"stage": 2}, "gradient_clipping": 3.0}, "gradient_clipping"),
        ({"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}, "bf16.enabled"),
        ({"zero_optimization": {"stage": 3}}, "stage3_gather_16bit_weights_on_model_save"),
    ],
)
def test_a_file_of_deepspeeds_own_says_nothing_that_the_recipe_says(
    tmp_path: Path, values: dict[str, Any], key: str
) -> None:
    error = refusal(own_config(tmp_path, values))
    assert error.code == "accelerate_config_invalid"
    assert str(tmp_path / "zero.json") in error.message
    assert key in error.message


def test_without_deepspeed_its_config_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "deepspeed" else find_spec(name))
    error = refusal(config(tmp_path, STAGE.format(stage=2)))
    assert error.code == "deepspeed_missing"
    assert "pip install deepspeed" in error.message


@pytest.mark.skipif(not has_deepspeed, reason="DeepSpeed is not installed")
def test_what_a_file_of_deepspeeds_own_leaves_out_is_the_recipes(tmp_path: Path) -> None:
    found = settings(own_config(tmp_path, {"zero_optimization": {"stage": 2}}))
    assert json.loads(found["ACCELERATE_DEEPSPEED_CONFIG_FILE"]) == {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": {"stage": 2},
    }


@pytest.mark.skipif(not has_deepspeed, reason="DeepSpeed is not installed")
@pytest.mark.parametrize("own", [False, True])
def test_a_checkpoint_of_stage_3_is_not_resumed_at_stage_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    file = own_config(tmp_path, {"zero_optimization": {"stage": 2}}) if own else config(tmp_path, STAGE.format(stage=2))
    for name, value in settings(file).items():
        monkeypatch.setenv(name, value)
    state = tmp_path / "step-00000003/global_step3"
    state.mkdir(parents=True)
    for rank in (0, 1):
        (state / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    zero.check_checkpoint(state.parent, 2)
    (state / "zero_pp_rank_0_mp_rank_00_model_states.pt").touch()
    with pytest.raises(TrainingError, match="with ZeRO stage 3, and accelerateConfig asks for stage 2") as error:
        zero.check_checkpoint(state.parent, 2)
    assert error.value.code == "checkpoint_invalid"


@pytest.mark.skipif(not has_deepspeed, reason="DeepSpeed is not installed")
def test_a_config_of_accelerate_says_how_deepspeed_shards_and_the_recipe_the_rest(tmp_path: Path) -> None:
    found = settings(config(tmp_path, STAGE.format(stage=3) + "  offload_optimizer_device: cpu\n"))
    assert found["ACCELERATE_USE_DEEPSPEED"] == "true"
    assert found["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == "3"
    assert found["ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE"] == "cpu"
    assert not [name for name in found if "ACCUMULATION" in name or "CLIPPING" in name or "PRECISION" in name]


@pytest.mark.skipif(not has_deepspeed, reason="DeepSpeed is not installed")
@pytest.mark.parametrize("stage", [2, 3])
def test_two_ranks_of_deepspeed_train_as_one_does_and_resume(
    shared_trainer: TrainerProcess, tmp_path: Path, stage: int
) -> None:
    parameters = hyperparameters(checkpoint_every_steps=3, max_steps=6)
    one = train(shared_trainer, tmp_path / "one", parameters)
    # Whatever is small stays whole otherwise, and all of this model is small. What the recipe says is absent.
    zero_3 = {"stage": 3, "stage3_param_persistence_threshold": 0, "stage3_gather_16bit_weights_on_model_save": True}
    file = (
        config(tmp_path, STAGE.format(stage=2)) if stage == 2 else own_config(tmp_path, {"zero_optimization": zero_3})
    )
    environment = {"SIMMER_ACCELERATE_CONFIG": file}
    with TrainerProcess(tmp_path / "trainer", ranks=2, environment=environment) as two_ranks:
        two = train(two_ranks, tmp_path / "two", parameters)
        assert losses(two) == pytest.approx(losses(one), rel=1e-5)
        norms = [
            [event.step_logged.gradient_norm for event in run if event.HasField("step_logged")] for run in (one, two)
        ]
        assert norms[1] == pytest.approx(norms[0], rel=1e-4)
        assert_close_weights(tmp_path / "one/output/model", tmp_path / "two/output/model")
        saved = str(tmp_path / "two/output/checkpoints/step-00000003")
        resumed = train(two_ranks, tmp_path / "resumed", parameters, resume_from=saved)
        assert losses(resumed) == pytest.approx({step: losses(one)[step] for step in (4, 5, 6)}, rel=1e-5)
        assert_close_weights(tmp_path / "one/output/model", tmp_path / "resumed/output/model")
        failed = run(two_ranks, tmp_path / "diverging", DIVERGING)[-1].training_failed
        assert failed.code == "loss_not_finite"
        # Under weights that DeepSpeed has left as they were.
        assert "no row of the step does so by itself" in failed.message
        assert_adapters_are_the_same(shared_trainer, two_ranks, tmp_path)
        assert_a_killed_rank_ends_all(two_ranks, tmp_path / "killed")
    request = training_request(tmp_path / "other", hyperparameters=parameters, model=MODEL, resume_from=saved)
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "checkpoint_invalid"
    assert "accelerateConfig" in failed.message


def assert_adapters_are_the_same(one_rank: TrainerProcess, two_ranks: TrainerProcess, folder: Path) -> None:
    one, two = (train(trainer, folder / name, ADAPTER) for trainer, name in ((one_rank, "lora"), (two_ranks, "lora-2")))
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert_close_weights(folder / "lora/output/model", folder / "lora-2/output/model")
    # Where generation ends, too.
    told = [json.loads(file.read_text()) for file in folder.glob("lora*/output/checkpoints/*3/generation_config.json")]
    assert len(told) == 2 and told[0] == told[1]


def assert_a_killed_rank_ends_all(trainer: TrainerProcess, folder: Path) -> None:
    request = training_request(folder, hyperparameters=hyperparameters(epochs=2000), model=MODEL)
    trainer.stub.StartTraining(request, timeout=60)
    trainer.wait_for_step(request.attempt_id, 2)
    processes = trainer.rank_processes()
    processes[1].send_signal(signal.SIGKILL)
    assert trainer.wait_for_exit(SECONDS) != 0
    assert not are_running(processes)


def run(trainer: TrainerProcess, folder: Path, parameters: pb.Hyperparameters, **changes: Any) -> list[Any]:
    folder.mkdir()
    request = training_request(folder, hyperparameters=parameters, model=MODEL, **changes)
    return trainer.train(request)


def train(trainer: TrainerProcess, folder: Path, parameters: pb.Hyperparameters, **changes: Any) -> list[Any]:
    events = run(trainer, folder, parameters, **changes)
    assert events[-1].HasField("training_completed"), events[-1]
    return events


def assert_close_weights(one: Path, other: Path) -> None:
    from safetensors.torch import load_file

    first, second = (load_file(next(folder.glob("*.safetensors"))) for folder in (one, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.allclose(second[name], rtol=1e-3, atol=2e-5), name
