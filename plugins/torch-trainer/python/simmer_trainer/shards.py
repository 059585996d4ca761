"""Reads checkpoints of several ranks, whose weights and optimizer are shards, in one process."""

from itertools import chain
from pathlib import Path
from typing import Any

from simmer_trainer.errors import cause_of, invalid
from simmer_trainer.weight_types import types_of

_WEIGHTS = "pytorch_model_fsdp_0"
_OPTIMIZER = "optimizer_0"


def is_sharded(checkpoint: Path) -> bool:
    """Whether a checkpoint's weights are shards."""
    return (checkpoint / _WEIGHTS).is_dir()


def named_weights(model: Any) -> dict[str, Any]:
    """What a checkpoint holds of a model: all weights, or those of its adapter. They share the model's memory."""
    from peft import PeftModel, get_peft_model_state_dict

    state: dict[str, Any] = get_peft_model_state_dict(model) if isinstance(model, PeftModel) else model.state_dict()
    return state


def load_shards(model: Any, checkpoint: Path) -> None:
    """Reads a sharded checkpoint's weights into a whole model."""
    _read_shards({"model": named_weights(model)}, checkpoint / _WEIGHTS)


def load_optimizer_shards(model: Any, optimizer: Any, checkpoint: Path) -> None:
    """Reads a sharded checkpoint's optimizer into that of a whole model."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    state = {"optimizer": get_optimizer_state_dict(model, optimizer)}
    _read_shards(state, checkpoint / _OPTIMIZER)
    set_optimizer_state_dict(model, optimizer, state["optimizer"])


def model_of_shards(checkpoint: Path, dtype: Any, attention: str | None) -> Any:
    """The model of a sharded checkpoint. @param dtype a torch type, or "auto" for the one that it has there"""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.from_pretrained(checkpoint, local_files_only=True)
    kind = (config.dtype or torch.float32) if dtype == "auto" else dtype
    # What is drawn is written over.
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=kind, attn_implementation=attention)
    type_of, saved = types_of(model, kind), model.state_dict().keys()
    for name, weight in chain(model.named_parameters(), model.named_buffers()):
        if name in saved:
            weight.data = weight.data.to(type_of(name, weight))
    load_shards(model, checkpoint)
    model.generation_config = GenerationConfig.from_pretrained(checkpoint, local_files_only=True)
    return model


def adapter_of_shards(base: Any, checkpoint: Path) -> Any:
    """A base with the adapter of a sharded checkpoint on it."""
    from peft import PeftConfig, get_peft_model

    adapted = get_peft_model(base, PeftConfig.from_pretrained(str(checkpoint)))
    load_shards(adapted, checkpoint)
    return adapted


def _read_shards(state: dict[str, Any], folder: Path) -> None:
    """Fills the tensors that are given, in this process alone."""
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.state_dict_loader import load

    try:
        load(state, storage_reader=FileSystemReader(folder), no_dist=True)
    except CheckpointException as error:
        # It is no Exception, and whoever called for a model would never be answered.
        why = f"{folder.parent} cannot be read: use another one ({cause_of(error)})"
        raise invalid("checkpoint_invalid", why) from error
