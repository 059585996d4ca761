"""Launchers: they start trainers somewhere, and what they start outlives this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from simmer_plugin.context import Log
from simmer_plugin.planning import Resources
from simmer_plugin.trainers import TrainerCommand

Transport = Literal["unix", "tcp"]


@dataclass(frozen=True)
class LaunchRequest:
    """What a launcher is asked to start."""

    command: TrainerCommand
    resources: Resources
    #: What it writes is appended to these: they outlive this process.
    stdout_file: Path
    stderr_file: Path
    #: What the user must know or do for it to start, such as the command for another machine.
    log: Log
    #: GPUs of this machine that the trainer is to see, as CUDA_VISIBLE_DEVICES names them; empty: all there are.
    #: `start_detached` heeds them.
    devices: Sequence[str] = ()


@dataclass(frozen=True)
class Reach:
    """How Simmer reaches what a launcher starts."""

    transport: Transport = "unix"
    #: Seconds from the launch until it must serve: other machines may have to come first.
    start_seconds: float = 180


class Launcher(Protocol):
    """What starts trainers and ends them, made of its options. Each call may be in a process of its own."""

    def launch(self, request: LaunchRequest) -> int:
        """Starts a trainer, in a session of its own: `start_detached` does. Returns the id of the process to watch."""

    def attach(self, process_id: int) -> bool:
        """Whether what a former core started still runs. Simmer has seen that the process is there."""

    def terminate(self, process_id: int, grace_seconds: float) -> None:
        """Ends what was started, by force after the grace period, and returns when it has ended: see `end_group`."""


MakeLauncher = Callable[[Any], Launcher]
ReachFunction = Callable[[Any], Reach]
ProcessesFunction = Callable[[Any, Resources], int | None]


@dataclass(frozen=True)
class LauncherEntry:
    """A launcher that was declared."""

    description: str
    options: type[BaseModel]
    make: MakeLauncher
    reach: ReachFunction | None
    processes: ProcessesFunction | None


def start_detached(request: LaunchRequest) -> int:
    """Starts the command on this machine, in a session of its own. Returns its process id."""
    own = ("SIMMER_PLUGIN_", "SIMMER_HOST_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    if request.devices:
        inherited["CUDA_VISIBLE_DEVICES"] = ",".join(request.devices)
    with request.stdout_file.open("ab") as stdout, request.stderr_file.open("ab") as stderr:
        process = subprocess.Popen(
            list(request.command.argv),
            env={**inherited, **request.command.env},
            cwd=request.command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    return process.pid


def end_group(process_id: int, grace_seconds: float) -> None:
    """Ends a process of `start_detached` and all in its group: SIGTERM, and SIGKILL after the grace period.

    Raises ValueError for an id of 1 or less, which names all processes.
    """
    deadline = time.monotonic() + grace_seconds
    _signal(process_id, signal.SIGTERM)
    while is_running(process_id):
        if time.monotonic() > deadline:
            _signal(process_id, signal.SIGKILL)
        time.sleep(0.02)


def is_running(process_id: int) -> bool:
    """Whether a process is there, and not only waits for its parent to ask how it ended."""
    # Of a child of this process; of others only their parent can ask.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process_id, os.WNOHANG)
    return _state(process_id) not in ("", "Z", "X")


def _state(process_id: int) -> str:
    """One letter, as `ps` has it; empty: there is no such process."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{process_id}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        # The field before it is the command's name in brackets, which may itself hold brackets and spaces.
        return chr(stat[stat.rindex(b")") + 2])
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1]


def _signal(process_id: int, number: int) -> None:
    if process_id <= 1:
        raise ValueError(f"{process_id} is not the id of a process that was started: its group would be all processes.")
    try:
        os.killpg(process_id, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        # macOS says so of a group of which only processes are left that nobody has reaped yet.
        if sys.platform != "darwin":
            raise
