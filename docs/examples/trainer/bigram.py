"""The model of trainer.py, which learns which byte follows which, with numpy and AdamW: put your own in its place."""

import json
import math
import random
import time
from collections import deque
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet
from safetensors.numpy import load_file, save_file

from refusal import INVALID, Refusal

from simmer.trainer.v1 import trainer_pb2 as pb


def read_model(source):
    """The table of logits: float32[256, 256]. A random model's config says nothing to this trainer."""
    match source.WhichOneof("source"):
        case "random":
            return np.random.default_rng(source.random.seed).normal(0, 0.02, (256, 256)).astype(np.float32)
        case "folder":
            file = Path(source.folder) / "model.safetensors"
            weights = load_file(file).get("logits") if file.is_file() else None
            if weights is not None:
                return weights
    raise Refusal(INVALID, "model_invalid", "The model is neither random nor a folder of this trainer's.")


def text_of(value):
    """A string as it is, or what messages say: a trainer of real models renders them by the chat template."""
    text = value if isinstance(value, str) else "".join(f"{message['content']}\n" for message in value or [])
    return text.encode()


def calls_tools(row):
    """Whether a row has definitions of tools or calls, of which this trainer makes no text."""
    chats = [value for value in (row["prompt"], row["completion"]) if isinstance(value, list)]
    calls = [message for chat in chats for message in chat if message.get("tool_calls")]
    return bool(calls) or row.get("tools") not in (None, [], "", "[]")


def has_untrained_replies(row):
    """Whether replies of a row are only to be seen; this trainer trains all of a completion."""
    return isinstance(row["completion"], list) and any(message.get("weight") == 0 for message in row["completion"])


def read_rows(file):
    """Pairs of bytes: prompt and completion."""
    try:
        tools = [name for name in parquet.read_schema(file).names if name == "tools"]
        read = parquet.read_table(file, columns=["prompt", "completion", *tools]).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise Refusal(INVALID, "data_invalid", f"{file} cannot be read: {error}") from error
    if any(calls_tools(row) for row in read):
        raise Refusal(INVALID, "data_invalid", f"{file} has rows in which tools are called.")
    if any(has_untrained_replies(row) for row in read):
        raise Refusal(INVALID, "data_invalid", f"{file} has rows with replies of weight 0.")
    rows = [(text_of(row["prompt"]), text_of(row["completion"])) for row in read]
    if not rows or not all(prompt and completion for prompt, completion in rows):
        raise Refusal(INVALID, "data_invalid", f"{file} has no rows, or rows with nothing to train on.")
    return rows


def train(request, attempt):
    """Trains to the end, or until the attempt is told to stop, and adds the events. Raises Refusal."""
    wanted = request.hyperparameters
    read = read_rows(request.training_data)
    rows = [(prompt, (prompt + completion)[: wanted.max_sequence_length]) for prompt, completion in read]
    if any(len(whole) <= len(prompt) for prompt, whole in rows):
        raise Refusal(INVALID, "mask_empty", "A prompt alone fills max_sequence_length: nothing of its row is trained.")
    truncated = sum(len(prompt + completion) > wanted.max_sequence_length for prompt, completion in read)
    if wanted.HasField("max_truncated_share") and truncated > wanted.max_truncated_share * len(rows):
        raise Refusal(INVALID, "data_invalid", f"{truncated} of {len(rows)} rows are cut: more than max_truncated_share.")
    steps_per_epoch = math.ceil(len(rows) / wanted.global_batch_size)
    total = wanted.max_steps if wanted.HasField("max_steps") else math.ceil(wanted.epochs * steps_per_epoch)
    weights = read_model(request.model)
    optimizer = AdamW(wanted, weights.shape)
    attempt.add(
        training_started=pb.TrainingStarted(
            total_steps=total,
            rows=len(rows),
            tokens=sum(len(whole) for _, whole in rows),
            trained_tokens=sum(len(whole) - len(prompt) for prompt, whole in rows),
            truncated_rows=truncated,
            parameters=weights.size,
            trained_parameters=weights.size,
            precision=pb.PRECISION_FLOAT32,
        )
    )
    started = logged = time.monotonic()
    rows_seen = tokens_seen = tokens_logged = 0
    loss = None
    losses, lowest_mean = deque(maxlen=8), math.inf
    for step in range(1, total + 1):
        epoch, index = divmod(step - 1, steps_per_epoch)
        order = random.Random(f"{wanted.seed}/{epoch}").sample(range(len(rows)), len(rows))
        batch = [rows[row] for row in order[index * wanted.global_batch_size :][: wanted.global_batch_size]]
        loss, gradient = loss_and_gradient(weights, batch)
        norm = float(np.linalg.norm(gradient))
        if wanted.max_gradient_norm and norm > wanted.max_gradient_norm:
            gradient *= wanted.max_gradient_norm / norm
        rate = learning_rate(wanted, step, total)
        weights = optimizer.updated(weights, gradient, rate)
        rows_seen += len(batch)
        tokens_seen += sum(len(whole) for _, whole in batch)
        if step % max(1, wanted.log_every_steps) == 0 or step == total:
            now = time.monotonic()
            attempt.add(
                step_logged=pb.StepLogged(
                    step=step,
                    epoch=step / steps_per_epoch,
                    loss=loss,
                    learning_rate=rate,
                    gradient_norm=norm,
                    tokens_seen=tokens_seen,
                    tokens_per_second=(tokens_seen - tokens_logged) / max(now - logged, 1e-9),
                    rows_seen=rows_seen,
                )
            )
            logged, tokens_logged = now, tokens_seen
        losses.append(loss)
        if wanted.HasField("max_loss_rise") and len(losses) == losses.maxlen:
            mean = sum(losses) / len(losses)
            lowest_mean = min(lowest_mean, mean)
            if mean > lowest_mean + wanted.max_loss_rise:
                return attempt.fail("loss_diverged", f"The loss rises, up to step {step}: lower learning_rate.", step)
        if attempt.stop_reason is not None:
            return attempt.add(training_canceled=pb.TrainingCanceled(step=step, reason=attempt.stop_reason))
    seconds = time.monotonic() - started
    folder = Path(request.output_folder) / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bigram", "architectures": ["Bigram"]}))
    save_file({"logits": weights}, folder / "model.safetensors")
    completed = pb.TrainingCompleted(steps=total, model_folder=str(folder), seconds=seconds, final_loss=loss)
    attempt.add(training_completed=completed)


class AdamW:
    def __init__(self, wanted, shape):
        self._wanted = wanted
        self._step = 0
        self._first, self._second = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def updated(self, weights, gradient, rate):
        """The weights after the next step."""
        wanted = self._wanted
        self._step += 1
        self._first = wanted.adam_beta1 * self._first + (1 - wanted.adam_beta1) * gradient
        self._second = wanted.adam_beta2 * self._second + (1 - wanted.adam_beta2) * gradient**2
        update = self._first / (1 - wanted.adam_beta1**self._step)
        update /= np.sqrt(self._second / (1 - wanted.adam_beta2**self._step)) + wanted.adam_epsilon
        return (weights * (1 - rate * wanted.weight_decay) - rate * update).astype(np.float32)


def loss_and_gradient(weights, batch):
    """Mean cross-entropy, in nats, of the completions' bytes, each from the byte before it; and its gradient."""
    pairs = [pair for prompt, whole in batch for pair in list(pairwise(whole))[len(prompt) - 1 :]]
    before, after = np.array(pairs).T
    logits = weights[before]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    here = np.arange(len(after))
    loss = float(-np.log(shares[here, after]).mean())
    shares[here, after] -= 1
    gradient = np.zeros_like(weights)
    np.add.at(gradient, before, shares / len(after))
    return loss, gradient


def learning_rate(wanted, step, total):
    warmup = math.ceil(wanted.warmup_ratio * total)
    if step <= warmup:
        return wanted.learning_rate * (step - 1) / warmup
    share = (step - 1 - warmup) / max(1, total - warmup)
    if wanted.schedule == pb.LEARNING_RATE_SCHEDULE_COSINE:
        return wanted.learning_rate * (1 + math.cos(math.pi * share)) / 2
    return wanted.learning_rate * (1 if wanted.schedule == pb.LEARNING_RATE_SCHEDULE_CONSTANT else 1 - share)
