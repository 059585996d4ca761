"""What happens around each optimizer step."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from google.protobuf import json_format

from simmer_trainer import describe
from simmer_trainer.batching import Batching
from simmer_trainer.checkpoints import prune_checkpoints
from simmer_trainer.errors import AttemptStopped, TrainingError
from simmer_trainer.failed_batch import FailedBatch, save_failed_batch
from simmer_trainer.flops import TrainingFlops, peak_flops_per_second
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import is_adapter
from simmer_trainer.memory import release_memory, trim_freed_memory
from simmer_trainer.pause_points import pause_point
from simmer_trainer.progress import Progress
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.seen import Seen
from simmer_trainer.sharded_checkpoints import save_together
from simmer_trainer.training_control import TrainingControl
from simmer_trainer.training_rows import TrainingRows

_FINAL_LOSS_STEPS = 10
# Batches of many lengths leave gaps, which would grow over the whole training.
_STEPS_BETWEEN_TRIMS = 5


class Loop:
    """What happens around each optimizer step: events, checkpoints, evaluation, and stopping."""

    def __init__(
        self,
        request: pb.StartTrainingRequest,
        control: TrainingControl,
        group: RankGroup,
        progress: Progress,
        *,
        rows: TrainingRows,
        batching: Batching,
    ) -> None:
        self._request = request
        self._parameters = request.hyperparameters
        self._output_folder = Path(request.output_folder)
        self._control = control
        self._group = group
        self._rows = rows
        self._progress = progress
        self._seen = Seen(rows.trained, rows.order, batching)
        self._precision = describe.choose_precision(self._parameters.precision)
        self._peak = peak_flops_per_second(self._precision, devices=group.size)
        self.resumed_after = 0
        self._last_saved = 0
        self._saved_at = 0.0
        self._pass_losses: list[torch.Tensor] = []
        self._step_loss = 0.0
        self.gradient_norm: float | None = None

    def begin(self, trainer: Any, resumed_after: int) -> None:
        """The first step is next."""
        for step in range(1, resumed_after + 1):
            self._seen.add(step)
        self._seen.start_clock(TrainingFlops(trainer.model, is_adapter=is_adapter(self._parameters.method)))
        self._saved_at = time.monotonic()
        self.resumed_after = self._last_saved = resumed_after

    def before_pass(self) -> None:
        """Before each forward pass: told to stop at once, it stops here."""
        stop = self._control.stop_request()
        if stop is not None and not stop.checkpoint_first:
            raise AttemptStopped

    def add_loss(self, loss: torch.Tensor) -> None:
        """A pass's part of the step's mean loss over trained tokens. Not looked at: a GPU may still compute it."""
        self._pass_losses.append(loss)

    def before_update(self, trainer: Any) -> None:
        """The gradients are there, the weights are still those of the last step."""
        if self._pass_losses:
            mine = 0.0
            for loss in torch.stack(self._pass_losses).tolist():
                # Each rank's part is scaled up by their number, since gradients are averaged over them.
                mine += loss / self._group.size
            self._pass_losses.clear()
            self._step_loss = self._group.sum(mine)
        if math.isfinite(self._step_loss) and (self.gradient_norm is None or math.isfinite(self.gradient_norm)):
            return
        step = trainer.state.global_step + 1
        batch = self._save_failed_batch(trainer, step)
        at_fault = batch.not_finite
        what = "loss" if not math.isfinite(self._step_loss) else "gradient norm"
        blame = "these rows by themselves give such a loss" if at_fault else "no row of the step does so by itself"
        is_exact = self._precision == pb.PRECISION_FLOAT32
        remedies = (
            "Lower learning_rate or check the rows"
            if is_exact
            else "Lower learning_rate, check the rows, or use float32"
        )
        raise TrainingError(
            "loss_not_finite",
            f"The {what} of step {step} is not finite; {blame} ({batch.file}). {remedies}; then go on from the last "
            "checkpoint.",
            row_ids=at_fault or batch.row_ids,
            batch_file=batch.file,
        )

    def after_step(self, trainer: Any) -> None:
        """The weights are updated."""
        step = trainer.state.global_step
        self._seen.add(step)
        self._log(trainer, step)
        self._check_divergence(trainer, step)
        trainer.state.log_history.append({"step": step, "loss": self._step_loss})
        del trainer.state.log_history[:-_FINAL_LOSS_STEPS]
        if step % _STEPS_BETWEEN_TRIMS == 0:
            trim_freed_memory()
        every = self._parameters.evaluate_every_steps
        is_last = step == trainer.state.max_steps
        is_best = bool(every) and (step % every == 0 or is_last) and self._evaluate(trainer, step)
        stop = self._control.stop_request()
        is_due = self._is_checkpoint_due(step) or (is_best and self._parameters.keep_best)
        if is_due or self._control.wants_checkpoint() or (stop is not None and stop.checkpoint_first):
            self.save(trainer)
        # The last step is the end anyway.
        if self._progress.has_stopped_early:
            trainer.control.should_training_stop = True
        elif stop is not None and not is_last:
            raise AttemptStopped

    def save_last_checkpoint(self, trainer: Any) -> None:
        if self._last_saved < trainer.state.global_step:
            self.save(trainer)

    def save(self, trainer: Any) -> None:
        """A checkpoint of the state as it is, complete on disk when this returns."""
        step = trainer.state.global_step
        state = {
            "rows": len(self._rows.trained),
            "model": json_format.MessageToDict(self._request.model),
            "progress": self._progress.to_json(),
        }
        checkpoint = save_together(
            self._group, self._output_folder, step, state, trainer.write_checkpoint, self._control.fence
        )
        release_memory()
        self._last_saved, self._saved_at = step, time.monotonic()
        self._control.emit(
            pb.TrainerEvent(
                checkpoint_saved=pb.CheckpointSaved(step=step, path=str(checkpoint.path), bytes=checkpoint.bytes)
            )
        )
        pause_point("checkpoint.told")
        self._control.checkpoint_saved(checkpoint)
        if self._group.is_leader:
            with self._control.fence.held():
                kept = self._parameters.checkpoints_kept
                prune_checkpoints(self._output_folder, kept, newest=step, is_protected=self._is_kept)

    def final_loss(self, trainer: Any) -> float | None:
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return sum(losses) / len(losses) if losses else None

    def _is_checkpoint_due(self, step: int) -> bool:
        every, seconds = self._parameters.checkpoint_every_steps, self._parameters.checkpoint_every_seconds
        is_due = bool(every) and step % every == 0
        if is_due or seconds == 0:
            return is_due
        # Clocks differ between ranks.
        return bool(self._group.broadcast_number(int(seconds <= time.monotonic() - self._saved_at)))

    def _is_kept(self, step: int) -> bool:
        """Whether a checkpoint stays, however many newer ones there are."""
        every = self._parameters.checkpoint_kept_every_steps
        is_best = self._parameters.keep_best and step == self._progress.best_step
        return is_best or (bool(every) and step % every == 0)

    def _evaluate(self, trainer: Any, step: int) -> bool:
        loss = trainer.mean_loss(self._rows.evaluated)
        is_best = self._progress.add_evaluation(
            step,
            loss,
            min_improvement=self._parameters.early_stopping_min_improvement,
            patience=self._parameters.early_stopping_patience,
        )
        self._control.emit(pb.TrainerEvent(evaluation_logged=pb.EvaluationLogged(step=step, loss=loss, best=is_best)))
        return is_best

    def _check_divergence(self, trainer: Any, step: int) -> None:
        rise = self._progress.add_step(self._step_loss)
        if not self._parameters.HasField("max_loss_rise") or rise <= self._parameters.max_loss_rise:
            return
        batch = self._save_failed_batch(trainer, step)
        raise TrainingError(
            "loss_diverged",
            f"The loss diverges: its mean over the last steps, up to step {step}, is {rise:.2f} nats above the lowest "
            f"such mean, and {self._parameters.max_loss_rise:g} are allowed ({batch.file}). Lower learning_rate "
            "or lengthen the warm-up, or raise max_loss_rise.",
            row_ids=batch.row_ids,
            batch_file=batch.file,
        )

    def _save_failed_batch(self, trainer: Any, step: int) -> FailedBatch:
        rows = [self._rows.trained[index] for index in self._rows.order.step(step)]
        losses = [trainer.mean_loss([row]) for row in rows]
        saved = save_failed_batch(self._output_folder, step, rows, losses) if self._group.is_leader else None
        batch: FailedBatch = self._group.broadcast(saved)
        return batch

    def _log(self, trainer: Any, step: int) -> None:
        rerun = self._control.was_run_before(step)
        # Before it is told: what is told is noted as done, whenever this is killed.
        self._control.step_done(step)
        if step % self._parameters.log_every_steps == 0 or step == trainer.state.max_steps:
            tokens_per_second, flops_per_second = self._seen.lap()
            peak_memory = int(self._group.largest(describe.peak_memory_bytes()))
            self._control.emit(
                pb.TrainerEvent(
                    step_logged=pb.StepLogged(
                        step=step,
                        epoch=step / self._rows.order.steps_per_epoch,
                        loss=self._step_loss,
                        learning_rate=trainer.learning_rate_of_step,
                        gradient_norm=self.gradient_norm,
                        tokens_seen=self._seen.tokens,
                        tokens_per_second=tokens_per_second,
                        peak_memory_bytes=peak_memory,
                        rerun=rerun,
                        rows_seen=self._seen.rows,
                        trained_tokens_seen=self._seen.trained_tokens,
                        padding_tokens=self._seen.padding_tokens,
                        model_flops_utilization=flops_per_second / self._peak if self._peak is not None else None,
                    )
                )
            )
