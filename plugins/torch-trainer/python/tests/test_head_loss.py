"""The loss of the trained tokens and its gradients, against PyTorch's own and TRL's."""

from typing import Any

import pytest
import torch
from trainer_process import MINICPM3, random_model
from trl.trainer import sft_trainer

from simmer_trainer import head_loss
from simmer_trainer.models import load_model

VOCABULARY, SIZE = 97, 16


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """hidden states [2, 11, size], weights [vocabulary, size], labels [2, 11]."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(2, 11, SIZE, generator=generator)
    weight = torch.randn(VOCABULARY, SIZE, generator=generator)
    labels = torch.randint(VOCABULARY, (2, 11), generator=generator)
    labels[0, :4] = -100
    labels[1, 7:] = -100
    return hidden.requires_grad_(), weight.requires_grad_(), labels


def gradients(hidden: torch.Tensor, weight: torch.Tensor, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [hidden, weight]))


@pytest.mark.parametrize("items", [None, 40])
@pytest.mark.parametrize("logits", [VOCABULARY, 3 * VOCABULARY, 1 << 25])
def test_it_is_cross_entropy(items: int | None, logits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts it is computed in."""
    monkeypatch.setattr(head_loss, "_LOGITS", logits)
    hidden, weight, labels = batch()
    loss, _, _, count = head_loss._loss(hidden, weight, 256, labels=labels, num_items_in_batch=items)
    targets = labels[:, 1:].reshape(-1)
    whole = torch.nn.functional.cross_entropy(
        (hidden[:, :-1] @ weight.t()).reshape(-1, VOCABULARY), targets, ignore_index=-100, reduction="sum"
    )
    assert count == (targets != -100).sum()
    expected = whole / (count if items is None else items)
    torch.testing.assert_close(loss, expected)
    # Scaled, as accumulated passes are.
    for ours, theirs in zip(gradients(hidden, weight, loss * 3), gradients(hidden, weight, expected * 3), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_under_autocast_it_is_as_near_to_float32_as_trl_is() -> None:
    hidden, weight, labels = batch(1)
    exact = head_loss._loss(hidden, weight, 256, labels=labels)[0]
    exact_gradients = gradients(hidden, weight, exact)
    with torch.autocast("cpu", torch.bfloat16):
        ours = head_loss._loss(hidden, weight, 256, labels=labels)[0]
        theirs = head_loss._theirs(hidden, weight, 256, labels=labels)[0]
    assert ours.dtype == torch.float32
    assert abs(ours - exact) <= 1.1 * abs(theirs - exact) + 1e-6
    for one, other, right in zip(
        gradients(hidden, weight, ours), gradients(hidden, weight, theirs), exact_gradients, strict=True
    ):
        assert one.dtype == other.dtype
        assert (one - right).abs().mean() <= 1.1 * (other - right).abs().mean()


def test_weights_that_are_frozen_get_no_gradient_and_a_batch_without_targets_loses_nothing() -> None:
    hidden, weight, labels = batch(2)
    frozen = weight.detach()
    head_loss._loss(hidden, frozen, 256, labels=labels)[0].backward()
    assert hidden.grad is not None and hidden.grad.abs().sum() > 0
    loss, _, _, count = head_loss._loss(hidden, weight, 256, labels=torch.full_like(labels, -100))
    assert (float(loss.detach()), int(count)) == (0, 0)
    assert all(one.abs().sum() == 0 for one in gradients(hidden, weight, loss))


def test_trl_computes_its_own_loss_on_other_devices_and_with_other_ranks() -> None:
    try:
        for device, ranks, function in (
            ("cpu", 1, head_loss._loss),
            ("cuda", 1, head_loss._theirs),
            ("cpu", 2, head_loss._theirs),
        ):
            head_loss.choose_loss(device, ranks)
            assert sft_trainer._chunked_cross_entropy_loss is function
    finally:
        head_loss.choose_loss("cuda", 1)


@pytest.mark.parametrize(
    ("kind", "is_plain"),
    [
        ({}, True),
        ({"model_type": "qwen3_moe", "num_experts": 2, "moe_intermediate_size": 16}, True),
        ({"model_type": "cohere", "logit_scale": 0.25}, True),
        ({"model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 64}, True),
        ({"model_type": "granite", "logits_scaling": 8.0}, False),
        (MINICPM3, False),
    ],
    ids=lambda value: value.get("model_type", "llama") if isinstance(value, dict) else "",
)
def test_a_head_is_plain_where_its_logits_are_those_that_the_loss_takes(kind: dict[str, Any], is_plain: bool) -> None:
    network = load_model(random_model(**kind), torch.float32)
    assert head_loss.has_plain_head(network) is is_plain
    # Of all ranks but one, weights may not be there yet.
    assert head_loss.has_plain_head(network.to("meta")) is is_plain
    assert "forward" not in vars(network.base_model) and "forward" not in vars(network.get_output_embeddings())
