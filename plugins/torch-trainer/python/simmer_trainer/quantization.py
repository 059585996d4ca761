"""Weights in 4 bits, for QLoRA (arXiv 2305.14314), by bitsandbytes where it is installed."""

import importlib.util
from typing import Any

from simmer_trainer.errors import refused
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


def check_quantization() -> None:
    """Raises RequestError method_unsupported where bitsandbytes is not there."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise refused(
            "method_unsupported",
            "METHOD_QLORA is not available: bitsandbytes is not in the trainer's Python environment. Install it there, "
            "or use METHOD_LORA.",
        )


def four_bits(precision: pb.Precision) -> Any:
    """NF4, its constants quantized again, as in the paper; products in the precision of the training."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if precision == pb.PRECISION_BFLOAT16 else torch.float32,
    )


def keep_layout(model: Any) -> None:
    """
    Has weights in 4 bits stay as they were made. At the first evaluation on a CPU with AVX512-BF16, bitsandbytes would
    lay them out anew for products without gradients, also in the steps after it, and fail where a width is no multiple
    of 32.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
