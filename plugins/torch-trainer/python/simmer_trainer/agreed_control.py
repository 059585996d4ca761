"""The control of an attempt that several ranks run: rank 0's wishes, known to all of them at the same step."""

from simmer_trainer.checkpoints import Checkpoint
from simmer_trainer.fence import Fence
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.training_control import StopRequest, TrainingControl

_NONE, _AT_ONCE, _CHECKPOINT_FIRST = range(3)


class AgreedControl:
    """
    Each question is a collective: all ranks ask the same ones in the same order, as they run the same code. Only rank 0
    (which has a control of its own) tells anyone of anything.
    """

    def __init__(self, group: RankGroup, control: TrainingControl | None, fence: Fence) -> None:
        self._group = group
        self._control = control
        self.fence = fence

    def emit(self, event: pb.TrainerEvent) -> None:
        if self._control is not None:
            self._control.emit(event)

    def stop_request(self) -> StopRequest | None:
        stop = self._control.stop_request() if self._control is not None else None
        wish = _NONE if stop is None else _CHECKPOINT_FIRST if stop.checkpoint_first else _AT_ONCE
        agreed = self._group.broadcast_number(wish)
        if agreed == _NONE:
            return None
        return stop or StopRequest(checkpoint_first=agreed == _CHECKPOINT_FIRST, reason="stopped by rank 0")

    def wants_checkpoint(self) -> bool:
        return bool(self._group.broadcast_number(int(self._control is not None and self._control.wants_checkpoint())))

    def checkpoint_saved(self, checkpoint: Checkpoint) -> None:
        if self._control is not None:
            self._control.checkpoint_saved(checkpoint)

    def step_done(self, step: int) -> None:
        if self._control is not None:
            self._control.step_done(step)

    def was_run_before(self, step: int) -> bool:
        return self._control is not None and self._control.was_run_before(step)
