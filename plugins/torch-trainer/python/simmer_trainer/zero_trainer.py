"""What is different about training when the ranks are DeepSpeed's: who steps, and what a checkpoint holds."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import deepspeed as accelerate_deepspeed
from transformers import TrainerState

from simmer_trainer import describe
from simmer_trainer.durable import sync_tree
from simmer_trainer.errors import TrainingError
from simmer_trainer.pause_points import pause_point
from simmer_trainer.sft import SimmerSFTTrainer


def arguments(*, bfloat16: bool, gradient_checkpointing: bool) -> dict[str, Any]:
    """What the Trainer must be told otherwise than without DeepSpeed. Raises TrainingError precision_unsupported."""
    is_cpu = describe.device().name == "cpu"
    if is_cpu and bfloat16:
        raise TrainingError(
            "precision_unsupported", "DeepSpeed trains in bfloat16 on a GPU only: set precision to float32."
        )
    if is_cpu:
        # It would be compiled at the first start, and gloo does the same.
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return {
        # accelerate takes no DeepSpeed together with its CPU flag; without a GPU it takes the CPU anyway.
        "use_cpu": False,
        "ddp_backend": "gloo" if is_cpu else None,
        # DeepSpeed itself keeps the weights in float32 beside those of bfloat16.
        "bf16": bfloat16,
        "gradient_checkpointing": gradient_checkpointing,
        "accelerator_config": {},
    }


class ZeroSFTTrainer(SimmerSFTTrainer):
    """Trains by DeepSpeed's engine. Its checkpoints are ordinary model folders with the engine's state beside."""

    def create_accelerator_and_postprocess(self) -> None:
        # Not SimmerSFTTrainer's, which is about FSDP.
        super(SimmerSFTTrainer, self).create_accelerator_and_postprocess()

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        with torch.serialization.safe_globals(_state_types()):
            prepared = super()._prepare_for_training(*args, **kwargs)
        self.accelerator.deepspeed_engine_wrapped = _Engine(self.deepspeed)
        return prepared

    def _clip_grad_norm(self, model: Any) -> None:
        """The engine clips as it steps."""

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # While the weights are still those that gave the loss.
        self.loop.gradient_norm = None
        self.loop.before_update(self)
        self.deepspeed.step()
        norm = self.deepspeed.get_global_grad_norm()
        self.loop.gradient_norm = None if norm is None else float(norm)
        if norm is not None and not math.isfinite(norm):
            # The engine has skipped the step: the weights are still those that gave it.
            self.loop.before_update(self)
        return self.loop.gradient_norm

    def before_update(self) -> None:
        """It was before the norm was known."""

    def write_state(self, folder: Path) -> None:
        self.save_model(str(folder), _internal_call=True)
        pause_point("checkpoint.weights")
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        # All ranks have written here, and each syncs what there is on its machine.
        sync_tree(folder)
        if self.group.is_leader:
            # Adapters do not bring it.
            self.model.generation_config.save_pretrained(folder)
            self.state.save_to_json(str(folder / "trainer_state.json"))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super(SimmerSFTTrainer, self)._load_optimizer_and_scheduler(checkpoint)

    def load_weights(self, checkpoint: Path) -> None:
        """Only what it told: the weights are read from there when the final model is made."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


class _Engine(accelerate_deepspeed.DeepSpeedEngineWrapper):  # type: ignore[misc]
    """Leaves the step to the trainer, which looks at the loss first."""

    def backward(self, loss: Any, sync_gradients: bool = True, **kwargs: Any) -> None:
        self.engine.set_gradient_accumulation_boundary(is_boundary=sync_gradients)
        self.engine.backward(loss, **kwargs)


def _state_types() -> list[Any]:
    """The classes in DeepSpeed's own checkpoints."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, DynamicLossScaler, ZeroStageEnum, fragment_address]


def whole_model(checkpoint: Path, dtype: Any, is_adapter: bool, load_base: Callable[[], Any]) -> Any:
    """The model of a checkpoint, in main memory: its weights as they are there, an adapter on a base loaded anew."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if is_adapter:
        return PeftModel.from_pretrained(load_base(), checkpoint)
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype or "auto", local_files_only=True)
