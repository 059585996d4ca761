"""
Cross-entropy of the trained tokens, on one CPU, without all of their logits in memory, and with its gradients made in
the same pass. TRL's own computes the logits of each part twice, converts the head's weights for each of them, and takes
the entropy and the accuracy beside, which nobody here reads.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from trl.trainer import sft_trainer

# Logits at a time: 128 MiB in float32.
_LOGITS = 1 << 25
_NAME = "_chunked_cross_entropy_loss"
_theirs: Any = getattr(sft_trainer, _NAME, None)


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
    Whether a model's logits are what its head gives for its layers' last states, but for a scale and a cap that TRL's
    chunked loss knows of. Those of Granite, for one, are divided by a number of its own, and the states of MiniCPM3
    are; that loss leaves both out. Computes no layer.
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
    scale = getattr(config, "logit_scale", None) or getattr(config, "output_multiplier", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)
    known = given * scale if not cap else cap * torch.tanh(given * scale / cap)
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


def choose_loss(device_type: str, ranks: int) -> None:
    """
    Has TRL's chunked loss computed here where that is faster: alone on a CPU. Elsewhere, and with a TRL that has
    another form of it, TRL computes it.
    """
    if _theirs is None or inspect.signature(_theirs).parameters.keys() != inspect.signature(_loss).parameters.keys():
        return
    setattr(sft_trainer, _NAME, _loss if device_type == "cpu" and ranks == 1 else _theirs)


def _loss(
    hidden_states: torch.Tensor,  # [batch, tokens, size]
    lm_head_weight: torch.Tensor,  # [vocabulary, size]
    chunk_size: int,
    labels: torch.Tensor | None = None,  # [batch, tokens], -100 where not trained
    shift_labels: torch.Tensor | None = None,
    num_items_in_batch: torch.Tensor | int | None = None,
    logit_scale: float = 1.0,
    final_logit_softcapping: float | None = None,
    lm_head_bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As TRL's: the loss, and the number of its tokens at the end. What is between, right tokens and entropy, is 0."""
    is_plain = logit_scale == 1.0 and final_logit_softcapping is None and lm_head_bias is None
    if labels is None or not is_plain or hasattr(lm_head_weight, "ds_id"):
        result: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] = _theirs(
            hidden_states,
            lm_head_weight,
            chunk_size,
            labels=labels,
            shift_labels=shift_labels,
            num_items_in_batch=num_items_in_batch,
            logit_scale=logit_scale,
            final_logit_softcapping=final_logit_softcapping,
            lm_head_bias=lm_head_bias,
        )
        return result
    targets = labels[:, 1:]
    is_trained = targets != -100
    count = is_trained.sum()
    items = max(1, int(count)) if num_items_in_batch is None else float(num_items_in_batch)
    loss: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden_states[:, :-1][is_trained], lm_head_weight, targets[is_trained], 1 / items
    )
    nothing = hidden_states.new_zeros((), dtype=torch.float32)
    return loss, nothing, nothing, count


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,  # [tokens, size]
        weight: torch.Tensor,  # [vocabulary, size]
        targets: torch.Tensor,  # [tokens]
        scale: float,
    ) -> torch.Tensor:
        """The sum of the tokens' losses, times scale."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
        inputs, head = hidden.to(dtype), weight.to(dtype)
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        hidden_gradient = torch.zeros_like(hidden) if needs_hidden else None
        weight_gradient = torch.zeros_like(weight) if needs_weight else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        size = max(1, _LOGITS // len(weight))
        for start in range(0, len(targets), size):
            part, target = inputs[start : start + size], targets[start : start + size, None]
            # [part, vocabulary]
            log_probabilities = torch.log_softmax((part @ head.t()).float(), dim=-1)
            loss -= log_probabilities.gather(-1, target).sum()
            if not needs_hidden and not needs_weight:
                continue
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(-1, target, torch.full_like(target, -1, dtype=torch.float32))
            gradient = gradient.mul_(scale).to(dtype)
            if hidden_gradient is not None:
                hidden_gradient[start : start + size] = gradient @ head
            if weight_gradient is not None:
                weight_gradient += gradient.t() @ part
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return loss * scale

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        made = ctx.saved_tensors
        if gradient != 1:
            made = [None if one is None else one * gradient for one in made]
        return *made, None, None
