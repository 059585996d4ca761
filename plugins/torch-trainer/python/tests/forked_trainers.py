"""Trainers that start within milliseconds: forks of one process that has imported torch already (trainer_zygote.py)."""

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

_ZYGOTE = Path(__file__).parent / "trainer_zygote.py"


class Zygote:
    """Makes forks. When it is closed, what still runs of them is killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        """@param environment what all its trainers have in common"""
        self._process = subprocess.Popen(
            [sys.executable, str(_ZYGOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._unread = b""
        self._started: deque[int] = deque()
        #: Exit codes of those that have ended, by process id; that of a signal is negative.
        self._ended: dict[int, int] = {}
        assert self._read(120), "the zygote is not ready within 120 s"

    def start(self, environment: dict[str, str], stdout: Path, stderr: Path) -> "Fork":
        request = {"environment": environment, "stdout": str(stdout), "stderr": str(stderr)}
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(request)}\n".encode())
        self._process.stdin.flush()
        while not self._started:
            assert self._read(30), "the zygote forks nothing"
        return Fork(self, self._started.popleft())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def exit_code(self, pid: int, seconds: float) -> int | None:
        """None where it still runs after so many seconds."""
        deadline = time.monotonic() + seconds
        while pid not in self._ended:
            left = max(0, deadline - time.monotonic())
            if not self._read(left):
                return None
        return self._ended[pid]

    def _read(self, seconds: float) -> bool:
        """Takes note of what the zygote says next. @returns whether it said anything in time"""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], seconds)[0]:
            return False
        chunk = os.read(descriptor, 1 << 16)
        assert chunk, "the zygote has ended"
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "started" in said:
                self._started.append(said["started"])
            elif "ended" in said:
                self._ended[said["ended"]] = -said["signal"] if said["exitCode"] is None else said["exitCode"]
        return True


class Fork:
    """What `subprocess.Popen` is for a process of one's own."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote = zygote
        self.pid = pid

    def poll(self) -> int | None:
        return self._zygote.exit_code(self.pid, 0)

    def wait(self, timeout: float = 120) -> int:
        code = self._zygote.exit_code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(["fork"], timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
