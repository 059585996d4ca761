"""The sizes that `simmer plan` reads from a config, against the models that transformers makes of it."""

import json
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

_ROOT = Path(__file__).parents[4]
_COUNT = """
import { configOf } from './dist/plugins/torch-trainer/config-of.js';
import { shapeOf } from './dist/plugins/torch-trainer/model-shape.js';
const counts = await Promise.all(process.argv.slice(1).map(async (folder) =>
  shapeOf(await configOf(folder, { recipeFolder: '/' }))?.parameters ?? null));
console.log(JSON.stringify(counts));
"""
# Of models of another shape than the types' own: few layers, few experts, keys shared by queries.
_SMALL = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 32_000,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_local_experts": 8,
    "num_experts": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "linear_num_value_heads": 16,
    "linear_num_key_heads": 8,
    "pad_token_id": 0,
}
# What a recipe may leave out of a random model: transformers has its own values for each type.
_HEADS = {"head_dim", "num_key_value_heads"}
# Its attention gives heads times their size, and takes the hidden size: where these differ, no such model runs.
_OF_ONE_HEAD_SIZE = {"helium"}
# What has its sizes under other names, in lists, or in an order that the small one breaks.
_ONLY_AS_PUBLISHED = {"gemma3n_text", "gemma4_text"}
# Of which only the language model is counted, as the plan says.
_WITH_MORE = {"gemma3", "gemma3n"}


def _own(model_type: str) -> Any | None:
    try:
        return AutoConfig.for_model(model_type)
    except Exception:
        return None  # No config without sizes.


def _small(model_type: str, without: Collection[str] = ()) -> Any | None:
    own = _own(model_type)
    if own is None or hasattr(own, "text_config") or model_type in _ONLY_AS_PUBLISHED:
        return None
    known = own.to_dict().keys() | own.attribute_map.keys()
    sizes = {key: value for key, value in _SMALL.items() if key in known and key not in without}
    try:
        return AutoConfig.for_model(model_type, **sizes)
    except Exception:
        return None


def _made(config: Any) -> int:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(weight.numel() for weight in model.parameters())


def _planned(configs: dict[str, Any], folder: Path, without: Collection[str] = ()) -> dict[str, int | None]:
    for name, config in configs.items():
        said = {key: value for key, value in json.loads(config.to_json_string()).items() if key not in without}
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(said))
    counted = subprocess.run(
        ["node", "--input-type=module", "-e", _COUNT, *(str(folder / name) for name in configs)],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(zip(configs, json.loads(counted.stdout), strict=True))


@pytest.mark.parametrize("config_of", [_own, _small])
def test_sizes_of_every_type_are_those_of_its_weights_or_unknown(config_of: Any, tmp_path: Path) -> None:
    types = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    configs = {each: config for each in types if (config := config_of(each)) is not None}
    planned = {each: count for each, count in _planned(configs, tmp_path).items() if count is not None}
    ratios = {each: count / _made(configs[each]) for each, count in planned.items() if each not in _WITH_MORE}
    assert {each: ratio for each, ratio in ratios.items() if abs(ratio - 1) > 0.02} == {}
    hybrids = {"bamba", "falcon_h1", "granitemoehybrid", "lfm2", "qwen3_next"}
    assert ratios.keys() >= hybrids | {"gpt2", "gpt_neox", "gpt_oss", "llama", "qwen3", "qwen3_moe", "starcoder2"}
    assert not planned.keys() & {"jamba", "mamba2", "nemotron_h", "whisper", "zamba", "zamba2"}


def test_heads_that_a_config_does_not_give_are_those_of_its_type(tmp_path: Path) -> None:
    types = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    configs = {each: config for each in types if (config := _small(each, without=_HEADS)) is not None}
    configs = {each: config for each, config in configs.items() if each not in _OF_ONE_HEAD_SIZE}
    planned = {each: count for each, count in _planned(configs, tmp_path, without=_HEADS).items() if count is not None}
    ratios = {each: count / _made(configs[each]) for each, count in planned.items() if each not in _WITH_MORE}
    assert {each: ratio for each, ratio in ratios.items() if abs(ratio - 1) > 0.02} == {}
    assert ratios.keys() >= {"gemma", "gpt_oss", "llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "qwen3_next"}
