"""The real trainer (server, attempts, journal), whose training is nothing but its telemetry."""

import os
import sys
from pathlib import Path

from simmer_trainer import training
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.server import keep_stdout_for_handshake, options_from_environment, serve
from simmer_trainer.training_control import TrainingControl

from events_steps import completed, step_logged

steps = int(sys.argv[1])


def train(request: pb.StartTrainingRequest, control: TrainingControl, group: RankGroup) -> None:
    """As the loop of a training tells its steps."""
    for step in range(1, steps + 1):
        control.was_run_before(step)
        control.step_done(step)
        control.emit(step_logged(step))
    control.emit(completed(steps, Path(request.output_folder)))


training.train = train
handshake = keep_stdout_for_handshake()
serve(options_from_environment(os.environ), handshake, lambda: None)
os._exit(0)
