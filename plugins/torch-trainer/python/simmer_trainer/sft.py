"""TRL's SFTTrainer, bent in a few places: data order, what is around a step, the loss of given rows, checkpoints."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainerState
from trl import SFTTrainer

from simmer_trainer.batching import Batching
from simmer_trainer.data import DataOrder, TokenizedRow
from simmer_trainer.errors import TrainingError
from simmer_trainer.packing import PackedRows, PassSampler, collate_packed, join_rows, packs_of
from simmer_trainer.pause_points import pause_point

if TYPE_CHECKING:
    from simmer_trainer.training import Loop


class SimmerSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains on rows that are tokenized already, in the order that it is given, and tells its Loop of every step."""

    def __init__(
        self,
        *,
        model: Any,
        arguments: Any,
        rows: Sequence[TokenizedRow],
        order: DataOrder,
        batching: Batching,
        tokenizer: Any,
        peft_config: Any,
        loop: "Loop",
    ) -> None:
        self.loop = loop
        self.learning_rate_of_step = 0.0
        self._order = order
        self._batching = batching
        if arguments.pad_token is not None and arguments.pad_token not in tokenizer.get_vocab():
            raise TrainingError("pad_token_unknown", f"pad_token {arguments.pad_token!r} is no token of this model.")
        # TRL would take the end-of-sequence token where the tokenizer has none for padding; labels keep that one apart.
        dataset = Dataset.from_dict(
            {"input_ids": [row.token_ids for row in rows], "labels": [row.labels for row in rows]}
        )
        super().__init__(
            model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer, peft_config=peft_config
        )
        if peft_config is not None:
            # TRL makes an adapter over quantized weights bfloat16, which rounds small updates away, and PEFT makes it
            # float32 when it is loaded again: a resumed job would not be the same.
            for weight in self.model.parameters():
                if weight.requires_grad:
                    weight.data = weight.data.float()
        if batching.plan is not None:
            self.train_dataset = PackedRows(rows, tokenizer.pad_token_id)
            self.data_collator = collate_packed
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_Around(self))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        plan = self._batching.plan
        return _OrderedSampler(self._order) if plan is None else PassSampler(plan)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        self.loop.before_pass()
        loss = super().training_step(*args, **kwargs)
        self.loop.add_loss(float(loss))
        # TRL averages these at its own log, which is off.
        self._metrics["train"].clear()
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self.loop.gradient_norm = None if norm is None else float(norm)
        return norm

    def mean_loss(self, rows: Sequence[TokenizedRow]) -> float:
        """Mean cross-entropy over the trained tokens of these rows, in nats, under the weights as they are."""
        self.model.eval()
        total = 0.0
        with torch.no_grad():
            for examples in self._passes_over(rows):
                inputs = self._prepare_inputs(self.data_collator(examples))
                # Divided by 1, the loss is a sum, and batches weigh as many tokens as they have.
                total += float(self.model(**inputs, num_items_in_batch=1).loss)
        self.model.train()
        return total / sum(row.trained_tokens for row in rows)

    def _passes_over(self, rows: Sequence[TokenizedRow]) -> Iterator[list[dict[str, list[int]]]]:
        """What the collator takes for each pass over rows whose order does not matter."""
        if self._batching.plan is not None:
            for packed in packs_of(rows, self._batching.tokens_per_pass):
                yield [join_rows(packed)]
            return
        size = self._batching.sequences_per_pass
        longest_first = sorted(rows, key=lambda row: len(row.token_ids), reverse=True)
        for start in range(0, len(rows), size):
            yield [{"input_ids": row.token_ids, "labels": row.labels} for row in longest_first[start : start + size]]

    def write_state(self, folder: Path) -> None:
        """All that resume_from_checkpoint reads: weights, optimizer, schedule, random states, position in the data."""
        self.save_model(str(folder), _internal_call=True)
        pause_point("checkpoint.weights")
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def load_weights(self, checkpoint: Path) -> None:
        """Those of a checkpoint of this job, and what it told of the last steps; nothing else of its state."""
        self._load_from_checkpoint(str(checkpoint))
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))

    def release_optimizer(self) -> None:
        """Training is over; the weights stay."""
        self.optimizer = None
        self.lr_scheduler = None
        self.accelerator.free_memory()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The Loop tells of steps."""


class _OrderedSampler(Sampler[int]):
    """The order of rows in an epoch, as the DataOrder has it."""

    def __init__(self, order: DataOrder) -> None:
        self._order = order
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(self._order.epoch(self._epoch))

    def __len__(self) -> int:
        return len(self._order.epoch(self._epoch))


class _Around(TrainerCallback):  # type: ignore[misc]
    def __init__(self, trainer: SimmerSFTTrainer) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._trainer.learning_rate_of_step = self._trainer._get_learning_rate()
        self._trainer.loop.before_update(self._trainer)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._trainer.loop.after_step(self._trainer)
