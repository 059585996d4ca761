"""accelerate's config files, and how rows are dealt out to ranks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.distributed.fsdp import MixedPrecisionPolicy

from simmer_trainer.batching import choose_batching
from simmer_trainer.data import DataOrder, TokenizedRow
from simmer_trainer.errors import TrainingError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.rank_batches import RankBatches
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.sharding import keep_sums_exact, settings

CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: {kind}
mixed_precision: bf16
num_machines: 2
num_processes: 16
machine_rank: 0
main_process_ip: 10.0.0.1
main_process_port: 29500
use_cpu: false
fsdp_config:
  fsdp_version: {version}
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer
  fsdp_offload_params: true
  fsdp_reshard_after_forward: {reshard}
  fsdp_state_dict_type: {state}
  fsdp_activation_checkpointing: true
"""


def config(folder: Path, **changes: str) -> str:
    values = {"kind": "FSDP", "version": "2", "state": "SHARDED_STATE_DICT", "reshard": "true", **changes}
    file = folder / "accelerate.yaml"
    file.write_text(CONFIG.format(**values))
    return str(file)


def test_a_config_of_accelerate_says_how_to_shard(tmp_path: Path) -> None:
    found = settings(config(tmp_path))
    assert found["ACCELERATE_USE_FSDP"] == "true"
    assert found["FSDP_OFFLOAD_PARAMS"] == "true"
    assert found["FSDP_TRANSFORMER_CLS_TO_WRAP"] == "LlamaDecoderLayer"
    assert found["FSDP_ACTIVATION_CHECKPOINTING"] == "true"
    # Those are the recipe's and the launcher's.
    assert not [name for name in found if "PRECISION" in name or "DEVICES" in name or name == "OMP_NUM_THREADS"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "1", "reshard": "FULL_SHARD"}, "fsdp_version is not 2"),
        ({"state": "FULL_STATE_DICT"}, "SHARDED_STATE_DICT"),
        ({"kind": "MULTI_GPU"}, "distributed_type is neither FSDP"),
        ({"kind": "NONSENSE"}, "NONSENSE"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_with_its_name(
    tmp_path: Path, changes: dict[str, str], why: str
) -> None:
    file = config(tmp_path, **changes)
    with pytest.raises(TrainingError, match=why) as error:
        settings(file)
    assert error.value.code == "accelerate_config_invalid"
    assert file in error.value.message


def test_a_config_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no such file"):
        settings(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("policy", [None, MixedPrecisionPolicy(torch.bfloat16, torch.bfloat16)])
def test_gradients_are_summed_over_ranks_in_float32_whatever_weights_are(policy: MixedPrecisionPolicy | None) -> None:
    """accelerate has no policy where weights are bfloat16 themselves, and FSDP would then sum in their type."""
    plugin = SimpleNamespace(mixed_precision_policy=policy)
    keep_sums_exact(plugin)
    assert plugin.mixed_precision_policy.reduce_dtype == torch.float32
    assert plugin.mixed_precision_policy.param_dtype == (policy and policy.param_dtype)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("packing", [False, True])
def test_ranks_share_each_steps_rows_in_as_many_passes(ranks: int, size: int, packing: bool) -> None:
    rows = [TokenizedRow(str(row), [1] * (3 + row % 5), 1, False) for row in range(18)]
    order = DataOrder([len(row.token_ids) for row in rows], batch=4, seed=1, group_by_length=False)
    parameters = pb.Hyperparameters(global_batch_size=4, device_batch_size=size, packing=packing)
    batching = choose_batching(parameters, rows, order, total_steps=5, ranks=ranks)
    dealt = [RankBatches(order, batching, RankGroup(rank, ranks, None), blank=-1) for rank in range(ranks)]
    batches = [list(mine) for mine in dealt]
    assert len({len(mine) for mine in batches}) == 1
    assert {len(mine) for mine in dealt} == {len(batches[0])}

    def rows_in(first: int, last: int | None) -> list[int]:
        together = [batch for mine in batches for batch in mine[first:last]]
        return sorted(row for batch in together for row in (batch[0] if packing else batch) if row != -1)

    assert rows_in(0, None) == list(range(18))
    assert rows_in(0, batching.accumulated_passes) == sorted(order.step(1))
