"""What to change where memory ran out, with the numbers of this job."""

from dataclasses import dataclass
from typing import Any

from simmer_trainer import describe
from simmer_trainer.adapted_modules import is_head_adapted
from simmer_trainer.batching import Batching
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

# What a decoder layer keeps for its backward pass, in elements a token and hidden unit: section 4.1 of arXiv 2205.05198
# without the scores of attention, which only eager attention keeps.
_ELEMENTS_KEPT = 17
# In float32: itself, its probability and its gradient.
_BYTES_A_LOGIT = 12


@dataclass(frozen=True)
class Sizes:
    """What the job keeps in memory, in bytes."""

    weights: int
    gradients: int
    optimizer: int
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
    # Under autocast, products leave two bytes an element.
    element = 2 if describe.choose_precision(parameters.precision) == pb.PRECISION_BFLOAT16 else 4
    a_layer = _ELEMENTS_KEPT * config.hidden_size * element
    layers = config.num_hidden_layers
    kept = a_layer + layers * config.hidden_size * element if parameters.gradient_checkpointing else layers * a_layer
    if needs_logits:
        kept += _BYTES_A_LOGIT * config.vocab_size
    return Sizes(
        weights=sum(weight.numel() * weight.element_size() for weight in weights),
        gradients=sum(weight.numel() * weight.element_size() for weight in trained),
        optimizer=2 * sum(weight.numel() * weight.element_size() for weight in trained),
        activations=batching.tokens_per_pass * kept,
    )


def advise(
    model: Any, batching: Batching, parameters: pb.Hyperparameters, longest: int, why: str, *, needs_logits: bool
) -> str:
    """@param longest tokens of the longest row @param why what ran out of memory said"""
    sizes = sizes_of(model, batching, parameters, needs_logits=needs_logits)
    memory = describe.device().memory_bytes
    place = f"{describe.device().model}" + (f" with {_gb(memory)}" if memory is not None else "")
    parts = (
        f"weights {_gb(sizes.weights)}, gradients {_gb(sizes.gradients)}, optimizer {_gb(sizes.optimizer)}, and about "
        f"{_gb(sizes.activations)} of activations for a pass of {batching.tokens_per_pass} tokens"
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
