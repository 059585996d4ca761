"""The loss of the trained tokens and its gradients, against PyTorch's own, alone and in the forward pass of models."""

from typing import Any

import pytest
import torch
from trainer_process import MINICPM3, random_model

from simmer_trainer import head_loss
from simmer_trainer.head_loss import Logits
from simmer_trainer.models import load_model

VOCABULARY, SIZE = 97, 16
KINDS = [Logits(), Logits(scale=0.25), Logits(cap=3.0), Logits(scale=2.0, cap=3.0)]


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """hidden states [2, 11, size], weights [vocabulary, size], biases [vocabulary], labels [2, 11]."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(2, 11, SIZE, generator=generator)
    weight = torch.randn(VOCABULARY, SIZE, generator=generator)
    bias = torch.randn(VOCABULARY, generator=generator)
    labels = torch.randint(VOCABULARY, (2, 11), generator=generator)
    labels[0, :4] = -100
    labels[1, 7:] = -100
    return hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), labels


def loss_of(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    items: int | None = None,
    logits: Logits = KINDS[0],
) -> torch.Tensor:
    return head_loss.head_loss(hidden, weight, bias, labels, items=items, logits=logits)


def whole_loss(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    items: int | None = None,
    logits: Logits = KINDS[0],
) -> torch.Tensor:
    """By all logits at once."""
    given = torch.nn.functional.linear(hidden[:, :-1], weight, bias).float() * logits.scale
    bent = given if logits.cap is None else logits.cap * torch.tanh(given / logits.cap)
    flat, targets = bent.reshape(-1, VOCABULARY), labels[:, 1:].reshape(-1)
    whole = torch.nn.functional.cross_entropy(flat, targets, ignore_index=-100, reduction="sum")
    return whole / ((targets != -100).sum() if items is None else items)


@pytest.mark.parametrize("items", [None, 40])
@pytest.mark.parametrize("logits", [VOCABULARY, 3 * VOCABULARY, 1 << 25])
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("has_bias", [False, True])
def test_it_is_cross_entropy(
    items: int | None, logits: int, kind: Logits, has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many parts it is computed in."""
    monkeypatch.setitem(head_loss._LOGITS, "cpu", logits)
    hidden, weight, bias, labels = batch()
    given = (hidden, weight, bias if has_bias else None, labels, items, kind)
    loss, expected = loss_of(*given), whole_loss(*given)
    torch.testing.assert_close(loss, expected)
    learning = [hidden, weight, bias] if has_bias else [hidden, weight]
    # Scaled, as accumulated passes are.
    for ours, theirs in zip(
        torch.autograd.grad(loss * 3, learning), torch.autograd.grad(expected * 3, learning), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_under_autocast_it_is_as_near_to_float32_as_a_loss_of_all_logits_is() -> None:
    """By the mean error of the loss, and of each gradient, over several batches."""
    errors: list[list[list[float]]] = [[], []]
    for seed in range(20):
        *learning, labels = batch(seed)
        exact = loss_of(*learning, labels)
        exact_gradients = torch.autograd.grad(exact, learning)
        with torch.autocast("cpu", torch.bfloat16):
            found = loss_of(*learning, labels), whole_loss(*learning, labels)
        assert found[0].dtype == torch.float32
        for loss, told in zip(found, errors, strict=True):
            gradients = torch.autograd.grad(loss, learning)
            assert [one.dtype for one in gradients] == [one.dtype for one in learning]
            pairs = zip((loss, *gradients), (exact, *exact_gradients), strict=True)
            told.append([float((one - right).detach().abs().mean()) for one, right in pairs])
    ours, theirs = (torch.tensor(told).mean(0) for told in errors)
    assert (ours <= 1.1 * theirs).all(), (ours, theirs)


def test_weights_that_are_frozen_get_no_gradient_and_a_batch_without_targets_loses_nothing() -> None:
    hidden, weight, bias, labels = batch(2)
    loss_of(hidden, weight.detach(), bias.detach(), labels).backward()
    assert hidden.grad is not None and hidden.grad.abs().sum() > 0
    loss = loss_of(hidden, weight, bias, torch.full_like(labels, -100))
    assert float(loss.detach()) == 0
    assert all(one.abs().sum() == 0 for one in torch.autograd.grad(loss, [hidden, weight, bias]))


def test_no_gradient_is_made_where_nothing_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, bias, labels = batch(3)
    asked: list[float | torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "scatter_add_", lambda *_, **__: asked.append(1))
    with torch.no_grad():
        loss = loss_of(hidden, weight, bias, labels)
    assert not loss.requires_grad and not asked


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"model_type": "cohere", "logit_scale": 0.25},
        {"model_type": "phi", "tie_word_embeddings": False},
        {"model_type": "gemma2", "head_dim": 16, "final_logit_softcapping": 0.1, "query_pre_attn_scalar": 16},
    ],
    ids=lambda kind: kind.get("model_type", "llama"),
)
def test_a_model_gives_the_loss_and_the_gradients_that_its_own_code_has(kind: dict[str, Any]) -> None:
    network = load_model(random_model(attention_dropout=0.0, initializer_range=0.3, **kind), torch.float32).eval()
    for weight in network.parameters():
        # Biases begin at 0.
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(weight.numel()))
    ids = torch.randint(250, (2, 9), generator=torch.Generator().manual_seed(4))
    labels = ids.masked_fill(torch.arange(9) < 3, -100)
    losses, gradients = [], []
    for _ in range(2):
        given = network(input_ids=ids, labels=labels, num_items_in_batch=torch.tensor(7), use_cache=False)
        losses.append(given.loss)
        gradients.append(torch.autograd.grad(given.loss, list(network.parameters())))
        head_loss.take_loss_from_head(network)
    assert given.logits is None
    torch.testing.assert_close(losses[1], losses[0])
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_weights_in_bfloat16_have_gradients_as_near_to_float32_as_those_of_all_logits() -> None:
    """As on a GPU without autocast."""
    *learning, labels = batch(3)
    exact = torch.autograd.grad(loss_of(*learning, labels), learning)
    rounded = [one.detach().bfloat16().requires_grad_() for one in learning]
    ours, theirs = (torch.autograd.grad(loss(*rounded, labels), rounded) for loss in (loss_of, whole_loss))
    for one, other, right in zip(ours, theirs, exact, strict=True):
        assert one.dtype == other.dtype == torch.bfloat16
        assert (one - right).abs().mean() <= 1.1 * (other - right).abs().mean()


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
