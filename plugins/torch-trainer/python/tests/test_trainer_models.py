"""What models are made of, and what is written of them: random ones, adapters, merged ones."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from google.protobuf.struct_pb2 import Struct
from peft import LoraConfig, get_peft_model
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save
from torch.nn.functional import cross_entropy
from trainer_process import (
    TrainerProcess,
    hyperparameters,
    random_model,
    training_request,
    write_rows,
)
from trainer_results import assert_same_weights, weights_of
from transformers import AutoConfig

from simmer_trainer.data import read_rows, tokenize
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import load_model, load_tokenizer, save_model
from simmer_trainer.random_config import settings_of

LORA = pb.Lora(rank=4, alpha=8, dropout=0.1)


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
    events = shared_trainer.train(request)
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


def test_a_model_with_an_adapter_is_trained_in_full(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """With gradient checkpointing, what is frozen would be trained without a word."""
    adapted = hyperparameters(method=pb.METHOD_LORA, lora=LORA, max_steps=1)
    request = training_request(tmp_path / "adapter", hyperparameters=adapted)
    adapter = shared_trainer.train(request)[-1].training_completed.model_folder
    source = pb.ModelSource(random=random_model().random, adapter_folder=adapter)
    parameters = hyperparameters(max_steps=2, gradient_checkpointing=True)
    events = shared_trainer.train(training_request(tmp_path / "full", model=source, hyperparameters=parameters))
    assert events[0].training_started.trained_parameters == events[0].training_started.parameters
    assert events[-1].HasField("training_completed"), events[-1]


def test_what_a_model_never_trains_stays_frozen_under_an_adapter(tmp_path: Path) -> None:
    """Such as what Ernie's routers correct their choice of experts by."""
    experts = {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32, "moe_layer_start_index": 1}
    source = random_model(model_type="ernie4_5_moe", **experts)

    def frozen() -> set[str]:
        weights = load_model(source, torch.float32).named_parameters()
        return {name for name, weight in weights if not weight.requires_grad}

    alone = frozen()
    adapted = get_peft_model(load_model(source, torch.float32), LoraConfig(r=4, target_modules=["q_proj"]))
    adapted.save_pretrained(tmp_path)
    source.adapter_folder = str(tmp_path)
    assert len(alone) == 1
    assert frozen() == alone


def test_shards_that_cannot_be_read_are_an_answer(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """PyTorch's own error for them passes by whoever answers calls: the caller waited for ever."""
    checkpoint, output = tmp_path / "step-00000001", tmp_path / "output"
    output.mkdir()
    save_model(load_model(random_model(), torch.float32), load_tokenizer(random_model()), checkpoint)
    shards = FileSystemWriter(checkpoint / "pytorch_model_fsdp_0")
    save({"model": {"model.norm.weight": torch.ones(64)}}, storage_writer=shards, no_dist=True)
    marker = {"format": 1, "step": 1, "files": {}, "model": {}}
    (checkpoint / "simmer-checkpoint.json").write_text(json.dumps(marker))
    request = pb.ExportRequest(model=pb.ModelSource(checkpoint=str(checkpoint)), output_folder=str(output))
    with pytest.raises(grpc.RpcError, match=r"step-00000001 cannot be read: use another one \(Missing key .*\)"):
        shared_trainer.stub.Export(request, timeout=60)
    (checkpoint / "pytorch_model_fsdp_0" / ".metadata").unlink()
    with pytest.raises(grpc.RpcError, match=r"cannot be read: use another one \(.* No such file or directory: '.*'\)"):
        shared_trainer.stub.Export(request, timeout=60)


@pytest.mark.parametrize("attention", ["auto", "eager"])
def test_a_model_that_has_no_sdpa_is_trained_and_merged_with_eager_attention(
    shared_trainer: TrainerProcess, tmp_path: Path, attention: str
) -> None:
    model = random_model(model_type="gpt_oss", num_local_experts=4, num_experts_per_tok=2, head_dim=16)
    extensions = Struct()
    extensions.update({"attention": attention})
    request = training_request(
        tmp_path,
        model=model,
        hyperparameters=hyperparameters(method=pb.METHOD_LORA, lora=LORA, max_steps=1),
        extensions=extensions,
    )
    events = shared_trainer.train(request)
    (started,) = (event.training_started for event in events if event.HasField("training_started"))
    assert started.attention == "eager"
    told = [event.log_written.message for event in events if event.HasField("log_written")]
    assert any("there is none on mlp.experts.down_proj, mlp.experts.gate_up_proj" in one for one in told)
    merged = tmp_path / "merged"
    merged.mkdir()
    source = pb.ModelSource(random=model.random, adapter_folder=events[-1].training_completed.model_folder)
    shared_trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(merged)), timeout=60)
    assert weights_of(merged)


def test_a_cap_on_the_scores_of_attention_counts_in_training(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """As Gemma 2's, which SDPA leaves out."""
    model = random_model(
        model_type="gemma2", attention_dropout=0.0, attn_logit_softcapping=0.1, initializer_range=0.3, head_dim=16
    )
    once = hyperparameters(max_steps=1, global_batch_size=18)
    request = training_request(tmp_path, model=model, hyperparameters=once)
    events = shared_trainer.train(request)
    assert events[0].training_started.attention == "eager"
    rows = tokenize(read_rows(Path(request.training_data)), load_tokenizer(model), 256)

    def mean_loss(cap: float) -> float:
        network = load_model(model, torch.float32, attention="eager")
        for layer in network.base_model.layers:
            layer.self_attn.attn_logit_softcapping = cap
        losses = [
            cross_entropy(
                network(torch.tensor([row.token_ids])).logits[0, :-1], torch.tensor(row.labels)[1:], reduction="sum"
            ).item()
            for row in rows
        ]
        return sum(losses) / sum(row.trained_tokens for row in rows)

    expected = mean_loss(0.1)
    assert abs(mean_loss(1e6) - expected) > 0.01
    assert events[-1].training_completed.final_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["gemma2", "bloom"])
def test_attention_that_a_model_cannot_have_is_refused_with_what_to_take(
    kind: str, shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    asked = Struct()
    asked.update({"attention": "sdpa"})
    request = training_request(tmp_path, model=random_model(model_type=kind), extensions=asked)
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "kernel_unavailable"
    assert failed.message.startswith('extensions.attention "sdpa" is not available: ')
    assert failed.message.endswith('Use "auto".')


@pytest.mark.parametrize(
    ("model", "adapted"),
    [
        ({"model_type": "mamba", "state_size": 8}, {"in_proj", "x_proj", "dt_proj"}),
        ({"model_type": "phimoe", "num_local_experts": 4}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        (
            {"model_type": "llama4_text", "num_local_experts": 2, "intermediate_size_mlp": 64, "head_dim": 16},
            {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
        ),
    ],
    ids=["mamba", "phimoe", "llama4"],
)
def test_an_adapter_of_all_linear_modules_leaves_out_those_that_have_none(
    shared_trainer: TrainerProcess, tmp_path: Path, model: dict[str, Any], adapted: set[str]
) -> None:
    """Mamba's kernels pass them by, and these routers give more than a product."""
    source = random_model(**model)
    if model["model_type"] == "mamba":
        # Its own config has no heads.
        del source.random.config["num_attention_heads"]
    request = training_request(
        tmp_path,
        model=source,
        hyperparameters=hyperparameters(method=pb.METHOD_LORA, lora=LORA, max_steps=1),
    )
    completed = shared_trainer.train(request)[-1].training_completed
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in weights_of(Path(completed.model_folder))} == adapted
    merged = tmp_path / "merged"
    merged.mkdir()
    source.adapter_folder = completed.model_folder
    shared_trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(merged)), timeout=60)
    assert weights_of(merged)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LORA, "lora.dropout must be 0"),
        (pb.Lora(rank=4, alpha=8, target_modules=["q_proj", "gate_proj"]), "without also targeting up_proj"),
    ],
    ids=["dropout", "a part"],
)
def test_what_peft_cannot_do_with_experts_is_refused_with_the_hyperparameter(
    shared_trainer: TrainerProcess, tmp_path: Path, lora: pb.Lora, message: str
) -> None:
    """A layer without experts has a gate_proj of its own."""
    experts = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32, "mlp_only_layers": [0]}
    request = training_request(
        tmp_path,
        model=random_model(model_type="qwen3_moe", **experts),
        hyperparameters=hyperparameters(method=pb.METHOD_LORA, lora=lora, max_steps=1),
    )
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "hyperparameters_invalid" and message in failed.message


def test_a_trained_model_says_of_its_cache_what_its_base_says(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path, hyperparameters=hyperparameters(max_steps=1))
    events = shared_trainer.train(request)
    saved = next(event.checkpoint_saved.path for event in events if event.HasField("checkpoint_saved"))
    for folder in (saved, events[-1].training_completed.model_folder):
        assert json.loads((Path(folder) / "config.json").read_text()).get("use_cache", True) is True


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
    assert shared_trainer.train(trained)[-1].HasField("training_completed")
    assert {str(tensor.dtype) for tensor in weights_of(tmp_path / "output/model").values()} == {"torch.bfloat16"}


@pytest.mark.parametrize("ranks", [1, 2])
def test_what_a_model_keeps_in_float32_is_written_so(
    shared_trainer: TrainerProcess, tmp_path: Path, ranks: int
) -> None:
    """Rounded, what routers correct their choice by would choose other experts."""
    from safetensors.torch import save_file

    base = tmp_path / "base"
    base.mkdir()
    model = random_model(model_type="ernie4_5_moe", moe_num_experts=4, moe_k=2, moe_intermediate_size=32)
    shared_trainer.stub.Export(
        pb.ExportRequest(model=model, output_folder=str(base), precision=pb.PRECISION_BFLOAT16), timeout=60
    )
    correction = torch.tensor([[5.001, 5.002, 5.003, 5.004]])
    weights = weights_of(base)
    (name,) = (name for name in weights if name.endswith("e_score_correction_bias"))
    weights[name] = correction
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    request = training_request(tmp_path, model=pb.ModelSource(folder=str(base)))
    with TrainerProcess(tmp_path / "trainer", ranks=ranks) if ranks > 1 else nullcontext(shared_trainer) as trainer:
        assert trainer.train(request)[-1].HasField("training_completed")
    written = weights_of(tmp_path / "output/model")
    assert written.keys() == weights.keys()
    assert torch.equal(written[name], correction)
    whole = {name for name, weight in written.items() if weight.dtype == torch.float32}
    assert whole == {name, name.replace("moe_statics.e_score_correction_bias", "gate.weight")}
    assert {written[name].dtype for name in written.keys() - whole} == {torch.bfloat16}


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "flex_olmo", "attention_dropout": 0.0},
        {"model_type": "deepseek_v3", "routed_scaling_factor": 2.0, "num_local_experts": 4},
        {"model_type": "inkling_mm_model", "text_config": {"attention_dropout": 0.0}},
        {"model_type": "gemma3n_text", "activation_sparsity_pattern": [0.95, 0.0]},
        {"model_type": "mamba2", "num_heads": 2, "time_step_limit": [0.0, 100.0]},
    ],
    ids=["a float", "beside sizes", "in the part for text", "in a list or one for all", "in a list"],
)
def test_whole_numbers_stay_floats_where_a_config_takes_nothing_else(config: dict[str, Any]) -> None:
    settings = settings_of(random_model(**config).random.config)
    AutoConfig.for_model(settings.pop("model_type"), **settings)


def test_a_config_that_transformers_refuses_is_no_fault_of_the_trainer(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(tmp_path, model=random_model(head_dim=15))
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "model_invalid"
    assert "even rotary dimension" in failed.message


def test_a_tokenizer_that_knows_more_than_the_weights_is_refused_where_rows_have_what_they_lack(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    base = tmp_path / "base"
    base.mkdir()
    shared_trainer.stub.Export(pb.ExportRequest(model=random_model(), output_folder=str(base)), timeout=60)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<mine>"])
    tokenizer.save_pretrained(base)
    rows = [{"id": text, "prompt": "a", "completion": text} for text in ("b", "<mine>")]
    data = write_rows(tmp_path / "rows.parquet", rows)
    request = training_request(tmp_path, model=pb.ModelSource(folder=str(base)), training_data=str(data))
    failed = shared_trainer.train(request)[-1].training_failed
    assert (failed.code, list(failed.row_ids)) == ("data_invalid", ["<mine>"])
    assert "1 of 2 rows of rows.parquet" in failed.message and "they have 259" in failed.message


def test_a_tokenizer_without_any_token_to_pad_with_needs_one_that_is_named(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    shared_trainer.stub.Export(pb.ExportRequest(model=random_model(), output_folder=str(base)), timeout=60)
    described = base / "tokenizer_config.json"
    left = {key: value for key, value in json.loads(described.read_text()).items() if not key.endswith("_token")}
    described.write_text(json.dumps(left))
    request = training_request(tmp_path, model=pb.ModelSource(folder=str(base)))
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "pad_token_unknown" and "set pad_token" in failed.message
    named = training_request(
        tmp_path,
        attempt=2,
        model=pb.ModelSource(folder=str(base)),
        hyperparameters=hyperparameters(max_steps=1, pad_token="<|endoftext|>"),
    )
    assert shared_trainer.train(named)[-1].HasField("training_completed")


def test_a_token_to_pad_with_that_the_weights_lack_is_refused(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    """As one is added for it in many a script, and the weights are left as they were."""
    from transformers import AutoTokenizer

    base = tmp_path / "base"
    base.mkdir()
    shared_trainer.stub.Export(pb.ExportRequest(model=random_model(), output_folder=str(base)), timeout=60)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(base)
    failed = shared_trainer.train(training_request(tmp_path, model=pb.ModelSource(folder=str(base))))[
        -1
    ].training_failed
    assert failed.code == "pad_token_unknown"
    assert "'[PAD]'" in failed.message and "they have 259" in failed.message
