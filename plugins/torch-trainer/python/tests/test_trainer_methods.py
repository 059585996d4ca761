"""What may end a training before its last step, which weights it leaves, and what it tells on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from trainer_process import (
    TrainerProcess,
    hyperparameters,
    losses,
    random_model,
    sums,
    training_request,
    write_rows,
)

from simmer_trainer.batching import Batching
from simmer_trainer.data import TokenizedRow
from simmer_trainer.flops import TrainingFlops, count_parameters
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.memory_advice import advise, sizes_of
from simmer_trainer.models import load_model
from simmer_trainer.progress import Progress

# Rows that have nothing to do with the training data: what is learned makes them worse, soon.
OTHER = [{"id": f"other-{index}", "prompt": "zz", "completion": "qxv" * (3 + index)} for index in range(4)]


def evaluations(events: list[pb.TrainerEvent]) -> list[pb.EvaluationLogged]:
    return [event.evaluation_logged for event in events if event.HasField("evaluation_logged")]


def steps(events: list[pb.TrainerEvent]) -> list[pb.StepLogged]:
    return [event.step_logged for event in events if event.HasField("step_logged")]


def test_it_stops_early_keeps_the_best_and_goes_on_to_the_same_end_where_it_was_killed(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    data = str(write_rows(tmp_path / "other.parquet", OTHER))
    parameters = hyperparameters(
        max_steps=60,
        learning_rate=5e-3,
        evaluate_every_steps=2,
        early_stopping_patience=2,
        keep_best=True,
        checkpoints_kept=1,
    )
    request = training_request(tmp_path, evaluation_data=data, hyperparameters=parameters)
    events = shared_trainer.train(request)
    completed = events[-1].training_completed
    found = evaluations(events)
    best = min(found, key=lambda one: one.loss)
    assert completed.stopped_early
    assert completed.steps == found[-1].step < 60
    assert [one.best for one in found[-2:]] == [False, False]
    assert completed.best_step == best.step < completed.steps
    assert completed.evaluation_loss == best.loss
    # The best one stays, beside the newest.
    kept = sorted(path.name for path in (tmp_path / "output/checkpoints").iterdir())
    assert kept == [f"step-{best.step:08d}", f"step-{completed.steps:08d}"]

    from safetensors.torch import load_file

    model = Path(completed.model_folder)
    weights = load_file(model / "model.safetensors")
    checkpoint = load_file(tmp_path / "output/checkpoints" / kept[0] / "model.safetensors")
    assert all(weights[name].equal(tensor) for name, tensor in checkpoint.items())
    assert (model / "generation_config.json").is_file() and (model / "tokenizer.json").is_file()

    # Killed between its last checkpoint and its model, it trains nothing more.
    again = training_request(
        tmp_path,
        attempt=2,
        evaluation_data=data,
        hyperparameters=parameters,
        resume_from=str(tmp_path / "output/checkpoints" / kept[1]),
    )
    events = shared_trainer.train(again)
    assert not losses(events)
    repeated = events[-1].training_completed
    for name in ("steps", "stopped_early", "best_step", "evaluation_loss", "final_loss"):
        assert getattr(repeated, name) == getattr(completed, name), name
    assert all(weights[name].equal(tensor) for name, tensor in load_file(model / "model.safetensors").items())


def test_a_diverging_loss_ends_the_attempt_and_saves_its_batch(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(max_steps=80, learning_rate=3.0, warmup_ratio=0.5, max_loss_rise=0.5)
    failed = shared_trainer.train(training_request(tmp_path, hyperparameters=parameters))[-1].training_failed
    assert failed.code == "loss_diverged", failed
    assert "and 0.5 are allowed" in failed.message and failed.batch_file in failed.message
    saved = json.loads(Path(failed.batch_file).read_text())
    assert saved["step"] == failed.step
    assert [row["id"] for row in saved["rows"]] == list(failed.row_ids)
    assert all(row["loss"] > 0 and 0 < row["trainedTokens"] < row["tokens"] for row in saved["rows"])


def test_each_step_tells_what_was_seen_and_the_start_tells_how_it_is_computed(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(
        tmp_path,
        hyperparameters=hyperparameters(checkpoint_kept_every_steps=4, checkpoints_kept=1, checkpoint_every_steps=2),
    )
    events = shared_trainer.train(request)
    started, last = events[0].training_started, steps(events)[-1]
    assert (started.attention, started.kernels) == ("sdpa", "torch")
    assert (started.rows_per_pass, started.passes_per_step) == (2, 2)
    assert not started.HasField("peak_flops_per_second") and not last.HasField("model_flops_utilization")
    assert last.rows_seen == 36
    assert last.tokens_seen == 2 * started.tokens
    assert last.trained_tokens_seen == 2 * started.trained_tokens
    # Rows of one length side by side, but not all of them.
    assert 0 < last.padding_tokens < last.tokens_seen / 4
    kept = sorted(path.name for path in (tmp_path / "output/checkpoints").iterdir())
    assert kept == ["step-00000004", "step-00000008", "step-00000010"]


def test_the_loss_may_rise_for_a_step_but_not_for_a_window() -> None:
    progress = Progress()
    rises = [progress.add_step(loss) for loss in [2.0] * 8 + [6.0] + [2.0] * 8 + [4.0] * 8]
    assert max(rises[:16]) == 0.5
    assert rises[-1] == 2.0
    restored = Progress.from_json(json.loads(json.dumps(progress.to_json())))
    assert restored == progress
    assert Progress.from_json(json.loads(json.dumps(Progress().to_json()))) == Progress()


def test_an_improvement_too_small_to_count_does_not_reset_the_patience_and_is_the_best_all_the_same() -> None:
    progress = Progress()
    given = {"min_improvement": 0.1, "patience": 2}
    assert progress.add_evaluation(1, 1.0, **given)
    assert progress.add_evaluation(2, 0.95, **given)
    assert not progress.has_stopped_early
    assert not progress.add_evaluation(3, 0.96, **given)
    assert progress.has_stopped_early
    assert (progress.best_step, progress.best_loss) == (2, 0.95)


def test_operations_are_those_that_torch_counts() -> None:
    """Against torch's own counter, forward and backward, on a model whose tables are shared."""
    from torch.utils.flop_counter import FlopCounterMode

    network = load_model(random_model(attention_dropout=0.0), torch.float32, attention="eager").train()
    length = 64
    row = TokenizedRow("a", list(range(length)), 0, False)
    ids = torch.tensor([row.token_ids])
    with FlopCounterMode(display=False) as counter:
        network(input_ids=ids, labels=ids).loss.backward()
    # The counter sees whole squares of attention, and the head on every token; no gradient flows into the tokens.
    config = network.config
    square = 6 * config.num_hidden_layers * config.hidden_size * length**2
    head = 6 * config.vocab_size * config.hidden_size
    ours = TrainingFlops(network, is_adapter=False).of([row])
    assert ours + square + head == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert count_parameters(network) == network.num_parameters()


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2},
        {"model_type": "granitemoe", "num_local_experts": 8, "num_experts_per_tok": 2},
        {"model_type": "aria_text", "moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 1},
    ],
    ids=lambda config: config["model_type"],
)
def test_operations_are_those_of_the_experts_that_a_token_goes_to(config: dict[str, Any]) -> None:
    row = TokenizedRow("a", list(range(64)), 0, False)
    few, many = (
        TrainingFlops(load_model(random_model(**config | {name: count}), torch.float32), is_adapter=False).of([row])
        for name in config
        if name.endswith("experts") and "shared" not in name
        for count in (8, 16)
    )
    # The routers are twice as large.
    assert many - few == 6 * 64 * 2 * 8 * 64


def test_tables_of_layers_are_looked_up_and_take_no_operations() -> None:
    model = {"model_type": "gemma4_text", "head_dim": 16, "global_head_dim": 16, "hidden_size_per_layer_input": 8}
    row = TokenizedRow("a", list(range(64)), 0, False)
    small, large = (
        TrainingFlops(
            load_model(random_model(**model, vocab_size_per_layer_input=size), torch.float32), is_adapter=False
        ).of([row])
        for size in (512, 4096)
    )
    assert small == large


def test_operations_of_layers_that_differ_are_counted_layer_by_layer() -> None:
    """As Gemma 4's, whose heads are wider in the layers that attend to the whole sequence."""
    model = random_model(
        model_type="gemma4_text",
        layer_types=["sliding_attention", "full_attention"],
        head_dim=16,
        global_head_dim=48,
        hidden_size_per_layer_input=0,
    )
    network = load_model(model, torch.float32)
    flops = TrainingFlops(network, is_adapter=False)
    one, two = (flops.of([TokenizedRow("a", [0] * length, length, False)]) for length in (64, 128))
    assert two - 2 * one == 6 * 4 * (16 + 48) * (128**2 - 2 * 64**2)


def test_layers_of_a_hybrid_that_do_not_attend_take_no_operations_for_pairs_of_tokens() -> None:
    heads = {"linear_num_key_heads": 2, "linear_num_value_heads": 2}
    sizes = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
    model = random_model(model_type="olmo_hybrid", layer_types=["linear_attention", "full_attention"], **heads, **sizes)
    flops = TrainingFlops(load_model(model, torch.float32), is_adapter=False)
    short, long = (flops.of([TokenizedRow("a", list(range(length)), length, False)]) for length in (64, 128))
    # One of two layers, as wide as the model.
    assert long - 2 * short == 6 * 64 * (128**2 - 2 * 64**2)


def test_layers_that_an_older_config_calls_blocks_take_no_operations_for_pairs_either() -> None:
    blocks = {"block_types": ["recurrent", "recurrent", "attention"], "num_hidden_layers": 3, "lru_width": 64}
    model = random_model(model_type="recurrent_gemma", num_key_value_heads=1, **blocks)
    flops = TrainingFlops(load_model(model, torch.float32), is_adapter=False)
    short, long = (flops.of([TokenizedRow("a", list(range(length)), length, False)]) for length in (64, 128))
    assert long - 2 * short == 6 * 64 * (128**2 - 2 * 64**2)


def test_advice_for_lack_of_memory_has_the_numbers_of_the_job() -> None:
    network = load_model(random_model(), torch.float32)
    parameters = hyperparameters()
    batching = Batching(sequences_per_pass=4, accumulated_passes=1, tokens_per_pass=4000, plan=None)
    sizes = sizes_of(network, batching, parameters, needs_logits=False)
    count = network.num_parameters()
    assert (sizes.weights, sizes.gradients, sizes.optimizer) == (4 * count, 4 * count, 8 * count)
    # 2 layers, 64 units, 17 elements of 4 bytes.
    assert sizes.activations == 4000 * 2 * 64 * 17 * 4
    message = advise(network, batching, parameters, 1000, "tried to allocate 2 GiB", needs_logits=False)
    for part in ("tried to allocate 2 GiB", "34.8 MB of activations", "deviceBatchSize: 2", "method: lora"):
        assert part in message, message
    parameters.gradient_checkpointing = True
    assert sizes_of(network, batching, parameters, needs_logits=False).activations < sizes.activations
    assert "gradientCheckpointing" not in advise(network, batching, parameters, 1000, "", needs_logits=False)


def test_advice_for_an_adapted_head_counts_the_logits_that_its_loss_takes() -> None:
    network = load_model(random_model(), torch.float32)
    parameters = hyperparameters(method=pb.METHOD_LORA, lora=pb.Lora(rank=2, alpha=4, target_modules=["lm_head"]))
    batching = Batching(sequences_per_pass=4, accumulated_passes=1, tokens_per_pass=4000, plan=None)
    logits = 4000 * network.config.vocab_size * 12
    without, with_them = (
        sizes_of(network, batching, parameters, needs_logits=needs_logits) for needs_logits in (False, True)
    )
    assert with_them.activations - without.activations == logits
    message = advise(network, batching, parameters, 1000, "", needs_logits=True)
    assert f"lora.targetModules without the head (saves the logits of a pass, about {logits / 1e6:.1f} MB)" in message


def test_memory_that_runs_out_is_told_with_advice(tmp_path: Path) -> None:
    """A real allocation that fails: the process may not have more than so much address space."""
    rows: list[dict[str, Any]] = [{"id": "long", "prompt": "a", "completion": "b" * 20_000}] * 4
    with TrainerProcess(tmp_path / "trainer", address_space_bytes=6 << 30) as process:
        request = training_request(
            tmp_path,
            model=random_model(max_position_embeddings=32_768, hidden_size=512, intermediate_size=4096),
            training_data=str(write_rows(tmp_path / "long.parquet", rows)),
            hyperparameters=hyperparameters(max_steps=1, max_sequence_length=32_768, device_batch_size=4),
        )
        failed = process.train(request)[-1].training_failed
    assert failed.code == "out_of_memory", failed
    assert "deviceBatchSize: 2" in failed.message and "gradientCheckpointing: true" in failed.message


def test_an_unfinished_or_pointless_wish_is_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    import grpc

    for changes, what in (
        ({"early_stopping_patience": 2}, "early_stopping_patience needs evaluate_every_steps"),
        ({"keep_best": True}, "keep_best needs evaluate_every_steps"),
        ({"max_loss_rise": 0.0}, "max_loss_rise must be above 0"),
        ({"checkpoint_every_seconds": -1.0}, "checkpoint_every_seconds must not be negative"),
    ):
        request = training_request(tmp_path, hyperparameters=hyperparameters(**changes))
        with pytest.raises(grpc.RpcError, match=what):
            shared_trainer.stub.StartTraining(request, timeout=60)


def test_rows_are_evaluated_after_the_last_step(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    data = str(write_rows(tmp_path / "evaluation.parquet", sums(3)))
    request = training_request(
        tmp_path, evaluation_data=data, hyperparameters=hyperparameters(max_steps=5, evaluate_every_steps=3)
    )
    events = shared_trainer.train(request)
    assert [one.step for one in evaluations(events)] == [3, 5]
    assert events[-1].training_completed.evaluation_loss == evaluations(events)[-1].loss
    assert not events[-1].training_completed.stopped_early


def test_an_adapter_over_weights_in_four_bits_learns_goes_on_where_it_was_killed_and_is_merged(
    forked_trainer: TrainerProcess, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    forked_trainer.stub.Export(
        pb.ExportRequest(model=random_model(attention_dropout=0.0), output_folder=str(base)), timeout=60
    )
    values: dict[str, Any] = {
        "model": pb.ModelSource(folder=str(base)),
        "hyperparameters": hyperparameters(
            method=pb.METHOD_QLORA,
            lora=pb.Lora(rank=8, alpha=16, dropout=0.1),
            learning_rate=2e-2,
            max_steps=12,
            checkpoint_every_steps=5,
        ),
    }
    events = forked_trainer.train(training_request(tmp_path / "whole", **values))
    started, completed = events[0].training_started, events[-1].training_completed
    expected = losses(events)
    assert expected[12] < expected[1] - 0.3
    assert started.parameters - started.trained_parameters == load_model(random_model(), torch.float32).num_parameters()
    again = training_request(
        tmp_path / "again",
        job="again",
        resume_from=str(tmp_path / "whole/output/checkpoints/step-00000005"),
        **values,
    )
    assert losses(forked_trainer.train(again)) == {step: loss for step, loss in expected.items() if step > 5}
    merged = tmp_path / "merged"
    merged.mkdir()
    source = pb.ModelSource(folder=str(base), adapter_folder=completed.model_folder)
    exported = forked_trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(merged)), timeout=60)
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(exported.files)
    # Whole weights, of the type that the base has: nothing of the quantization is left.
    assert "quantization_config" not in json.loads((merged / "config.json").read_text())
    assert (merged / "model.safetensors").stat().st_size == (base / "model.safetensors").stat().st_size


def test_an_evaluation_leaves_weights_in_four_bits_as_they_were(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """Of widths, too, that bitsandbytes has no layout of its own for."""
    base = tmp_path / "base"
    base.mkdir()
    model = random_model(attention_dropout=0.0, intermediate_size=100)
    shared_trainer.stub.Export(pb.ExportRequest(model=model, output_folder=str(base)), timeout=60)
    found = []
    for every in (0, 1):
        request = training_request(
            tmp_path / str(every),
            model=pb.ModelSource(folder=str(base)),
            hyperparameters=hyperparameters(
                method=pb.METHOD_QLORA,
                lora=pb.Lora(rank=8, alpha=16),
                learning_rate=2e-2,
                max_steps=4,
                evaluate_every_steps=every,
            ),
            evaluation_data=str(write_rows(tmp_path / "evaluation.parquet", sums(5))) if every else None,
        )
        found.append(losses(shared_trainer.train(request)))
    assert len(found[0]) == 4
    assert found[1] == found[0]


def test_weights_in_four_bits_are_refused_for_what_is_no_folder(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    parameters = hyperparameters(method=pb.METHOD_QLORA, lora=pb.Lora(rank=8, alpha=16))
    failed = shared_trainer.train(training_request(tmp_path, hyperparameters=parameters))[-1].training_failed
    assert failed.code == "method_unsupported"
