"""What a training asks of the server around it, where there is none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


class _NoFence:
    """Nobody else has this job."""

    @contextmanager
    def held(self) -> Iterator[None]:
        yield


class BareControl:
    """Nobody stops the training or watches it; its events go to a function."""

    fence = _NoFence()

    def __init__(self, emit: Callable[[pb.TrainerEvent], None]) -> None:
        self.emit = emit

    def stop_request(self) -> None:
        return None

    def wants_checkpoint(self) -> bool:
        return False

    def checkpoint_saved(self, checkpoint: Any) -> None: ...

    def step_done(self, step: int) -> None: ...

    def was_run_before(self, step: int) -> bool:
        return False
