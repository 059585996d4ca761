"""FSDP2 for several ranks, by accelerate: its settings, and the way between sharded and whole weights."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simmer_trainer import zero
from simmer_trainer.errors import TrainingError
from simmer_trainer.models import saved_weights
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.shards import named_weights
from simmer_trainer.weight_types import types_of

# Where the launcher's side says which settings to use.
ACCELERATE_CONFIG = "SIMMER_ACCELERATE_CONFIG"
# accelerate's own variables: full shard, a unit a decoder layer, checkpoints of shards, weights read once a node.
_DEFAULTS = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    "FSDP_SYNC_MODULE_STATES": "true",
    "FSDP_ACTIVATION_CHECKPOINTING": "false",
}


@contextmanager
def sharded(group: RankGroup, *, recompute_activations: bool) -> Iterator[None]:
    """Has accelerate and transformers shard what is loaded and trained inside. Nothing for one rank alone."""
    if group.size == 1:
        yield
        return
    variables = settings(os.environ.get(ACCELERATE_CONFIG))
    if recompute_activations and "FSDP_VERSION" in variables:
        variables["FSDP_ACTIVATION_CHECKPOINTING"] = "true"
    former = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        zero.forget()
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def settings(config_file: str | None) -> dict[str, str]:
    """What `accelerate launch --config_file` would set, or our own. Raises TrainingError accelerate_config_invalid."""
    if config_file is None:
        return dict(_DEFAULTS)
    variables = _read_config(Path(config_file))
    if "FSDP_VERSION" not in variables:
        return variables
    if variables.get("FSDP_VERSION") != "2":
        raise _invalid(config_file, "fsdp_version is not 2, the only one that this trainer shards with")
    if variables["FSDP_STATE_DICT_TYPE"] != "SHARDED_STATE_DICT":
        raise _invalid(config_file, "fsdp_state_dict_type is not SHARDED_STATE_DICT: checkpoints are of shards")
    return variables


def _read_config(file: Path) -> dict[str, str]:
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    if not file.is_file():
        raise _invalid(str(file), "there is no such file")
    try:
        asked = launch_command_parser().parse_args(["--config_file", str(file), "simmer_trainer"])
        arguments, _, _ = _validate_launch_command(asked)
    except (ValueError, KeyError, TypeError) as error:
        raise _invalid(str(file), str(error)) from error
    if arguments.use_deepspeed:
        return zero.settings(arguments, str(file))
    if not arguments.use_fsdp:
        raise _invalid(str(file), "its distributed_type is neither FSDP nor DEEPSPEED, which this trainer shards by")
    # How many processes there are, and where, is the launcher's business.
    arguments.num_machines, arguments.main_process_port = 1, 0
    environment = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in environment.items() if name.startswith(("FSDP_", "ACCELERATE_USE_FSDP"))}


def _invalid(file: str, why: str) -> TrainingError:
    return TrainingError("accelerate_config_invalid", f"accelerate's config {file} cannot be used: {why}.")


def shard_on_cpu() -> None:
    """accelerate turns FSDP on for GPUs only, though fully_shard and gloo do the same on a CPU: it is told of one."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    if PartialState._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def keep_sums_exact(plugin: Any) -> None:
    """
    Has weights and products in the lower precision, as accelerate does, but gradients summed over ranks in float32, and
    the loss left as it is: accelerate would round both. Weights that are bfloat16 themselves have no policy of its own.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    policy = plugin.mixed_precision_policy
    plugin.mixed_precision_policy = MixedPrecisionPolicy(policy and policy.param_dtype, torch.float32)


def shard_what_can_be(accelerator: Any) -> None:
    """
    Has accelerate make units of the layers that a model has: of a family with images, it would miss those for images.
    And has it pass over what a model's state has beside its weights, such as what DeepSeek-V3's routers correct their
    choice of experts by: it cannot shard that. All ranks have rank 0's, which alone has read it.
    """
    from torch import distributed

    prepare, plugin = accelerator.prepare, accelerator.state.fsdp_plugin

    def prepare_model(model: Any, *others: Any) -> Any:
        modules = list(model.modules())
        if plugin.transformer_cls_names_to_wrap is None:
            there = {type(module).__name__ for module in modules}
            plugin.transformer_cls_names_to_wrap = [name for name in model._no_split_modules or () if name in there]
        buffers = [
            (module, name)
            for module in modules
            for name, buffer in module._buffers.items()
            if buffer is not None and name not in module._non_persistent_buffers_set
        ]
        for module, name in buffers:
            module._non_persistent_buffers_set.add(name)
        prepared = prepare(model, *others)
        for module, name in buffers:
            module._non_persistent_buffers_set.remove(name)
            distributed.broadcast(module.get_buffer(name), src=0)
        return prepared

    accelerator.prepare = prepare_model


def load_whole(model: Any, checkpoint: Path, group: RankGroup) -> None:
    """Reads a whole checkpoint's weights into a sharded model: rank 0 does, and gives the others theirs. Collective."""
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from torch.distributed.tensor import distribute_tensor

    saved: dict[str, Any] = {}
    if group.is_leader:
        is_adapter = isinstance(model, PeftModel)
        saved = load_file(checkpoint / "adapter_model.safetensors") if is_adapter else saved_weights(checkpoint)
    with torch.no_grad():
        for name, shard in named_weights(model).items():
            if not hasattr(shard, "device_mesh"):
                # Buffers are whole on every rank.
                shard.copy_(group.broadcast(saved.get(name)))
                continue
            whole = saved[name] if group.is_leader else torch.empty(shard.shape)
            whole = whole.to(shard.device, shard.dtype)
            shard.copy_(distribute_tensor(whole, shard.device_mesh, shard.placements))


def load_whole_optimizer(model: Any, optimizer: Any, checkpoint: Path, group: RankGroup) -> None:
    """Reads a whole checkpoint's optimizer, whose state goes by number, into that of a sharded model. Collective."""
    import torch
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    state: dict[str, Any] = {}
    if group.is_leader:
        saved = torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True)
        names = {parameter: _plain_name(name) for name, parameter in model.named_parameters()}
        named = [[names[parameter] for parameter in one["params"]] for one in optimizer.param_groups]
        by_number = [name for group_names in named for name in group_names]
        state = {
            "state": {by_number[number]: value for number, value in saved["state"].items()},
            "param_groups": [
                {**one, "params": group_names} for one, group_names in zip(saved["param_groups"], named, strict=True)
            ],
        }
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_optimizer_state_dict(model, optimizer, state, options=options)


def _plain_name(name: str) -> str:
    return name.replace("_checkpoint_wrapped_module.", "")


def _whole_weights(model: Any, group: RankGroup, dtype: Any) -> dict[str, Any]:
    """Gathered one by one, so that no GPU holds more than one of them whole."""
    gathered = {}
    type_of = None if dtype is None else types_of(model, dtype)
    for name, shard in named_weights(model).items():
        whole = shard.full_tensor() if hasattr(shard, "full_tensor") else shard
        if group.is_leader:
            kind = whole.dtype if type_of is None else type_of(name, whole)
            gathered[name] = whole.detach().to("cpu", kind, copy=True)
    return gathered


def gather_model(model: Any, group: RankGroup, dtype: Any, load_base: Callable[[], Any]) -> Any:
    """
    A sharded model as an ordinary one in main memory, on rank 0; None elsewhere. Its weights are of `dtype`, or of the
    type that they have. An adapter is put onto a base that is loaded anew, as it has not changed. Collective.
    """
    import torch
    from peft import PeftModel, get_peft_model, set_peft_model_state_dict
    from torch.distributed.fsdp import FSDPModule

    is_sharded_model = isinstance(model, FSDPModule)
    if not is_sharded_model:
        # Nothing was left to train.
        return model if group.is_leader else None
    weights = _whole_weights(model, group, dtype)
    if not group.is_leader:
        return None
    if isinstance(model, PeftModel):
        adapted = get_peft_model(load_base(), model.active_peft_config)
        set_peft_model_state_dict(adapted, weights)
        return adapted
    # fully_shard puts a class of its own before the model's.
    _, architecture = type(model).__bases__
    with torch.device("meta"):
        whole = architecture(model.config)
    whole.load_state_dict(weights, strict=False, assign=True)
    whole.tie_weights()
    whole.generation_config = model.generation_config
    return whole
