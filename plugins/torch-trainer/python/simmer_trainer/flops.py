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
    "NVIDIA H200 NVL": 835.5e12,
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

# In configs.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN = ("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts")
_WITHOUT_ATTENTION = {"linear_attention", "conv", "mamba", "recurrent", "mlp", "moe"}


def peak_flops_per_second(precision: pb.Precision, *, devices: int = 1) -> float | None:
    """What so many devices like this one can do at most, by their vendor; None where unknown."""
    if precision != pb.PRECISION_BFLOAT16:
        return None
    name = describe.device().model
    return next((devices * peak for prefix, peak in _PEAK_BFLOAT16.items() if name.startswith(prefix)), None)


def count_parameters(model: Any, *, trained_only: bool = False) -> int:
    """Weights of a model."""
    return sum(_size_of(weight) for weight in model.parameters() if weight.requires_grad or not trained_only)


def _size_of(weight: Any) -> int:
    """Two values in 4 bits lie in each byte."""
    return int(weight.numel()) * (2 if type(weight).__name__ == "Params4bit" else 1)


class TrainingFlops:
    """
    What the model itself takes, forward and backward; what is recomputed, or computed for padding, does not count. The
    head counts for trained tokens only, since it is applied to no others, and of experts those that a token goes to.
    """

    def __init__(self, model: Any, *, is_adapter: bool) -> None:
        from torch.nn import Embedding

        config = model.config.get_text_config()
        head = model.get_output_embeddings().weight
        size_of_head = head.shape[0] * head.shape[1]
        # Rows of tables are looked up, also those of Gemma 3n's layers.
        tables = {module.weight for module in model.modules() if isinstance(module, Embedding)} | {head}
        # Two operations a weight forward, two for the gradient of what came in, two for the weight's own.
        self._per_weight = 4 if is_adapter else 6
        self._body = count_parameters(model) - sum(_size_of(table) for table in tables) - _idle_experts(model, config)
        self._head = size_of_head
        # Layers may differ, as Gemma 4's do; then the config that all share does not say how wide they are.
        layers = getattr(config, "per_layer_config", None) or [config] * config.num_hidden_layers
        named = (getattr(config, name, None) for name in ("layer_types", "layers_block_type"))
        kinds = next((kinds for kinds in named if kinds), ["full_attention"] * len(layers))
        # Scores and values of the causal half: 2 s^2 forward, twice that backward. Not all layers of hybrids have them.
        self._per_square = 6 * sum(
            width_of_heads(layer) for layer, kind in zip(layers, kinds, strict=False) if kind not in _WITHOUT_ATTENTION
        )

    def of(self, rows: Iterable[TokenizedRow]) -> float:
        """Operations of one pass over these rows."""
        total = 0.0
        for row in rows:
            length = len(row.token_ids)
            total += self._per_weight * (self._body * length + self._head * row.trained_tokens)
            total += self._per_square * length**2
        return total


def experts_per_token(config: Any) -> int:
    """0: there are none."""
    return _number(config, _EXPERTS_PER_TOKEN)


def _number(config: Any, names: Iterable[str]) -> int:
    """By whichever of these names a config has it."""
    return next((number for name in names if (number := getattr(config, name, None))), 0)


def _idle_experts(model: Any, config: Any) -> int:
    """Weights of the experts that a token does not go to."""
    count, chosen = _number(config, _EXPERTS), experts_per_token(config)
    if not count or not chosen:
        return 0
    # Most models have all experts of a layer in one tensor.
    experts = sum(
        _size_of(weight)
        for name, weight in model.named_parameters()
        if ".experts." in name or (weight.dim() == 3 and weight.shape[0] == count)
    )
    return round(experts * (count - chosen) / count)


def width_of_heads(config: Any) -> int:
    """Of all of a layer's heads; Mamba has none."""
    heads: int = getattr(config, "num_attention_heads", 0)
    return heads * int(getattr(config, "head_dim", None) or config.hidden_size // max(1, heads))
