"""TRL's SFTTrainer, bent in a few places: data order, what is around a step, the loss of given rows, checkpoints."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from peft import PeftModel, get_peft_model
from torch.utils.data import Sampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainerState
from trl import SFTTrainer

from simmer_trainer import describe, sharding, shards
from simmer_trainer.adapted_modules import check_can_be_read, check_is_read, refusals_of_experts
from simmer_trainer.batching import Batching
from simmer_trainer.data import DataOrder, TokenizedRow
from simmer_trainer.durable import sync
from simmer_trainer.errors import TrainingError
from simmer_trainer.models import saved_weights
from simmer_trainer.packing import PackedRows, PassSampler, collate_packed, join_rows, packs_of
from simmer_trainer.pause_points import pause_point
from simmer_trainer.rank_batches import RankBatches, RankLoader
from simmer_trainer.rank_group import RankGroup

if TYPE_CHECKING:
    from simmer_trainer.training_loop import Loop

_ROUTER_SETTINGS = ("router_aux_loss_coef", "output_router_logits")


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
        group: RankGroup,
    ) -> None:
        self.loop = loop
        self.group = group
        self.learning_rate_of_step = 0.0
        self._order = order
        self._batching = batching
        _check_padding(arguments.pad_token, tokenizer, model)
        # TRL would take the end-of-sequence token where the tokenizer has none for padding; labels keep that one apart.
        token_ids, labels = [row.token_ids for row in rows], [row.labels for row in rows]
        # Behind the rows, one that trains nothing: for a rank that has none where others have some.
        blank = min(token_ids, key=len)
        dataset = Dataset.from_dict({"input_ids": [*token_ids, blank], "labels": [*labels, [-100] * len(blank)]})
        self._blank = len(rows)
        uses_cache = getattr(model.config, "use_cache", None)
        config = model.config.get_text_config()
        of_routers = {name: vars(config)[name] for name in _ROUTER_SETTINGS if name in vars(config)}
        self._gives_router_logits = getattr(config, "output_router_logits", None)
        if peft_config is not None:
            with refusals_of_experts():
                model = get_peft_model(model, peft_config)
            # TRL refuses one that is adapted, because its own loss would pass the adapter by.
            model.get_output_embeddings = _hide_head
        super().__init__(model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer)
        if uses_cache is not None:
            # The Trainer turns it off for good, and checkpoints and the model would say so; no pass here asks for it.
            model.config.use_cache = uses_cache
        # TRL writes what it was told into every config of experts. Without router logits, no weight counts.
        for name in _ROUTER_SETTINGS:
            vars(config).pop(name, None)
        vars(config).update(of_routers)
        self._tell_router_logits(False)
        if peft_config is not None:
            del model.get_output_embeddings
            # TRL makes an adapter over quantized weights bfloat16, which rounds small updates away, and PEFT makes it
            # float32 when it is loaded again: a resumed job would not be the same.
            for weight in self.model.parameters():
                if weight.requires_grad:
                    weight.data = weight.data.float()
            check_can_be_read(self.model)
        if batching.plan is not None:
            self.train_dataset = PackedRows(rows, tokenizer.pad_token_id)
            self.data_collator = collate_packed
        elif describe.device().name.startswith("cuda"):
            self.data_collator = WithoutMask(self.data_collator)
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_Around(self))

    def create_accelerator_and_postprocess(self) -> None:
        if self.group.size > 1:
            sharding.shard_on_cpu()
        super().create_accelerator_and_postprocess()
        if self.group.size > 1:
            sharding.keep_sums_exact(self.accelerator.state.fsdp_plugin)
            sharding.shard_what_can_be(self.accelerator)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        plan = self._batching.plan
        return _OrderedSampler(self._order) if plan is None else PassSampler(plan)

    def get_train_dataloader(self) -> Any:
        if self.group.size == 1:
            return super().get_train_dataloader()
        rows = self.train_dataset
        if self._batching.plan is None:
            rows = self._remove_unused_columns(rows, description="Training")
        # accelerate would deal out batches in another order than one rank's, and repeat rows where they run short.
        return RankLoader(
            rows,
            batch_sampler=RankBatches(self._order, self._batching, self.group, blank=self._blank),
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _get_num_items_in_batch(self, *args: Any, **kwargs: Any) -> Any:
        """A whole number. transformers 5.24 makes a float of it, which FSDP would round to a pass's type, bfloat16."""
        count = super()._get_num_items_in_batch(*args, **kwargs)
        return None if count is None else count.long()

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The model's own. TRL's goes by the head's weights, and waits for a GPU to count what nobody reads."""
        return Trainer.compute_loss(self, model, {**inputs, "use_cache": False}, *args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        self.loop.before_pass()
        loss = super().training_step(*args, **kwargs)
        self.loop.add_loss(loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self.loop.gradient_norm = None if norm is None else float(norm)
        return norm

    def before_update(self) -> None:
        """The gradients are there, and the optimizer steps next."""
        self.loop.before_update(self)

    def mean_loss(self, rows: Sequence[TokenizedRow]) -> float:
        """Mean cross-entropy over the trained tokens of these rows, in nats, under the weights as they are."""
        self.model.eval()
        total = 0.0
        passes = list(self._passes_over(rows))
        with torch.no_grad():
            for first in range(0, len(passes), self.group.size):
                mine = first + self.group.rank
                # Sharded, a pass takes every rank; one without a pass of its own helps with what does not count.
                examples = passes[mine if mine < len(passes) else first]
                inputs = self._prepare_inputs(self.data_collator(examples))
                # Divided by 1, the loss is a sum, and batches weigh as many tokens as they have.
                loss = float(self.model(**inputs, num_items_in_batch=1, use_cache=False).loss)
                total += loss if mine < len(passes) else 0.0
        self.model.train()
        return self.group.sum(total) / sum(row.trained_tokens for row in rows)

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

    def write_checkpoint(self, folder: Path) -> None:
        """All that resume_from_checkpoint reads, and a model by itself."""
        self._tell_router_logits(self._gives_router_logits)
        self.write_state(folder)
        self._tell_router_logits(False)

    def _tell_router_logits(self, told: bool | None) -> None:
        """Has the config say so. Asked for in training, they bring a loss along."""
        if self._gives_router_logits is not None:
            self.model.config.get_text_config().output_router_logits = told

    def write_state(self, folder: Path) -> None:
        """
        Weights, optimizer, schedule, random states, position in the data. Each rank writes its own shards and random
        states; rank 0 the rest.
        """
        self.save_model(str(folder), _internal_call=True)
        pause_point("checkpoint.weights")
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        if not self.group.is_leader:
            # Shards are synced by who wrote them, and rank 0 may be on another machine.
            sync(folder / f"rng_state_{self.group.rank}.pth")
            return
        self._save_scaler(str(folder))
        # Neither adapters nor shards bring it.
        self.model.generation_config.save_pretrained(folder)
        self.state.save_to_json(str(folder / "trainer_state.json"))
        if self.group.size > 1:
            self.model.config.save_pretrained(folder)
            self.processing_class.save_pretrained(folder)
            for adapter in getattr(self.model, "peft_config", {}).values():
                adapter.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        if self.group.size > 1:
            if shards.is_sharded(folder):
                super()._load_from_checkpoint(resume_from_checkpoint, model)
            else:
                sharding.load_whole(self.model, folder, self.group)
        elif shards.is_sharded(folder):
            shards.load_shards(self.model, folder)
        elif isinstance(self.model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            check_is_read(self.model, folder)
        else:
            # The Trainer takes what has the model's own names, and leaves the rest of the model as its base is.
            self.model.load_state_dict(saved_weights(folder))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or shards.is_sharded(Path(checkpoint)) == (self.group.size > 1):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.optimizer is not None and self.lr_scheduler is not None
        folder, optimizer = Path(checkpoint), self.optimizer.optimizer
        if self.group.size > 1:
            sharding.load_whole_optimizer(self.model, optimizer, folder, self.group)
        else:
            shards.load_optimizer_shards(self.model, optimizer, folder)
        self.lr_scheduler.load_state_dict(torch.load(folder / "scheduler.pt", weights_only=True))

    def load_weights(self, checkpoint: Path) -> None:
        """Those of a checkpoint of this job, and what it told of the last steps; nothing else of its state."""
        self._load_from_checkpoint(str(checkpoint))
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))

    def release_optimizer(self) -> None:
        """Training is over; the weights stay, and the config is that of the base model."""
        self._tell_router_logits(self._gives_router_logits)
        self.optimizer = None
        self.lr_scheduler = None
        self.accelerator.free_memory()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The Loop tells of steps."""


def _hide_head() -> None:
    """In the place of a model's get_output_embeddings."""


def _check_padding(given: str | None, tokenizer: Any, model: Any) -> None:
    """Raises TrainingError pad_token_unknown where there is no token that rows could be padded with."""
    pad_token = given if given is not None else tokenizer.pad_token or tokenizer.eos_token
    if pad_token is None:
        raise TrainingError(
            "pad_token_unknown",
            "The model's tokenizer names no token for padding, and none that ends a text: set pad_token to one that it "
            "has.",
        )
    token, vocabulary = tokenizer.get_vocab().get(pad_token), model.get_input_embeddings().num_embeddings
    if token is None:
        raise TrainingError("pad_token_unknown", f"pad_token {pad_token!r} is no token of this model.")
    if token >= vocabulary:
        raise TrainingError(
            "pad_token_unknown",
            f"{pad_token!r}, with which rows are padded, is a token that the model's tokenizer knows and its weights "
            f"do not: they have {vocabulary}. Set pad_token to one that both have.",
        )


class WithoutMask:
    """
    A collator whose batches do not tell what of them is padding. It lies behind the end of rows, where no token attends
    to it that counts; told of it, SDPA takes a mask of length² for each row, and on a GPU a slower kernel.
    """

    def __init__(self, collate: Callable[[Sequence[Any]], dict[str, Any]]) -> None:
        self._collate = collate

    def __call__(self, examples: Sequence[Any]) -> dict[str, Any]:
        batch = self._collate(examples)
        del batch["attention_mask"]
        return batch


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
        self._trainer.before_update()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._trainer.loop.after_step(self._trainer)
