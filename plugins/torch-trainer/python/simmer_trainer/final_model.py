"""The model that a training leaves behind."""

import os
import shutil
from pathlib import Path
from typing import Any

from simmer_trainer.durable import full_disk_as_such, sync, sync_tree
from simmer_trainer.fence import Fence
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import save_model
from simmer_trainer.pause_points import pause_point
from simmer_trainer.weight_types import cast


def stored_type(source: pb.ModelSource) -> Any:
    """The type that the model's weights have on disk, and the fine-tuned ones shall have."""
    import torch
    from transformers import AutoConfig

    folder = source.folder or source.checkpoint
    if not folder or not (Path(folder) / "config.json").is_file():
        return torch.float32
    return AutoConfig.from_pretrained(folder, local_files_only=True).dtype or torch.float32


def write_final_model(model: Any, tokenizer: Any, folder: Path, dtype: Any, fence: Fence) -> None:
    """Whole and durable, or not there; not of an attempt that is stale. dtype: None keeps that of each weight."""
    draft = folder.with_name(f".model.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    with full_disk_as_such(draft):
        save_model(model if dtype is None else cast(model, dtype), tokenizer, draft)
    sync_tree(draft)
    pause_point("model.written")
    with fence.held():
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        sync(folder.parent)
    pause_point("model.renamed")
