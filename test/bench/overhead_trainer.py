"""
The torch trainer, which waits before every few steps until it is told to go on: as a run has it, or doing the same job
alone, without a core and a server. So both can take turns on one machine.

    overhead_trainer.py SOCKET REQUEST            serves; writes down its job in the file REQUEST
    overhead_trainer.py SOCKET REQUEST OUTPUT     does the job of the file REQUEST, in the folder OUTPUT

On the socket it says `{"losses": [], "seconds": 0}` when it is ready, then, for each line that it gets, the losses of the
next steps and the seconds that they took.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from bare_control import BareControl
from simmer_trainer import training
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.libraries import load_libraries
from simmer_trainer.memory import keep_freed_memory
from simmer_trainer.rank_group import RankGroup

STEPS_PER_TURN = 5
address, request_file = sys.argv[1], Path(sys.argv[2])


class Turns:
    """Waits at the beginning, and after every few steps."""

    def __init__(self) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address)
        self._lines = connection.makefile("rw")
        self._began = 0.0
        self._losses: list[float] = []

    def see(self, event: pb.TrainerEvent) -> None:
        if event.HasField("step_logged"):
            self._losses.append(event.step_logged.loss)
        if event.HasField("training_started") or len(self._losses) == STEPS_PER_TURN:
            seconds = time.perf_counter() - self._began if self._losses else 0
            print(json.dumps({"losses": self._losses, "seconds": seconds}), file=self._lines, flush=True)
            if not self._lines.readline():
                os._exit(0)
            self._losses = []
            self._began = time.perf_counter()


class TurnControl:
    """A run's own control, at which a training waits for its turn."""

    def __init__(self, control: Any) -> None:
        self._control = control
        self._turns = Turns()

    def emit(self, event: pb.TrainerEvent) -> None:
        self._control.emit(event)
        self._turns.see(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)


def in_a_run() -> None:
    from simmer_trainer.server import keep_stdout_for_handshake, options_from_environment, serve

    train = training.train

    def train_in_turns(request: pb.StartTrainingRequest, control: Any, group: RankGroup) -> None:
        request_file.write_bytes(request.SerializeToString())
        train(request, TurnControl(control), group)  # type: ignore[arg-type]

    training.train = train_in_turns
    serve(options_from_environment(os.environ), keep_stdout_for_handshake(), load_libraries)


def alone(output: str) -> None:
    load_libraries()
    request = pb.StartTrainingRequest.FromString(request_file.read_bytes())
    request.output_folder = output
    training.train(request, BareControl(Turns().see), RankGroup.alone())  # type: ignore[arg-type]


keep_freed_memory()
if len(sys.argv) > 3:
    alone(sys.argv[3])
else:
    in_a_run()
os._exit(0)
