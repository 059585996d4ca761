"""Which modules of a model an adapter is put on."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simmer_trainer.errors import invalid, shorten
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import is_adapter

# Mamba's kernels take the weights past an adapter, so that PEFT refuses them. It does not find those of Laguna's shared
# experts again as it reads an adapter. The others give something else than the linear layers for which PEFT takes them.
_NOT_ADAPTABLE = {
    **dict.fromkeys(("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"), ("out_proj", "conv1d")),
    "deepseek_v4": ("o_a_proj",),
    "laguna": ("shared_experts.gate_proj", "shared_experts.up_proj", "shared_experts.down_proj"),
    "llama4_text": ("router",),
    "phimoe": ("router",),
}

_LAYER = re.compile(r".*\.\d+\.")


def not_adaptable(model_type: str) -> tuple[str, ...]:
    """How the names of those linear modules of a model end that no adapter can be put on."""
    return _NOT_ADAPTABLE.get(model_type, ())


def check_target_modules(parameters: pb.Hyperparameters, model: Any) -> None:
    """
    Raises RequestError hyperparameters_invalid where a name is none of the model's, which PEFT passes over if others
    are, or of a module that has no matrix, and where an adapter could not be merged into weights that are shared.
    """
    if not is_adapter(parameters.method):
        return
    refused = not_adaptable(model.config.get_text_config().model_type)
    unknown = [
        target
        for target in parameters.lora.target_modules
        if _last_name(target) in refused or not _has_matrices(model, target)
    ]
    if unknown:
        raise invalid(
            "hyperparameters_invalid",
            f"hyperparameters: lora.target_modules has {shorten(unknown)}, which is no module of this model that an "
            f"adapter can be put on; its linear ones are {', '.join(sorted(_linear_modules(model) - set(refused)))}.",
        )
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    shared = [target for layer in (table, head) if (target := _target_of(parameters, model, layer)) is not None]
    if shared and head.weight is table.weight:
        raise invalid(
            "hyperparameters_invalid",
            f"hyperparameters: lora.target_modules has {shorten(shared)}, and this model's head and its table of "
            "tokens are one: merged, an adapter of either would change both. Leave it out, or use METHOD_FULL.",
        )


def without_adapter(model: Any, targets: Sequence[str]) -> list[str]:
    """
    How the names of those linear modules, and weights of experts, end that stay as they are beside an adapter: where
    PEFT puts one on a model's experts, on its dense layers of the same name, for example. Without the head.
    @param targets of which names; empty: of all
    """
    from torch.nn import Linear

    head = model.get_output_embeddings()
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear) and module is not head]
    experts = [name for name, weight in model.named_parameters() if weight.dim() > 2 and ".experts." in name]
    plain = [name for name in (*linear, *experts) if "lora_" not in name and ".base_layer" not in name]
    if targets:
        plain = [name for name in plain if any(_is_named(name, target) for target in targets)]
    # Without the numbers of layers.
    return sorted({_LAYER.sub("", name) for name in plain})


@contextmanager
def refusals_of_experts() -> Iterator[None]:
    """
    Raises RequestError hyperparameters_invalid for what PEFT cannot do with experts whose weights are one tensor, which
    it says only as it puts the adapter on them.
    """
    try:
        yield
    except ValueError as error:
        if "lora_dropout" in str(error):
            why = "lora.dropout must be 0: this model's experts are one tensor, and PEFT has no dropout before that"
        elif "PEFT target" in str(error):
            why = f"lora.target_modules names a part of experts that are one tensor. {str(error).rstrip('.')}"
        else:
            raise
        raise invalid("hyperparameters_invalid", f"hyperparameters: {why}.") from error


def is_head_adapted(parameters: pb.Hyperparameters, model: Any) -> bool:
    """Whether logits come out of an adapter."""
    return is_adapter(parameters.method) and _target_of(parameters, model, model.get_output_embeddings()) is not None


def check_can_be_read(model: Any) -> None:
    """Raises RequestError hyperparameters_invalid where PEFT would not find all of an adapter as it reads it again."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    missing = set(set_peft_model_state_dict(model, get_peft_model_state_dict(model)).missing_keys)
    lost = sorted(name for name, weight in model.named_parameters() if weight.requires_grad and name in missing)
    if lost:
        raise invalid(
            "hyperparameters_invalid",
            f"hyperparameters: PEFT would not read {shorten(lost, 2)} again from a checkpoint. Leave these modules out "
            "of lora.target_modules, or use METHOD_FULL.",
        )


def check_is_read(model: Any, folder: Path) -> None:
    """
    Raises RequestError adapter_invalid where a model has other weights in its adapter than the folder from which they
    were read. PEFT reads them by the names that transformers has for the model's files, and only warns where these lead
    to no module of the model's.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    read = get_peft_model_state_dict(model)
    written = load_file(folder / "adapter_model.safetensors")
    lost = sorted(name for name, weight in written.items() if name in read and not _is_same(weight, read[name]))
    if lost:
        raise invalid(
            "adapter_invalid",
            f"PEFT does not read {shorten(lost, 2)} of {folder} again as it was written. Leave these modules out of "
            "lora.target_modules, or use METHOD_FULL.",
        )


def _is_same(weight: Any, other: Any) -> bool:
    return bool(weight.to(other.device, other.dtype).equal(other))


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


def _linear_modules(model: Any) -> set[str]:
    from torch.nn import Linear

    return {_last_name(name) for name, module in model.named_modules() if isinstance(module, Linear)}


def _last_name(name: str) -> str:
    return name.rpartition(".")[2]
