"""Trainings in the process of the test, for tests that look into them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.rank_group import RankGroup


class _NoFence:
    @contextmanager
    def held(self) -> Iterator[None]:
        yield


class _Control:
    """Nobody stops the training; its events are kept."""

    fence = _NoFence()

    def __init__(self) -> None:
        self.events: list[pb.TrainerEvent] = []

    def emit(self, event: pb.TrainerEvent) -> None:
        self.events.append(event)

    def stop_request(self) -> None:
        return None

    def wants_checkpoint(self) -> bool:
        return False

    def checkpoint_saved(self, checkpoint: Any) -> None: ...

    def step_done(self, step: int) -> None: ...

    def was_run_before(self, step: int) -> bool:
        return False


def train_here(request: pb.StartTrainingRequest) -> list[pb.TrainerEvent]:
    """Trains, and returns the events. Whatever the training raises is raised."""
    from simmer_trainer.training import train

    Path(request.output_folder).mkdir(parents=True, exist_ok=True)
    control = _Control()
    train(request, control, RankGroup.alone())  # type: ignore[arg-type]
    return control.events
