"""What to change where memory ran out, with the numbers of this job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simmer_trainer import describe
from simmer_trainer.adapted_modules import is_head_adapted
from simmer_trainer.batching import Batching
from simmer_trainer.errors import TrainingError, is_out_of_memory
from simmer_trainer.flops import experts_per_token, width_of_heads
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

# In float32: itself, its probability and its gradient.
_BYTES_A_LOGIT = 12


@dataclass(frozen=True)
class Sizes:
    """What the job keeps in memory, in bytes."""

    weights: int
    gradients: int
    optimizer: int
    # Of the weights in bfloat16, where autocast keeps them for a pass.
    copies: int
    # Of one forward pass at its largest, as estimated.
    activations: int


def sizes_of(model: Any, batching: Batching, parameters: pb.Hyperparameters, *, needs_logits: bool) -> Sizes:
    """
    Weights, gradients and AdamW's two moments as they are; activations by the shape of the model. @param needs_logits
    whether the loss takes those of a whole pass at once
    """
    weights = list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    config = model.config.get_text_config()
    is_half = describe.choose_precision(parameters.precision) == pb.PRECISION_BFLOAT16
    # FSDP gathers weights in their type instead.
    cast = [one for one in trained if is_half and one.element_size() == 4 and not hasattr(one, "device_mesh")]
    is_cast = bool(cast) and parameters.method == pb.METHOD_FULL
    a_layer = _kept_by_layer(config, 2 if is_half else 4, is_cast=is_cast)
    layers = config.num_hidden_layers
    between = layers * config.hidden_size * (2 if is_half and not is_cast else 4)
    kept = a_layer + between if parameters.gradient_checkpointing else layers * a_layer
    if needs_logits:
        kept += _BYTES_A_LOGIT * config.vocab_size
    return Sizes(
        weights=sum(weight.numel() * weight.element_size() for weight in weights),
        gradients=sum(weight.numel() * weight.element_size() for weight in trained),
        optimizer=2 * sum(weight.numel() * weight.element_size() for weight in trained),
        copies=2 * sum(weight.numel() for weight in cast) if is_cast else 0,
        activations=batching.tokens_per_pass * kept,
    )


def _kept_by_layer(config: Any, element: int, *, is_cast: bool) -> int:
    """
    Bytes a token that a decoder layer keeps for its backward pass, without the scores of attention, which only eager
    attention keeps: as `simmer plan` counts them (training-memory.ts).
    """
    hidden, queries = config.hidden_size, width_of_heads(config)
    heads = max(1, getattr(config, "num_attention_heads", None) or 1)
    keys = queries * (getattr(config, "num_key_value_heads", None) or heads) // heads
    values = 4 * hidden + 2 * queries + 2 * keys + 4 * _width_of_mlp(config)
    # Norms keep their inputs in float32. Under autocast each product of a norm's result has its own copy of it, and
    # queries and keys are rotated in float32.
    in_float32 = 2 * hidden + (queries + keys if is_cast else 0)
    kept: int = (values + (3 * hidden if is_cast else 0)) * element + 4 * in_float32
    return kept


def _width_of_mlp(config: Any) -> int:
    """Of what a token goes through in a layer."""
    experts = experts_per_token(config)
    names = (*(["moe_intermediate_size"] if experts else []), "intermediate_size", "ffn_dim", "n_inner")
    found = next((size for name in names if (size := getattr(config, name, None))), 4 * config.hidden_size)
    # Of some models each layer has its own.
    return max(1, experts) * int(found if isinstance(found, int) else max(found))


@contextmanager
def with_advice(
    model: Any, batching: Batching, parameters: pb.Hyperparameters, longest: int, *, needs_logits: bool
) -> Iterator[None]:
    """Raises TrainingError out_of_memory, with what to change, where memory runs out inside."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        message = advise(model, batching, parameters, longest, why, needs_logits=needs_logits)
        raise TrainingError("out_of_memory", message) from error


def advise(
    model: Any, batching: Batching, parameters: pb.Hyperparameters, longest: int, why: str, *, needs_logits: bool
) -> str:
    """@param longest tokens of the longest row @param why what ran out of memory said"""
    sizes = sizes_of(model, batching, parameters, needs_logits=needs_logits)
    memory = describe.device().memory_bytes
    place = f"{describe.device().model}" + (f" with {_gb(memory)}" if memory is not None else "")
    parts = (
        f"weights {_gb(sizes.weights)}, gradients {_gb(sizes.gradients)}, optimizer {_gb(sizes.optimizer)}, "
        + (f"copies of the weights in bfloat16 {_gb(sizes.copies)}, " if sizes.copies else "")
        + f"and about {_gb(sizes.activations)} of activations for a pass of {batching.tokens_per_pass} tokens"
    )
    ways = list(_ways(model, batching, parameters, longest, sizes, needs_logits))
    return f"Memory ran out on {place} ({why}). This job takes {parts}. To take less: {'; '.join(ways)}."


def _ways(
    model: Any, batching: Batching, parameters: pb.Hyperparameters, longest: int, sizes: Sizes, needs_logits: bool
) -> Any:
    rows = max(1, batching.tokens_per_pass // longest)
    if rows > 1:
        saved = sizes.activations * (rows - rows // 2) // rows
        yield f"deviceBatchSize: {rows // 2} (now up to {rows} rows of {longest} tokens; saves about {_gb(saved)})"
    if not parameters.gradient_checkpointing:
        with_it = pb.Hyperparameters()
        with_it.CopyFrom(parameters)
        with_it.gradient_checkpointing = True
        saved = sizes.activations - sizes_of(model, batching, with_it, needs_logits=needs_logits).activations
        yield f"gradientCheckpointing: true (saves about {_gb(saved)}, and takes about a third longer)"
    if needs_logits and is_head_adapted(parameters, model):
        saved = _BYTES_A_LOGIT * model.config.get_text_config().vocab_size * batching.tokens_per_pass
        yield f"lora.targetModules without the head (saves the logits of a pass, about {_gb(saved)})"
    if rows == 1 and longest > 512:
        yield (
            f"maxSequenceLength: {longest // 2} (the longest row has {longest} tokens; saves about "
            f"{_gb(sizes.activations // 2)}, and cuts longer rows)"
        )
    if parameters.method == pb.METHOD_FULL:
        saved = (sizes.gradients + sizes.optimizer) * 98 // 100
        yield f"method: lora (saves nearly all of gradients and optimizer, about {_gb(saved)})"
    elif parameters.method == pb.METHOD_LORA:
        yield f"method: qlora (weights in 4 bits; saves about {_gb(sizes.weights * 7 // 10)})"
    yield "or more devices, over which sharding spreads weights, gradients and optimizer"


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
