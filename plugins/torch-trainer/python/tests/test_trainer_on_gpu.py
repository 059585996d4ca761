"""What is different where the device is a GPU, as far as a CPU shows it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from trainer_process import hyperparameters, random_model, training_request, write_rows
from training_in_process import train_here

from simmer_trainer import describe, flops, packed_attention, sft
from simmer_trainer.batching import Batching
from simmer_trainer.errors import TrainingError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.memory_advice import sizes_of
from simmer_trainer.models import load_model

UNEVEN: list[dict[str, Any]] = [
    {"id": str(index), "prompt": "ab", "completion": "cdefg" * (1 + 3 * index)} for index in range(4)
]


def padded(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Three rows, the shorter ones padded behind their end."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(200, (3, 12), generator=generator)
    mask = torch.arange(12) < torch.tensor([[12], [7], [3]])
    labels = ids.where(mask, -100)
    return {"input_ids": ids.where(mask, 0), "attention_mask": mask.long(), "labels": labels}


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"model_type": "qwen2"},
        {"model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 64},
        {"model_type": "bloom", "n_layer": 2, "n_head": 4},
        {"model_type": "gemma3_text", "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 4},
        {"model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
        {
            "model_type": "olmo_hybrid",
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
        },
        {"model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
    ],
    ids=lambda kind: kind.get("model_type", "llama"),
)
def test_rows_padded_behind_their_end_need_no_mask(kind: dict[str, Any]) -> None:
    """Nothing that counts attends to what comes later: with a mask for it, SDPA has no fast kernel on a GPU."""
    network = load_model(random_model(attention_dropout=0.0, **kind), torch.float32).eval()
    batch = padded(network)
    found = []
    for examples in (batch, sft.WithoutMask(lambda _: dict(batch))([])):
        network.zero_grad()
        loss = network(**examples, use_cache=False).loss
        loss.backward()
        found.append([loss.detach(), *(weight.grad for weight in network.parameters() if weight.grad is not None)])
    for masked, unmasked in zip(*found, strict=True):
        torch.testing.assert_close(unmasked, masked, atol=1e-5, rtol=1e-4)


def test_on_a_gpu_batches_are_padded_without_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU by its name alone: what is computed here is computed on the CPU."""
    masks: list[Any] = []
    attend = functional.scaled_dot_product_attention

    def seen(*args: Any, attn_mask: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        masks.append(attn_mask)
        return attend(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", seen)
    told = describe.DeviceFacts("cuda:0", "NVIDIA H200", 149 * 10**9, True)
    monkeypatch.setattr(sft, "describe", SimpleNamespace(device=lambda: told))
    request = training_request(
        tmp_path,
        model=random_model(attention_dropout=0.0),
        training_data=str(write_rows(tmp_path / "rows.parquet", UNEVEN)),
        evaluation_data=str(write_rows(tmp_path / "others.parquet", UNEVEN)),
        hyperparameters=hyperparameters(max_steps=2, global_batch_size=4, evaluate_every_steps=1),
    )
    assert train_here(request)[-1].HasField("training_completed")
    assert masks and all(mask is None for mask in masks)


def test_weights_that_do_not_fit_are_told_with_the_numbers_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are put onto a GPU before the first step."""

    def move(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 130.00 MiB.")

    monkeypatch.setattr(sft.SimmerSFTTrainer, "_move_model_to_device", move)
    request = training_request(tmp_path, hyperparameters=hyperparameters(max_steps=1))
    with pytest.raises(TrainingError, match=r"Tried to allocate 130.00 MiB.*weights .* MB.*method: lora") as raised:
        train_here(request)
    assert raised.value.code == "out_of_memory"


@pytest.mark.parametrize("weights", [torch.bfloat16, torch.float32], ids=str)
def test_advice_for_lack_of_memory_counts_the_activations_that_pytorch_keeps(weights: torch.dtype) -> None:
    """Of a model whose MLPs are as wide as Qwen2.5-7B's, and under autocast where the weights are float32."""
    tokens = 512
    config = {"model_type": "qwen2", "hidden_size": 128, "intermediate_size": 676, "max_position_embeddings": tokens}
    kept = []
    for layers in (2, 3):
        network = load_model(random_model(**config, num_hidden_layers=layers, attention_dropout=0.0), weights)
        storages = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
        seen: dict[int, int] = {}
        held: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor, storages: Any = storages, seen: Any = seen, held: Any = held) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in storages:
                held.append(tensor)
                seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=weights == torch.float32, cache_enabled=False),
        ):
            network.base_model(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
        kept.append(sum(seen.values()))
    copies = network.num_parameters() - network.get_input_embeddings().weight.numel() if weights == torch.float32 else 0
    found = kept[1] - kept[0] - 2 * copies // 3
    parameters = hyperparameters(precision=pb.PRECISION_BFLOAT16)
    batching = Batching(1, 1, tokens, None)
    told = sizes_of(network, batching, parameters, needs_logits=False).activations / 3
    assert 0.8 < told / found < 1.25


@pytest.mark.parametrize("shares_heads", [True, False])
def test_packed_rows_attend_alike_with_the_kernel_of_either_version_of_pytorch(
    shares_heads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself is only on GPUs: one of its form, row by row, stands in its place."""

    def whole(query: Any, key: Any, value: Any, borders: Any, *_: Any, scale: Any, **options: Any) -> torch.Tensor:
        assert query.shape[1] == key.shape[1] or options.get("enable_gqa")
        lengths = borders.diff().tolist()
        rows = zip(*(one.transpose(0, 1).split(lengths, dim=1) for one in (query, key, value)), strict=True)
        return torch.cat(
            [
                functional.scaled_dot_product_attention(*row, is_causal=True, scale=scale, enable_gqa=True)
                for row in rows
            ],
            dim=1,
        ).transpose(0, 1)

    def newer(q: Any, k: Any, v: Any, *a: Any, scale: Any, window_size: Any, enable_gqa: bool = False) -> torch.Tensor:
        return whole(q, k, v, *a, scale=scale, enable_gqa=enable_gqa)

    def older(q: Any, k: Any, v: Any, *a: Any, scale: Any, window_size: Any) -> torch.Tensor:
        return whole(q, k, v, *a, scale=scale)

    from torch.nn.attention import varlen

    monkeypatch.setattr(varlen, "varlen_attn", newer if shares_heads else older)
    packed_attention.find_varlen_kernel.cache_clear()
    try:
        kernel = packed_attention.find_varlen_kernel()
        generator = torch.Generator().manual_seed(0)
        query, key, value = (torch.randn(1, heads, 9, 8, generator=generator) for heads in (4, 2, 2))
        borders = torch.tensor([0, 4, 9], dtype=torch.int32)
        expected, _ = packed_attention.packed_attention(
            torch.nn.Identity(), query, key, value, None, cu_seq_lens_q=borders, max_length_q=5
        )
        monkeypatch.setattr(packed_attention, "_varlen_kernel", lambda *_: kernel)
        found, _ = packed_attention.packed_attention(
            torch.nn.Identity(), query, key, value, None, cu_seq_lens_q=borders, max_length_q=5
        )
        torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)
    finally:
        packed_attention.find_varlen_kernel.cache_clear()


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989.4e12), ("NVIDIA H200 NVL", 835.5e12), ("NVIDIA H100 NVL", 835e12), ("NVIDIA H20", None)],
)
def test_a_share_of_the_peak_is_that_of_the_device(name: str, peak: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards with the same chip and less power have less."""
    told = describe.DeviceFacts("cuda:0", name, None, True)
    monkeypatch.setattr(describe, "device", lambda: told)
    assert flops.peak_flops_per_second(pb.PRECISION_BFLOAT16) == peak
    assert flops.peak_flops_per_second(pb.PRECISION_FLOAT32) is None
