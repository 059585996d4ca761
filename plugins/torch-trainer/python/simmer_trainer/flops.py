"""Floating-point operations of training, for the model FLOPs utilization (MFU) of the PaLM paper (arXiv 2204.02311)."""

from collections.abc import Iterable
from typing import Any

from simmer_trainer import describe
from simmer_trainer.data import TokenizedRow
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

# Dense bfloat16 products, from the vendors' data sheets. The first name that a device's begins with counts.
_PEAK_BFLOAT16 = {
    "NVIDIA B200": 2250e12,
    "NVIDIA GB200": 2500e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA GH200": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989.4e12,
    "NVIDIA H800": 989.4e12,
    "NVIDIA A100": 312e12,
    "NVIDIA A800": 312e12,
    "NVIDIA A10G": 70e12,
    "NVIDIA A10": 125e12,
    "NVIDIA A40": 149.7e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L40": 181e12,
    "NVIDIA L4": 121e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
    "NVIDIA GeForce RTX 3090": 71e12,
}


def peak_flops_per_second(precision: pb.Precision, *, devices: int = 1) -> float | None:
    """What so many devices like this one can do at most, by their vendor; None where unknown."""
    if precision != pb.PRECISION_BFLOAT16:
        return None
    name = describe.device().model
    return next((devices * peak for prefix, peak in _PEAK_BFLOAT16.items() if name.startswith(prefix)), None)


def count_parameters(model: Any, *, trained_only: bool = False) -> int:
    """Weights of a model; two of those in 4 bits lie in each byte."""
    return sum(
        weight.numel() * (2 if type(weight).__name__ == "Params4bit" else 1)
        for weight in model.parameters()
        if weight.requires_grad or not trained_only
    )


class TrainingFlops:
    """
    What the model itself takes, forward and backward; what is recomputed, or computed for padding, does not count. The
    head counts for trained tokens only, since it is applied to no others.
    """

    def __init__(self, model: Any, *, is_adapter: bool) -> None:
        config = model.config.get_text_config()
        head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
        size_of_head = head.shape[0] * head.shape[1]
        tables = size_of_head if head is embedding else size_of_head + embedding.shape[0] * embedding.shape[1]
        # Two operations a weight forward, two for the gradient of what came in, two for the weight's own.
        self._per_weight = 4 if is_adapter else 6
        self._body = count_parameters(model) - tables
        self._head = size_of_head
        # Layers may differ, as Gemma 4's do; then the config that all share does not say how wide they are.
        layers = getattr(config, "per_layer_config", None) or [config] * config.num_hidden_layers
        # Scores and values of the causal half: 2 s^2 forward, twice that backward.
        self._per_square = 6 * sum(_width_of_heads(layer) for layer in layers)

    def of(self, rows: Iterable[TokenizedRow]) -> float:
        """Operations of one pass over these rows."""
        total = 0.0
        for row in rows:
            length = len(row.token_ids)
            total += self._per_weight * (self._body * length + self._head * row.trained_tokens)
            total += self._per_square * length**2
        return total


def _width_of_heads(config: Any) -> int:
    """Of all of a layer's heads; Mamba has none."""
    heads: int = getattr(config, "num_attention_heads", 0)
    return heads * int(getattr(config, "head_dim", None) or config.hidden_size // max(1, heads))
