"""Checks what StartTraining asks for, before the attempt is accepted."""

import json
import math
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from simmer_trainer.errors import invalid
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.quantization import check_quantization

EXTENSIONS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "groupByLength": {
            "type": "boolean",
            "default": True,
            "description": "Put rows of similar length into one batch: less padding, and batches that are less mixed. "
            "Off by default with packing, which needs no padding.",
        },
        "weights": {
            "enum": ["float32", "bfloat16"],
            "default": "float32",
            "description": "Type of the weights while they are trained in precision bfloat16. float32 keeps small "
            "updates that bfloat16 rounds away; bfloat16 takes half the memory.",
        },
        "attention": {
            "enum": ["auto", "sdpa", "eager", "flash_attention_2", "flash_attention_3"],
            "default": "auto",
            "description": "How attention is computed. auto: FlashAttention where it is installed and the device is a "
            "GPU, else SDPA, or eager where SDPA is not what the model computes; with packing, row by row.",
        },
        "kernels": {
            "enum": ["auto", "liger", "torch"],
            "default": "auto",
            "description": "Who computes norms, rotations and the loss. auto: Liger's fused kernels on a GPU where "
            "liger-kernel is installed, else PyTorch.",
        },
    },
}


@dataclass(frozen=True)
class Extensions:
    """What this trainer adds to the hyperparameters."""

    # None: as fits.
    group_by_length: bool | None = None
    weights: str = "float32"
    attention: str = "auto"
    kernels: str = "auto"


def parse_extensions(message: Struct) -> Extensions:
    values: dict[str, Any] = json_format.MessageToDict(message)
    properties = EXTENSIONS_SCHEMA["properties"]
    for key, value in values.items():
        if key not in properties:
            raise invalid("extension_unknown", f"extensions.{key} is unknown; there are {', '.join(properties)}.")
        allowed = properties[key].get("enum", [True, False])
        if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
            raise invalid(
                "extension_invalid", f"extensions.{key} is {json.dumps(value)}, not one of {json.dumps(allowed)}."
            )
    return Extensions(
        group_by_length=values.get("groupByLength"),
        weights=values.get("weights", "float32"),
        attention=values.get("attention", "auto"),
        kernels=values.get("kernels", "auto"),
    )


def check_hyperparameters(parameters: pb.Hyperparameters, has_evaluation_data: bool) -> None:
    """Raises RequestError for what can never work, naming the field."""
    for name in ("learning_rate", "adam_epsilon"):
        _require(getattr(parameters, name) > 0, f"{name} must be above 0")
    for name in ("adam_beta1", "adam_beta2"):
        _require(0 <= getattr(parameters, name) < 1, f"{name} must be at least 0 and below 1")
    _require(0 <= parameters.warmup_ratio <= 1, "warmup_ratio must be from 0 to 1")
    _require(parameters.weight_decay >= 0, "weight_decay must not be negative")
    _require(parameters.max_gradient_norm >= 0, "max_gradient_norm must not be negative")
    for field, value in parameters.ListFields():
        if isinstance(value, float):
            _require(math.isfinite(value), f"{field.name} must be finite")
    _require(parameters.global_batch_size >= 1, "global_batch_size must be at least 1")
    _require(parameters.max_sequence_length >= 2, "max_sequence_length must be at least 2")
    _require(parameters.log_every_steps >= 1, "log_every_steps must be at least 1")
    if parameters.HasField("max_steps"):
        _require(parameters.max_steps >= 1, "max_steps must be at least 1")
    else:
        _require(parameters.epochs > 0, "epochs must be above 0 where max_steps is not set")
    if parameters.HasField("device_batch_size"):
        _require(parameters.device_batch_size >= 1, "device_batch_size must be at least 1")
        _require(
            parameters.global_batch_size % parameters.device_batch_size == 0,
            f"global_batch_size {parameters.global_batch_size} must be a multiple of device_batch_size "
            f"{parameters.device_batch_size}",
        )
    _require(parameters.evaluate_every_steps == 0 or has_evaluation_data, "evaluate_every_steps needs evaluation_data")
    _require(
        parameters.early_stopping_patience == 0 or parameters.evaluate_every_steps > 0,
        "early_stopping_patience needs evaluate_every_steps",
    )
    _require(not parameters.keep_best or parameters.evaluate_every_steps > 0, "keep_best needs evaluate_every_steps")
    for name in ("early_stopping_min_improvement", "checkpoint_every_seconds"):
        _require(getattr(parameters, name) >= 0, f"{name} must not be negative")
    _require(not parameters.HasField("max_loss_rise") or parameters.max_loss_rise > 0, "max_loss_rise must be above 0")
    _require(parameters.schedule != pb.LEARNING_RATE_SCHEDULE_UNSPECIFIED, "schedule is not set")
    _check_method(parameters)


def _check_method(parameters: pb.Hyperparameters) -> None:
    _require(parameters.method != pb.METHOD_UNSPECIFIED, "method is not set")
    if parameters.method == pb.METHOD_QLORA:
        check_quantization()
    if is_adapter(parameters.method):
        _require(parameters.HasField("lora"), f"lora is not set, and method is {pb.Method.Name(parameters.method)}")
        _require(parameters.lora.rank >= 1, "lora.rank must be at least 1")
        _require(parameters.lora.alpha > 0, "lora.alpha must be above 0")
        _require(0 <= parameters.lora.dropout < 1, "lora.dropout must be at least 0 and below 1")


def is_adapter(method: pb.Method) -> bool:
    """Whether an adapter is trained, over weights that stay as they are."""
    return method in (pb.METHOD_LORA, pb.METHOD_QLORA)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise invalid("hyperparameters_invalid", f"hyperparameters: {message}.")
