"""
Cross-entropy of the trained tokens by the weights of a model's head, without all of their logits in memory, and with
its gradients made in the same pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch.distributed.tensor import DTensor, Partial
from transformers.modeling_outputs import CausalLMOutput

from simmer_trainer import zero

# Logits at a time: 128 MiB in float32; on a GPU 512 MiB, since each part reads and writes the gradient of the head.
_LOGITS = {"cpu": 1 << 25, "mps": 1 << 25, "cuda": 1 << 27}


@dataclass(frozen=True)
class Logits:
    """What a model makes its logits of, from what its head gives: scaled, then bent below a cap."""

    scale: float = 1.0
    cap: float | None = None

    @staticmethod
    def of(config: Any) -> "Logits":
        scale = getattr(config, "logit_scale", None) or getattr(config, "output_multiplier", None) or 1.0
        return Logits(scale, getattr(config, "final_logit_softcapping", None) or None)

    def of_head(self, given: torch.Tensor) -> torch.Tensor:
        scaled = given if self.scale == 1 else given * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def slope(self, logits: torch.Tensor) -> torch.Tensor | float:
        """By how much each of these grows with what the head gives."""
        return self.scale if self.cap is None else self.scale * (1 - (logits / self.cap) ** 2)


class _Seen:
    """What a model's layers give, for its head: so many hidden states, and None for all else that is asked of it."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int) -> torch.Tensor:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


def has_plain_head(model: Any) -> bool:
    """
    Whether a model's logits are what its head gives for its layers' last states, but for a scale and a cap that are
    known here. Those of Granite, for one, are divided by a number of its own, and the states of MiniCPM3 are. Computes
    no layer.
    """
    layers, head, config = model.base_model, model.get_output_embeddings(), model.config.get_text_config()
    if layers is model:
        return False
    given = torch.linspace(-60, 60, 16).reshape(1, 2, 8)
    # Small whole numbers, which no type rounds.
    hidden = (torch.arange(2 * config.hidden_size) % 7).float().reshape(1, 2, -1)

    def see(*_: Any, **__: Any) -> _Seen:
        return _Seen(hidden)

    def give_logits(states: torch.Tensor) -> torch.Tensor:
        return given if torch.equal(states.float(), hidden) else torch.full_like(given, torch.nan)

    try:
        # OPT asks its decoder alone, which is a part of its layers.
        with torch.no_grad(), _doing(layers, see), _doing(model.get_decoder(), see), _doing(head, give_logits):
            found = model(input_ids=torch.zeros(1, 2, dtype=torch.long), use_cache=False).logits
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError):
        # Its logits want more than its layers' last states.
        return False
    known = Logits.of(config).of_head(given)
    return found.shape == known.shape and torch.allclose(found.float(), known, rtol=1e-3)


@contextmanager
def _doing(module: Any, work: Callable[..., Any]) -> Iterator[None]:
    forward = vars(module).get("forward")
    module.forward = work
    try:
        yield
    finally:
        del module.forward
        if forward is not None:
            module.forward = forward


def take_loss_from_head(model: Any) -> None:
    """
    Has a model with a plain head give its loss from here, and no logits, where it is called with labels, as trainings
    call it. It stays a part of the model's forward pass, which shards and types of products are arranged around.
    """
    logits = Logits.of(model.config.get_text_config())

    @wraps(model.forward)
    def give_loss(
        *, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None, **inputs: Any
    ) -> CausalLMOutput:
        hidden, head = model.base_model(**inputs).last_hidden_state, model.get_output_embeddings()
        with zero.whole(head.weight, head.bias):
            weight, bias = _whole(head.weight), None if head.bias is None else _whole(head.bias)
            return CausalLMOutput(loss=head_loss(hidden, weight, bias, labels, items=num_items_in_batch, logits=logits))

    model.forward = give_loss


def _whole(weight: torch.Tensor) -> torch.Tensor:
    """
    Of FSDP's shards, one tensor. They are seen here only of a head that is a unit of its own, whose forward pass would
    gather it: what each rank learns is then averaged here, as FSDP does, and not by it.
    """
    if not isinstance(weight, DTensor):
        return weight
    return weight.full_tensor(grad_placements=[Partial("avg")] * weight.device_mesh.ndim)


def head_loss(
    hidden: torch.Tensor,  # [batch, tokens, size]
    weight: torch.Tensor,  # [vocabulary, size]
    bias: torch.Tensor | None,  # [vocabulary]
    labels: torch.Tensor,  # [batch, tokens], -100 where not trained
    *,
    items: torch.Tensor | int | None,
    logits: Logits,
) -> torch.Tensor:
    """
    Each token's from the states before it, summed over the trained ones. @param items what the sum is divided by: the
    trained tokens of all passes of a step. None: those of this one
    """
    targets = labels[:, 1:]
    # The one look at what a GPU computes: how many there are.
    trained = (targets != -100).nonzero(as_tuple=True)
    count = max(1, len(trained[0])) if items is None else items
    if not torch.is_grad_enabled():
        # A Function would be told that they learn, all the same.
        weight, bias = weight.detach(), None if bias is None else bias.detach()
    loss: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden[:, :-1][trained], weight, bias, targets[trained], 1 / count, logits
    )
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,  # [tokens, size]
        weight: torch.Tensor,  # [vocabulary, size]
        bias: torch.Tensor | None,  # [vocabulary]
        targets: torch.Tensor,  # [tokens]
        factor: torch.Tensor | float,
        logits: Logits,
    ) -> torch.Tensor:
        """The sum of the tokens' losses, times the factor."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        inputs, head = hidden.to(dtype), weight.to(dtype)
        learning = zip((hidden, weight, bias), ctx.needs_input_grad, strict=False)
        gradients = [torch.zeros_like(one) if one is not None and learns else None for one, learns in learning]
        hidden_gradient, weight_gradient, bias_gradient = gradients
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        size = max(1, _LOGITS[device] // len(weight))
        for start in range(0, len(targets), size):
            part, target = inputs[start : start + size], targets[start : start + size, None]
            log_probabilities, slope = _log_probabilities(part, head, bias, logits)
            loss -= log_probabilities.gather(-1, target).sum()
            if all(one is None for one in gradients):
                continue
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(-1, target, torch.full_like(target, -1, dtype=torch.float32))
            gradient = gradient.mul_(slope * factor)
            if bias_gradient is not None:
                bias_gradient += gradient.sum(0)
            gradient = gradient.to(dtype)
            if hidden_gradient is not None:
                hidden_gradient[start : start + size] = gradient @ head
            if weight_gradient is not None:
                weight_gradient += gradient.t() @ part
        ctx.save_for_backward(*gradients)
        return loss * factor

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        # In place, since a head's gradient is large; and also by 1, since to look at it would be to wait for a GPU.
        made = [None if one is None else one.mul_(gradient) for one in ctx.saved_tensors]
        return *made, None, None, None


def _log_probabilities(
    part: torch.Tensor, head: torch.Tensor, bias: torch.Tensor | None, logits: Logits
) -> tuple[torch.Tensor, torch.Tensor | float]:
    """[part, vocabulary], and the slope of the logits, which are kept no longer."""
    given = (part @ head.t()).float()
    found = logits.of_head(given if bias is None else given + bias.float())
    return torch.log_softmax(found, dim=-1), logits.slope(found)
