"""DeepSpeed's ZeRO for several ranks, by accelerate and transformers: its settings, and what they may not say."""

import importlib.util
import json
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from simmer_trainer.errors import TrainingError

_SWITCH = "ACCELERATE_USE_DEEPSPEED"
_SETTING = "ACCELERATE_DEEPSPEED_"
_PREFIXES = (_SETTING, _SWITCH, "ACCELERATE_CONFIG_DS_FIELDS")
# Keys of DeepSpeed's own file that the recipe says: there they are "auto", or absent.
_COUNTS_OF_THE_RECIPE = (
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
)
_OF_THE_RECIPE = (*_COUNTS_OF_THE_RECIPE, "bf16.enabled", "fp16.enabled")
_STAGES = (1, 2, 3)
# Folders that DeepSpeed names after its own count of steps.
_STATE_FOLDERS = "global_step*"


def is_on() -> bool:
    """Whether what is loaded and trained here is DeepSpeed's."""
    return os.environ.get(_SWITCH) == "true"


def forget() -> None:
    """Models that are loaded from here on are not DeepSpeed's. Of all ranks, or they would wait for each other."""
    if is_on():
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()


def whole(*weights: Any) -> AbstractContextManager[Any]:
    """Inside, weights of which each rank has a shard are whole. Of those that are tied, one may be so already."""
    if not any(hasattr(weight, "ds_status") for weight in weights):
        return nullcontext()
    import deepspeed
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    sharded = [one for one in weights if one is not None and one.ds_status != ZeroParamStatus.AVAILABLE]
    return deepspeed.zero.GatheredParameters(sharded) if sharded else nullcontext()


def settings(arguments: Any, config_file: str) -> dict[str, str]:
    """
    The variables by which `accelerate launch` would turn DeepSpeed on, for what it has read of a config. Raises
    TrainingError accelerate_config_invalid for what cannot be used, deepspeed_missing without DeepSpeed.
    """
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    section = load_config_from_file(config_file).deepspeed_config
    unknown = sorted(section.keys() - vars(launch_command_parser().parse_args(["simmer_trainer"])).keys())
    if unknown:
        raise _invalid(config_file, f"accelerate knows no deepspeed_config.{unknown[0]}")
    own_file = section.get("deepspeed_config_file")
    if own_file is None:
        _require(section.get("zero_stage"), config_file, "deepspeed_config.zero_stage")
    else:
        # Relative to who names it: where a trainer runs is not the user's choice.
        own_file = str((Path(config_file).parent / own_file).resolve())
        # Without "auto", accelerate and transformers leave out what the recipe says, clipping among it.
        absent = dict.fromkeys(_COUNTS_OF_THE_RECIPE, "auto")
        arguments.deepspeed_config_file = json.dumps({**absent, **_read_own_file(own_file, config_file)})
    if importlib.util.find_spec("deepspeed") is None:
        raise TrainingError(
            "deepspeed_missing",
            f"{config_file} asks for DeepSpeed, which is not installed: run `pip install deepspeed` in a Python that "
            "has what the trainer needs, and name it as `python` of the trainer.",
        )
    arguments.deepspeed_fields_from_accelerate_config = ",".join(section)
    # How many processes there are, and where, is the launcher's business; how large a step is, the recipe's.
    arguments.num_machines, arguments.main_process_port, arguments.machine_rank = 1, 0, 0
    arguments.gradient_accumulation_steps = arguments.gradient_clipping = "auto"
    _, environment = prepare_deepspeed_cmd_env(arguments)
    variables = {name: value for name, value in environment.items() if name.startswith(_PREFIXES)}
    for place in ("optimizer", "param"):
        path = getattr(arguments, f"offload_{place}_nvme_path", None)
        if path is not None:
            variables[f"{_SETTING}OFFLOAD_{place.upper()}_NVME_PATH"] = str(path)
    if own_file is None:
        # So that a checkpoint holds the weights as an ordinary model does.
        variables[f"{_SETTING}ZERO3_SAVE_16BIT_MODEL"] = "true"
    # Its checkpoints are of tensors and names: no pickle of anything else is loaded.
    return {**variables, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}


def _read_own_file(own_file: str, config_file: str) -> dict[str, Any]:
    try:
        config = json.loads(Path(own_file).read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(config_file, f"deepspeed_config_file {own_file} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _invalid(own_file, f"it is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise _invalid(own_file, "it is no JSON object")
    _require(_value(config, "zero_optimization.stage"), own_file, "zero_optimization.stage")
    for key in _OF_THE_RECIPE:
        if _value(config, key) not in (None, "auto"):
            raise _invalid(own_file, f'{key} must be "auto" or absent: the recipe says it')
    for key in ("optimizer", "scheduler"):
        if key in config:
            raise _invalid(own_file, f"{key} must be absent: the recipe says it")
    gather = "zero_optimization.stage3_gather_16bit_weights_on_model_save"
    if _value(config, "zero_optimization.stage") == 3 and _value(config, gather) is not True:
        raise _invalid(own_file, f"{gather} must be true: checkpoints hold the weights as an ordinary model does")
    return config


def _require(stage: Any, file: str, key: str) -> None:
    if stage not in _STAGES or isinstance(stage, bool):
        raise _invalid(file, f"{key} must be 1, 2 or 3, and is {json.dumps(stage)}")


def _value(config: dict[str, Any], key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _invalid(file: str, why: str) -> TrainingError:
    return TrainingError("accelerate_config_invalid", f"The config {file} cannot be used: {why}.")


def check_checkpoint(checkpoint: Path, ranks: int) -> None:
    """Raises TrainingError checkpoint_invalid for one that these ranks cannot resume, or not without DeepSpeed."""
    saved = len(list(checkpoint.glob(f"{_STATE_FOLDERS}/*zero_pp_rank_*_optim_states.pt")))
    if any(checkpoint.glob(_STATE_FOLDERS)) != is_on():
        raise TrainingError(
            "checkpoint_invalid",
            f"{checkpoint} was saved {'without' if is_on() else 'with'} DeepSpeed: resume it with the accelerateConfig "
            "and the launcher that it was saved with, or train from its weights as a model.",
        )
    if is_on() and saved != ranks:
        raise TrainingError(
            "checkpoint_invalid",
            f"{checkpoint} was saved by {saved} ranks with DeepSpeed, which cannot resume it with {ranks}: start "
            f"{saved} again, or train from its weights as a model.",
        )
    if is_on() and any(checkpoint.glob(f"{_STATE_FOLDERS}/*zero_pp_rank_*_model_states.pt")) != (_stage() == 3):
        raise TrainingError(
            "checkpoint_invalid",
            f"{checkpoint} was saved {'without' if _stage() == 3 else 'with'} ZeRO stage 3, and accelerateConfig asks "
            f"for stage {_stage()}: put the stage back, or train from its weights as a model.",
        )


def _stage() -> int:
    """The stage that is on."""
    own_file = os.environ.get(f"{_SETTING}CONFIG_FILE")
    if own_file is None:
        return int(os.environ[f"{_SETTING}ZERO_STAGE"])
    return int(json.loads(own_file)["zero_optimization"]["stage"])
