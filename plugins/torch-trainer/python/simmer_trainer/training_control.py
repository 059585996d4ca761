"""What a training job tells the outside, and what the outside wants of it."""

from dataclasses import dataclass
from typing import Protocol

from simmer_trainer.checkpoints import Checkpoint
from simmer_trainer.errors import AttemptStopped
from simmer_trainer.fence import Fence
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


@dataclass(frozen=True)
class StopRequest:
    """Someone wants the attempt to end."""

    checkpoint_first: bool
    reason: str


class TrainingControl(Protocol):
    """What a job tells the outside, and what the outside wants of it."""

    @property
    def fence(self) -> Fence: ...
    def emit(self, event: pb.TrainerEvent) -> None: ...
    def stop_request(self) -> StopRequest | None: ...
    def wants_checkpoint(self) -> bool: ...
    def checkpoint_saved(self, checkpoint: Checkpoint) -> None: ...
    def step_done(self, step: int) -> None: ...
    def was_run_before(self, step: int) -> bool: ...


def stop_where_asked(control: TrainingControl) -> None:
    """Between the phases before the first step there is nothing to save."""
    if control.stop_request() is not None:
        raise AttemptStopped
