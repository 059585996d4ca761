"""Checkpoints of several ranks: under the rule for one, with each rank's shards in the same folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from simmer_trainer.checkpoints import Checkpoint, files_of, save_checkpoint
from simmer_trainer.digests import digests_of
from simmer_trainer.fence import Fence
from simmer_trainer.rank_group import RankGroup


def save_together(
    group: RankGroup,
    output_folder: Path,
    step: int,
    state: dict[str, Any],
    write: Callable[[Path], None],
    fence: Fence,
) -> Checkpoint:
    """
    Commits what all ranks' `write` put into the folder that they are given. Rank 0 makes the folder and commits it once
    every rank's files are on disk; all go on when it is committed. Collective.
    """
    if not group.is_leader:
        draft = Path(group.broadcast(None))
        write(draft)
        group.barrier()
        digests_of(draft, group.broadcast(None), group)
        committed: Checkpoint = group.broadcast(None)
        return committed

    def write_all(draft: Path) -> dict[str, str]:
        group.broadcast(str(draft))
        write(draft)
        group.barrier()
        return digests_of(draft, group.broadcast(files_of(draft)), group)

    committed = save_checkpoint(output_folder, step, state, write_all, fence)
    group.broadcast(committed)
    return committed
