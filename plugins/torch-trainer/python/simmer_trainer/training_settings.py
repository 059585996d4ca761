"""What transformers, TRL and PEFT are told of a training's hyperparameters."""

import math
from pathlib import Path
from typing import Any

from simmer_trainer import describe, zero
from simmer_trainer.adapted_modules import not_adaptable
from simmer_trainer.batching import Batching
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import Extensions, is_adapter
from simmer_trainer.models import torch_type
from simmer_trainer.rank_group import RankGroup

_SCHEDULES = {
    pb.LEARNING_RATE_SCHEDULE_COSINE: "cosine",
    pb.LEARNING_RATE_SCHEDULE_LINEAR: "linear",
    pb.LEARNING_RATE_SCHEDULE_CONSTANT: "constant_with_warmup",
}
# Rows come tokenized, packed and in their order; the loop logs, saves and evaluates.
_DONE_BY_SIMMER = {
    "max_length": None,
    "packing": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    # A loss that is not finite must be seen, not averaged away.
    "logging_nan_inf_filter": False,
    "logging_strategy": "no",
    "save_strategy": "no",
    "eval_strategy": "no",
    # What the model gives is the loss.
    "loss_type": "nll",
    "report_to": "none",
    "disable_tqdm": True,
    "dataloader_num_workers": 0,
}


def weights_type(parameters: pb.Hyperparameters, extensions: Extensions, precision: pb.Precision) -> Any:
    """The type in which weights are loaded."""
    # Weights that stay as they are need no room for small updates.
    are_frozen = is_adapter(parameters.method)
    return torch_type(precision if extensions.weights == "bfloat16" or are_frozen else pb.PRECISION_FLOAT32)


def training_arguments(
    parameters: pb.Hyperparameters,
    extensions: Extensions,
    precision: pb.Precision,
    batching: Batching,
    total_steps: int,
    output_folder: Path,
    group: RankGroup,
) -> Any:
    """TRL's arguments, of which ours are all that matter to a run."""
    from trl import SFTConfig

    is_cpu = describe.device().name == "cpu"
    # Over weights in float32, products in bfloat16 are a matter of autocast.
    uses_autocast = precision == pb.PRECISION_BFLOAT16 and extensions.weights == "float32"
    settings: dict[str, Any] = {
        "output_dir": str(output_folder),
        "per_device_train_batch_size": batching.sequences_per_pass,
        "gradient_accumulation_steps": batching.accumulated_passes,
        "max_steps": total_steps,
        "learning_rate": parameters.learning_rate,
        "lr_scheduler_type": _SCHEDULES[parameters.schedule],
        "warmup_steps": math.ceil(parameters.warmup_ratio * total_steps),
        "adam_beta1": parameters.adam_beta1,
        "adam_beta2": parameters.adam_beta2,
        "adam_epsilon": parameters.adam_epsilon,
        "weight_decay": parameters.weight_decay,
        "max_grad_norm": parameters.max_gradient_norm,
        "optim": "adamw_torch" if describe.device().name == "mps" else "adamw_torch_fused",
        "bf16": uses_autocast,
        "use_cpu": is_cpu,
        "dataloader_pin_memory": not is_cpu,
        # Sharded layers are recomputed by accelerate, around the shards.
        "gradient_checkpointing": parameters.gradient_checkpointing and group.size == 1,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if parameters.gradient_checkpointing else None,
        # Gradients that wait for the rest of a step wait as shards.
        "accelerator_config": {
            "gradient_accumulation_kwargs": {"sync_each_batch": group.size > 1},
            # While the GPU still works at the step before. Apple's may then read what is not there yet.
            "non_blocking": describe.device().name.startswith("cuda"),
        },
        # A loss of how evenly a pass loads a model's experts depends on which rows share it, and adds up over passes.
        "router_aux_loss_coef": 0.0,
        "pad_token": parameters.pad_token if parameters.HasField("pad_token") else None,
        "seed": parameters.seed % 2**32,
        **_DONE_BY_SIMMER,
    }
    if zero.is_on():
        from simmer_trainer import zero_trainer

        settings |= zero_trainer.arguments(
            bfloat16=precision == pb.PRECISION_BFLOAT16, gradient_checkpointing=parameters.gradient_checkpointing
        )
    return SFTConfig(**settings)


def peft_config(parameters: pb.Hyperparameters, model_type: str) -> Any:
    """The adapter that is trained; None: there is none."""
    if not is_adapter(parameters.method):
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=parameters.lora.rank,
        lora_alpha=parameters.lora.alpha,
        lora_dropout=parameters.lora.dropout,
        target_modules=list(parameters.lora.target_modules) or "all-linear",
        exclude_modules=None if parameters.lora.target_modules else list(not_adaptable(model_type)) or None,
        task_type="CAUSAL_LM",
    )
