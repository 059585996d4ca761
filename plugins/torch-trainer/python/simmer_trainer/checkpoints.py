"""
Checkpoints that are there whole or not at all: written into a new folder, every file synced, the marker last, then
renamed into place. A folder without the marker is none. The marker has digests of all files, and of itself: what has
changed since is not read.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmer_trainer.digests import digest_of, digests_of
from simmer_trainer.durable import full_disk_as_such, sync, sync_tree, write_json
from simmer_trainer.errors import TrainingError
from simmer_trainer.fence import Fence
from simmer_trainer.pause_points import pause_point
from simmer_trainer.rank_group import RankGroup

MARKER = "simmer-checkpoint.json"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path
    bytes: int


def save_checkpoint(
    output_folder: Path, step: int, state: dict[str, Any], write: Callable[[Path], dict[str, str]], fence: Fence
) -> Checkpoint:
    """
    Commits what `write` puts into the folder that it is given; it returns digests of it. `state` goes into the marker.
    Raises TrainingError attempt_stale where another attempt has taken the folder over: then nothing is committed.
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
            digests = write(draft)
        pause_point("checkpoint.written")
        size = sync_tree(draft)
        pause_point("checkpoint.synced")
        files = {name: (draft / name).stat().st_size for name in files_of(draft)}
        marker = {"format": _FORMAT, "step": step, "bytes": size, "files": files, "digests": digests, **state}
        write_json(draft / MARKER, {**marker, "digest": _digest_of(marker)})
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


def files_of(folder: Path) -> list[str]:
    """All files of a checkpoint but its marker, by their paths in it."""
    names = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return sorted(name for name in names if name != MARKER)


def read_marker(folder: Path) -> dict[str, Any]:
    """
    The marker of a complete checkpoint. Raises TrainingError checkpoint_invalid where there is none, and
    checkpoint_damaged where it, or the size of a file, is not as it was written.
    """
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        if marker["format"] != _FORMAT:
            raise TrainingError(
                "checkpoint_invalid",
                f"{folder} was written in format {marker['format']}; this trainer reads format {_FORMAT}.",
            )
        # Former versions wrote none.
        digest = marker.pop("digest", None)
        if digest is not None and digest != _digest_of(marker):
            raise _damaged(folder / MARKER)
        for name, size in marker["files"].items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                raise _damaged(folder / name, f"should have {size} bytes")
    except FileNotFoundError as error:
        raise TrainingError(
            "checkpoint_invalid", f"{folder} is no complete checkpoint: no {error.filename}."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / MARKER, f"cannot be read: {error}") from error
    return marker


def check_files(folder: Path, marker: dict[str, Any], group: RankGroup) -> None:
    """
    Reads every file of a checkpoint. Raises TrainingError checkpoint_damaged where one is not as it was written.
    Collective.
    """
    written: dict[str, str] = marker.get("digests", {})
    found = digests_of(folder, list(written), group)
    damaged = next((name for name, digest in written.items() if found.get(name) != digest), None)
    if damaged is not None:
        raise _damaged(folder / damaged)


def _damaged(file: Path, how: str = "is not as it was written") -> TrainingError:
    return TrainingError("checkpoint_damaged", f"{file} {how}: a disk or somebody has changed it. Use another one.")


def _digest_of(marker: dict[str, Any]) -> str:
    return digest_of(json.dumps(marker).encode())


def list_checkpoints(output_folder: Path) -> list[Path]:
    """The complete checkpoints, oldest first."""
    return sorted(marker.parent for marker in (output_folder / "checkpoints").glob(f"step-*/{MARKER}"))


def prune_checkpoints(
    output_folder: Path, kept: int, *, newest: int, is_protected: Callable[[int], bool] = lambda _: False
) -> None:
    """
    Removes all but the last few up to the newest step and those of protected steps, marker first, so that none is ever
    half there; 0 keeps all. One of a later step was refused: the attempt would have gone on from it.
    """
    if kept == 0:
        return
    by_step = {int(path.name.removeprefix("step-")): path for path in list_checkpoints(output_folder)}
    recent = [step for step in by_step if step <= newest][-kept:]
    for step, path in by_step.items():
        if step in recent or is_protected(step):
            continue
        (path / MARKER).unlink()
        pause_point("checkpoint.pruning")
        shutil.rmtree(path, ignore_errors=True)


def remove_drafts(output_folder: Path) -> None:
    """What killed writers left. Only for the one attempt that runs."""
    for draft in (*(output_folder / "checkpoints").glob(".step-*"), *output_folder.glob(".model.draft-*")):
        shutil.rmtree(draft, ignore_errors=True)
