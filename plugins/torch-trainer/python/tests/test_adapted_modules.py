"""Which modules an adapter may be put on, and what is refused before anything is trained."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from trainer_process import hyperparameters, random_model

from simmer_trainer.adapted_modules import (
    check_can_be_read,
    check_is_read,
    check_target_modules,
    is_head_adapted,
    without_adapter,
)
from simmer_trainer.errors import RequestError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import Extensions
from simmer_trainer.kernels import choose_liger
from simmer_trainer.models import load_model
from simmer_trainer.training_settings import peft_config


def adapter_on(*targets: str) -> pb.Hyperparameters:
    return hyperparameters(method=pb.METHOD_LORA, lora=pb.Lora(rank=4, alpha=8, target_modules=targets))


def refusal(parameters: pb.Hyperparameters, *, tied: bool) -> str:
    network = load_model(random_model(tie_word_embeddings=tied), torch.float32)
    with pytest.raises(RequestError) as raised:
        check_target_modules(parameters, network)
    assert raised.value.code == "hyperparameters_invalid"
    return raised.value.message


def test_a_name_that_is_no_module_is_refused_with_those_that_are() -> None:
    message = refusal(adapter_on("q_proj", "v_porj"), tied=True)
    assert "has v_porj, which" in message
    assert "down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj" in message


@pytest.mark.parametrize("target", ["mlp", "self_attn", "layers.0", "norm"])
def test_a_block_or_a_norm_is_refused(target: str) -> None:
    """PEFT has no adapter for them, and fails in the middle of the job."""
    assert f"has {target}, which" in refusal(adapter_on("q_proj", target), tied=False)


@pytest.mark.parametrize("target", ["router", "layers.0.router"])
def test_a_module_that_only_looks_linear_is_refused(target: str) -> None:
    """PEFT puts an adapter on it, and fails at the first pass."""
    network = load_model(random_model(model_type="phimoe"), torch.float32)
    with pytest.raises(RequestError, match=f"has {target}, which .* are k_proj, lm_head, o_proj, q_proj, v_proj"):
        check_target_modules(adapter_on("q_proj", target), network)


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head", "model.embed_tokens"])
def test_an_adapter_of_weights_that_are_shared_is_refused(target: str) -> None:
    """Merged into the one, it would change the other, too: another model than the one that was trained."""
    assert f"has {target}, and" in refusal(adapter_on("q_proj", target), tied=True)
    check_target_modules(
        adapter_on("q_proj", target), load_model(random_model(tie_word_embeddings=False), torch.float32)
    )


def test_the_head_is_adapted_where_it_is_named() -> None:
    network = load_model(random_model(tie_word_embeddings=False), torch.float32)
    assert is_head_adapted(adapter_on("q_proj", "lm_head"), network)
    for other in (adapter_on(), adapter_on("q_proj"), adapter_on("head"), hyperparameters()):
        assert not is_head_adapted(other, network)


def test_an_adapter_that_would_not_be_read_again_is_refused_as_it_is_made() -> None:
    """PEFT reads those of Laguna's shared experts by another name; by default there is none on them."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
    model = random_model(model_type="laguna", mlp_layer_types=["dense", "sparse"], **experts)

    def adapted(*targets: str) -> Any:
        return get_peft_model(load_model(model, torch.float32), peft_config(adapter_on(*targets), "laguna"))

    check_can_be_read(adapted())
    with pytest.raises(RequestError, match=r"shared_experts\.down_proj\.lora_A.* again from a checkpoint") as raised:
        check_can_be_read(adapted("down_proj"))
    assert raised.value.code == "hyperparameters_invalid"


def test_an_adapter_that_is_not_read_as_it_was_written_is_refused(tmp_path: Path) -> None:
    """As PEFT reads those of Laguna's shared experts: it warns, and the model would be merged without them."""
    network = load_model(random_model(), torch.float32)
    adapted = get_peft_model(network, peft_config(adapter_on("q_proj"), "llama"))
    adapted.save_pretrained(tmp_path)
    check_is_read(adapted, tmp_path)
    name, weight = next(one for one in adapted.named_parameters() if "lora_A" in one[0])
    with torch.no_grad():
        weight[0, 0] += 1
    with pytest.raises(RequestError, match=name.replace(".default", "")) as raised:
        check_is_read(adapted, tmp_path)
    assert raised.value.code == "adapter_invalid"


GLM_4_MOE = {
    "model_type": "glm4_moe",
    "head_dim": 16,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}
SHARED = [f"mlp.shared_experts.{name}_proj" for name in ("down", "gate", "up")]
GPT_OSS = {"model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16}


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        ({"model_type": "llama"}, []),
        (GLM_4_MOE, ["mlp.down_proj", "mlp.gate_proj", *SHARED, "mlp.up_proj"]),
        (GPT_OSS, ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]),
    ],
)
def test_what_has_no_adapter_by_default_is_named(config: dict[str, Any], plain: list[str]) -> None:
    network = load_model(random_model(**config), torch.float32)
    adapted = get_peft_model(network, peft_config(adapter_on(), config["model_type"]))
    assert without_adapter(adapted, []) == plain


def test_what_is_named_and_has_no_adapter_all_the_same_is_told() -> None:
    """PEFT takes the name for one of the experts'."""
    network = load_model(random_model(**GLM_4_MOE), torch.float32)
    parameters = adapter_on("q_proj", "shared_experts.down_proj")
    adapted = get_peft_model(network, peft_config(parameters, "glm4_moe"))
    assert without_adapter(adapted, parameters.lora.target_modules) == ["mlp.shared_experts.down_proj"]


def test_the_types_that_estimates_take_for_those_with_adapted_experts_are_those_of_peft() -> None:
    from peft.utils.transformers_weight_conversion import _MODEL_TO_CONVERSION_PATTERN, _MOE_TARGET_MODULE_MAPPING

    sources = Path(__file__).parents[2]
    (pattern,) = re.findall(r"const withAdapters =\s*/(.*)/;", (sources / "mlp-shape.ts").read_text())
    (listed,) = re.findall(r"countedTypes = new Set\((.*?)\);", (sources / "model-types.ts").read_text(), re.DOTALL)
    # Of other types, no size is estimated.
    counted = {kind for line in re.findall("'([^']+)'", listed) for kind in line.split()}
    adapted = {kind for kind, base in _MODEL_TO_CONVERSION_PATTERN.items() if base in _MOE_TARGET_MODULE_MAPPING}
    assert {"mixtral", "qwen3_moe"} <= adapted & counted
    assert {kind for kind in counted if re.search(pattern, kind)} == adapted & counted


def test_kernels_that_would_pass_the_adapter_of_the_head_by_are_not_used() -> None:
    given = {"precision": pb.PRECISION_BFLOAT16, "model_type": "llama", "has_adapted_head": True}
    assert not choose_liger(Extensions(), **given)
    with pytest.raises(RequestError, match="pass the adapter of the head by"):
        choose_liger(Extensions(kernels="liger"), **given)
