"""Which modules of a model an adapter is put on."""

from typing import Any

from simmer_trainer.errors import invalid, shorten
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import is_adapter


def check_target_modules(parameters: pb.Hyperparameters, model: Any) -> None:
    """
    Raises RequestError hyperparameters_invalid where a name is none of the model's, which PEFT passes over if others
    are, or of a module that has no matrix, and where an adapter could not be merged into weights that are shared.
    """
    if not is_adapter(parameters.method):
        return
    unknown = [target for target in parameters.lora.target_modules if not _has_matrices(model, target)]
    if unknown:
        raise invalid(
            "hyperparameters_invalid",
            f"hyperparameters: lora.target_modules has {shorten(unknown)}, which is no module of this model that an "
            f"adapter can be put on; its linear ones are {', '.join(_linear_modules(model))}.",
        )
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    shared = [target for layer in (table, head) if (target := _target_of(parameters, model, layer)) is not None]
    if shared and head.weight is table.weight:
        raise invalid(
            "hyperparameters_invalid",
            f"hyperparameters: lora.target_modules has {shorten(shared)}, and this model's head and its table of "
            "tokens are one: merged, an adapter of either would change both. Leave it out, or use METHOD_FULL.",
        )


def is_head_adapted(parameters: pb.Hyperparameters, model: Any) -> bool:
    """Whether logits come out of an adapter."""
    return is_adapter(parameters.method) and _target_of(parameters, model, model.get_output_embeddings()) is not None


def _target_of(parameters: pb.Hyperparameters, model: Any, layer: Any) -> str | None:
    """What names the layer."""
    (name,) = (name for name, module in model.named_modules() if module is layer)
    return next((target for target in parameters.lora.target_modules if _is_named(name, target)), None)


def _is_named(name: str, target: str) -> bool:
    """As PEFT reads a list of names."""
    return name == target or name.endswith(f".{target}")


def _has_matrices(model: Any, target: str) -> bool:
    """Whether it names modules, each with a matrix: blocks have none of their own, and norms have a vector."""
    weights = [getattr(module, "weight", None) for name, module in model.named_modules() if _is_named(name, target)]
    return bool(weights) and all(weight is not None and weight.dim() > 1 for weight in weights)


def _linear_modules(model: Any) -> list[str]:
    from torch.nn import Linear

    return sorted({name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, Linear)})
