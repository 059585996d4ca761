"""Which kernels compute a training: chosen by what the machine and the environment have, and told."""

import importlib.util
from typing import Any

from simmer_trainer import describe
from simmer_trainer.errors import refused
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import Extensions
from simmer_trainer.models import caps_scores, sdpa_unavailable
from simmer_trainer.packed_attention import NAME as PACKED
from simmer_trainer.packed_attention import find_varlen_kernel, register


def choose_attention(extensions: Extensions, *, precision: pb.Precision, packing: bool) -> str | None:
    """
    As transformers names it; None: SDPA, or eager where that cannot compute the model's. Raises RequestError
    kernel_unavailable where what is asked for is not there.
    """
    attention: str | None = extensions.attention
    if extensions.attention == "auto":
        attention = _fastest_attention(precision, packing)
    elif extensions.attention.startswith("flash_attention"):
        _check_flash_attention(extensions.attention, precision)
    if attention == PACKED:
        register()
    return attention


def check_attention(extensions: Extensions, model: Any) -> None:
    """Raises RequestError kernel_unavailable where what is asked for would compute something else than the model's."""
    if extensions.attention == "sdpa" and caps_scores(model):
        raise sdpa_unavailable(f"it leaves out the cap that {type(model).__name__} has on the scores of attention")


def choose_liger(extensions: Extensions, *, precision: pb.Precision, model_type: str, has_adapted_head: bool) -> bool:
    """Whether Liger's kernels are used. Raises RequestError kernel_unavailable where they are asked for in vain."""
    if extensions.kernels == "torch":
        return False
    missing = (
        "its loss would pass the adapter of the head by"
        if has_adapted_head
        else _what_liger_lacks(precision, model_type)
    )
    if missing is not None and extensions.kernels == "liger":
        raise refused("kernel_unavailable", f'extensions.kernels "liger" is not available: {missing}. Use "auto".')
    return missing is None


def attention_in_words(attention: str, precision: pb.Precision) -> str:
    """What computes attention, for people."""
    if attention != PACKED:
        return attention
    if _is_on_gpu() and precision == pb.PRECISION_BFLOAT16 and find_varlen_kernel() is not None:
        return "torch varlen_attn"
    return "sdpa, row by row"


def _fastest_attention(precision: pb.Precision, packing: bool) -> str | None:
    if _is_on_gpu() and precision == pb.PRECISION_BFLOAT16:
        for name in ("flash_attention_3", "flash_attention_2"):
            if _has_flash_attention(name):
                return name
    return PACKED if packing else None


def _check_flash_attention(name: str, precision: pb.Precision) -> None:
    if not _is_on_gpu():
        why = f"it needs a GPU, and this trainer runs on {describe.device().name}"
    elif precision != pb.PRECISION_BFLOAT16:
        why = "it needs precision bfloat16"
    elif not _has_flash_attention(name):
        why = "its package is not in the trainer's Python environment"
    else:
        return
    raise refused("kernel_unavailable", f'extensions.attention "{name}" is not available: {why}. Use "auto".')


def _has_flash_attention(name: str) -> bool:
    from transformers import utils

    available = {
        "flash_attention_2": utils.is_flash_attn_2_available,
        "flash_attention_3": utils.is_flash_attn_3_available,
    }
    return bool(available[name]())


def _what_liger_lacks(precision: pb.Precision, model_type: str) -> str | None:
    if not _is_on_gpu():
        return f"its Triton kernels need a GPU, and this trainer runs on {describe.device().name}"
    if precision != pb.PRECISION_BFLOAT16:
        return "it is used in precision bfloat16 only"
    if importlib.util.find_spec("liger_kernel") is None:
        return "the package liger-kernel is not in the trainer's Python environment"
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    if model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        return f"it has no kernels for models of type {model_type}"
    return None


def _is_on_gpu() -> bool:
    return describe.device().name.startswith("cuda")
