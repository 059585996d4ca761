"""
Checkpoints that are there whole or not at all: written into a new folder, every file synced, the marker last, then
renamed into place. A folder without the marker is none.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmer_trainer.durable import full_disk_as_such, sync, sync_tree, write_json
from simmer_trainer.errors import TrainingError
from simmer_trainer.fence import Fence
from simmer_trainer.pause_points import pause_point

MARKER = "simmer-checkpoint.json"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path
    bytes: int


def save_checkpoint(
    output_folder: Path, step: int, state: dict[str, Any], write: Callable[[Path], None], fence: Fence
) -> Checkpoint:
    """
    Commits what `write` puts into the folder that it is given. `state` goes into the marker. Raises TrainingError
    attempt_stale where another attempt has taken the folder over: then nothing is committed.
    """
    parent = output_folder / "checkpoints"
    parent.mkdir(exist_ok=True)
    path = checkpoint_folder(output_folder, step)
    draft = parent / f".step-{step:08d}.draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    pause_point("checkpoint.begun")
    try:
        with full_disk_as_such(draft):
            write(draft)
        pause_point("checkpoint.written")
        size = sync_tree(draft)
        pause_point("checkpoint.synced")
        files = {file.relative_to(draft).as_posix(): file.stat().st_size for file in draft.rglob("*") if file.is_file()}
        write_json(draft / MARKER, {"format": _FORMAT, "step": step, "bytes": size, "files": files, **state})
        pause_point("checkpoint.marked")
        with fence.held():
            # What lies there is no checkpoint of this job: one of this step would not be saved again.
            shutil.rmtree(path, ignore_errors=True)
            draft.rename(path)
            pause_point("checkpoint.renamed")
            sync(parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        # Whoever took the folder over has removed the draft: that is why, whatever failed.
        fence.check()
        raise
    pause_point("checkpoint.committed")
    return Checkpoint(step, path, size)


def checkpoint_folder(output_folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is, once it is there."""
    return output_folder / "checkpoints" / f"step-{step:08d}"


def read_marker(folder: Path) -> dict[str, Any]:
    """The marker of a complete checkpoint. Raises TrainingError checkpoint_invalid with what is wrong."""
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        if marker["format"] != _FORMAT:
            raise TrainingError(
                "checkpoint_invalid",
                f"{folder} was written in format {marker['format']}; this trainer reads format {_FORMAT}.",
            )
        for name, size in marker["files"].items():
            if (folder / name).stat().st_size != size:
                raise TrainingError("checkpoint_invalid", f"{folder / name} should have {size} bytes. Use another one.")
    except FileNotFoundError as error:
        raise TrainingError(
            "checkpoint_invalid", f"{folder} is no complete checkpoint: no {error.filename}."
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError("checkpoint_invalid", f"{folder / MARKER} cannot be read: {error}") from error
    return marker


def list_checkpoints(output_folder: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    return sorted(marker.parent for marker in (output_folder / "checkpoints").glob(f"step-*/{MARKER}"))


def prune_checkpoints(output_folder: Path, kept: int, *, is_protected: Callable[[int], bool] = lambda _: False) -> None:
    """
    Removes all but the newest few and those of protected steps, marker first, so that none is ever half there; 0 keeps
    all.
    """
    if kept == 0:
        return
    for path in list_checkpoints(output_folder)[:-kept]:
        if is_protected(int(path.name.removeprefix("step-"))):
            continue
        (path / MARKER).unlink()
        pause_point("checkpoint.pruning")
        shutil.rmtree(path, ignore_errors=True)


def remove_drafts(output_folder: Path) -> None:
    """What killed writers left. Only for the one attempt that runs."""
    for draft in (*(output_folder / "checkpoints").glob(".step-*"), *output_folder.glob(".model.draft-*")):
        shutil.rmtree(draft, ignore_errors=True)
