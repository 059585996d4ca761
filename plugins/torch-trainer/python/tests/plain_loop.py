"""Fine-tuning as one writes it by hand in PyTorch, row by row: the trainer's losses and weights are held against it."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from simmer_trainer.data import TokenizedRow
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

#: The logits, [tokens, vocabulary], of the token ids, [tokens], of one row.
Forward = Callable[[Tensor], Tensor]


@dataclass
class PlainTraining:
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    rows_seen: list[int] = field(default_factory=list)
    #: By step, over the rows of the evaluation.
    evaluations: dict[int, float] = field(default_factory=dict)


def train_by_hand(
    forward: Forward,
    weights: dict[str, Tensor],
    rows: Sequence[TokenizedRow],
    wanted: pb.Hyperparameters,
    *,
    evaluation_rows: Sequence[TokenizedRow] = (),
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> PlainTraining:
    """
    Updates the weights in place. Rows come in the order of Python's shuffle, seeded by seed and epoch: without
    groupByLength. Norms and biases do not decay, as transformers has it.
    """
    batches = list(_batches(len(rows), wanted))
    decaying = [weight for name, weight in weights.items() if "norm" not in name and "bias" not in name]
    others = [weight for name, weight in weights.items() if "norm" in name or "bias" in name]
    optimizer = torch.optim.AdamW(
        [{"params": decaying, "weight_decay": wanted.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=wanted.learning_rate,
        betas=(wanted.adam_beta1, wanted.adam_beta2),
        eps=wanted.adam_epsilon,
    )
    told = PlainTraining()
    for step, batch in enumerate(batches, start=1):
        count = sum(rows[row].trained_tokens for row in batch)
        total = 0.0
        optimizer.zero_grad()
        for row in batch:
            with precision():
                loss = _loss_sum(forward, rows[row])
            (loss / count).backward()
            total += float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_([*decaying, *others], wanted.max_gradient_norm or math.inf)
        for group in optimizer.param_groups:
            group["lr"] = rate_of(step, len(batches), wanted)
        optimizer.step()
        told.losses.append(total / count)
        told.rates.append(rate_of(step, len(batches), wanted))
        told.gradient_norms.append(float(norm))
        told.rows_seen.append(len(batch) + (told.rows_seen[-1] if told.rows_seen else 0))
        if evaluation_rows and (step % wanted.evaluate_every_steps == 0 or step == len(batches)):
            with torch.no_grad(), precision():
                sums = [float(_loss_sum(forward, row)) for row in evaluation_rows]
            told.evaluations[step] = sum(sums) / sum(row.trained_tokens for row in evaluation_rows)
    return told


def rate_of(step: int, steps: int, wanted: pb.Hyperparameters) -> float:
    """In the step, from 1: what the schedule has at its beginning."""
    done, warmup = step - 1, math.ceil(wanted.warmup_ratio * steps)
    if done < warmup:
        return wanted.learning_rate * done / warmup
    share = (done - warmup) / (steps - warmup)
    match wanted.schedule:
        case pb.LEARNING_RATE_SCHEDULE_COSINE:
            return wanted.learning_rate * (1 + math.cos(math.pi * share)) / 2
        case pb.LEARNING_RATE_SCHEDULE_LINEAR:
            return wanted.learning_rate * (1 - share)
        case _:
            return wanted.learning_rate


def _batches(rows: int, wanted: pb.Hyperparameters) -> Iterator[list[int]]:
    """Those of each step; the last of an epoch may be short, and the last epoch may end within."""
    size = wanted.global_batch_size
    left = math.ceil(wanted.epochs * math.ceil(rows / size))
    for epoch in range(math.ceil(wanted.epochs)):
        order = list(range(rows))
        random.Random(f"{wanted.seed}/{epoch}").shuffle(order)
        for start in range(0, rows, size):
            if left > 0:
                yield order[start : start + size]
            left -= 1


def _loss_sum(forward: Forward, row: TokenizedRow) -> Tensor:
    """The cross-entropy of its trained tokens, each from the logits before it, in float32."""
    logits = forward(torch.tensor(row.token_ids))[:-1].float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(row.labels)[1:], ignore_index=-100, reduction="sum")
