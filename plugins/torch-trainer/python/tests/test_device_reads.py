"""How often a training looks at what its device computes: on a GPU, each look waits for all that is queued there."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from trainer_process import MINICPM3, hyperparameters, random_model, training_request, write_rows
from training_in_process import train_here

from simmer_trainer.sft import SimmerSFTTrainer

ROWS: list[dict[str, Any]] = [
    {"id": str(index), "prompt": "ab", "completion": "cdefg"[: 1 + index % 5] * (1 + index)} for index in range(8)
]


class Reads(TorchDispatchMode):
    """Counts what makes a number of Python of a tensor, and what picks by a mask: both wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        if function is torch.ops.aten.index.Tensor:
            self.count += sum(one is not None and one.dtype == torch.bool for one in args[1])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("model", "values", "looks"),
    [({}, {}, 2), ({}, {"packing": True}, 2), ({}, {"gradient_checkpointing": True}, 2), (MINICPM3, {}, 1)],
    ids=["padded", "packed", "recomputed", "loss-of-the-model"],
)
def test_a_pass_looks_at_its_mask_or_positions_and_at_which_tokens_are_trained(
    model: dict[str, Any], values: dict[str, Any], looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    At the first before the first layer, as transformers does, and at the others for our loss; what the loss is, is
    looked at once a step, with the gradients' norm.
    """
    passes, reads = 0, 0
    step = SimmerSFTTrainer.training_step

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal passes, reads
        with Reads() as here:
            loss = step(*args, **kwargs)
        passes, reads = passes + 1, reads + here.count
        return loss

    monkeypatch.setattr(SimmerSFTTrainer, "training_step", counted)
    request = training_request(
        tmp_path,
        model=random_model(attention_dropout=0.0, **model),
        training_data=str(write_rows(tmp_path / "rows.parquet", ROWS)),
        hyperparameters=hyperparameters(max_steps=2, global_batch_size=4, device_batch_size=1, **values),
    )
    train_here(request)
    assert passes >= 4
    assert reads <= looks * passes
