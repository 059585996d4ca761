"""
Starts trainers within milliseconds: torch and TRL are imported once, here, and each trainer is a fork that then does
what `python -m simmer_trainer` does from its first line on. It is a process of its own, in a session of its own.

stdin, one JSON a line:  {"environment": {...}, "stdout": FILE, "stderr": FILE}
When stdin ends, what still runs is killed.
stdout, one JSON a line: {"started": PID} in the order asked, {"ended": PID, "exitCode": N or null, "signal": N or null}
"""

import gc
import json
import os
import select
import signal
import sys
from contextlib import suppress
from typing import Any

from simmer_trainer import __main__ as trainer
from simmer_trainer.ranks import rank_place

_POLL_SECONDS = 0.02
#: Trainers that were not reaped yet.
running: set[int] = set()


def main() -> None:
    trainer._prepare_environment(rank_place(os.environ))
    from simmer_trainer.libraries import load_libraries

    load_libraries()
    import simmer_trainer.sft
    import simmer_trainer.training  # noqa: F401

    # What is here already is looked at by no trainer's garbage collection, and so stays shared with this process.
    gc.freeze()
    say({"ready": True})
    unread = b""
    while True:
        if select.select([0], [], [], _POLL_SECONDS)[0]:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return kill_all()
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                start(json.loads(line))
        reap()


def start(request: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        become_trainer(request)
    running.add(pid)
    say({"started": pid})


def kill_all() -> None:
    """Whoever asked for them is gone: nobody else would end them."""
    for pid in running:
        # One that was forked just now leads no group yet.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def become_trainer(request: dict[str, Any]) -> None:
    os.setsid()
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.update(request["environment"])
    try:
        trainer.main()
    finally:
        os._exit(1)


def reap() -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            running.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            say({"ended": pid, "exitCode": code if code >= 0 else None, "signal": -code if code < 0 else None})


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
