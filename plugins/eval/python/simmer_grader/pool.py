"""Worker processes that compare, and are killed where they take too long."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from .worker import PATIENCE

#: Python and sympy are read from a disk that may be slow.
_START_SECONDS = 50.0


class WorkerStartError(Exception):
    """No worker could be started: not the fault of any item."""


@dataclass(frozen=True)
class Question:
    """What to compare."""

    gold: str
    answer: str


@dataclass(frozen=True)
class Verdict:
    """What was found; the names are the contract's, without VERDICT_."""

    verdict: str
    explanation: str
    parsed_answer: str = ""
    parsed_gold: str = ""


class WorkerPool:
    """A few warm workers, shared by all calls."""

    def __init__(self, size: int = 2) -> None:
        self._free: queue.Queue[_Worker] = queue.Queue()
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._closed = False
        self._threads = ThreadPoolExecutor(max_workers=size, thread_name_prefix="compare")
        for _ in range(size):
            self._free.put(self._spawn())

    def compare_all(
        self, questions: Sequence[Question], seconds: float, is_cancelled: Callable[[], bool] = lambda: False
    ) -> list[Verdict]:
        """Compares each, in order, each within `seconds` of processor time. What nobody waits for any more is left out.

        Raises WorkerStartError.
        """
        cancelled = threading.Event()

        def compare(question: Question) -> Verdict | None:
            if cancelled.is_set() or is_cancelled():
                return None
            return self._compare(question, seconds)

        futures = [self._threads.submit(compare, question) for question in questions]
        try:
            return [verdict for future in futures if (verdict := future.result()) is not None]
        finally:
            cancelled.set()

    def close(self) -> None:
        """Kills every worker."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()

    def _compare(self, question: Question, seconds: float) -> Verdict:
        worker = self._free.get()
        reusable = False
        try:
            worker.wait_until_ready()
            verdict = worker.compare(question, seconds)
            reusable = worker.is_usable
            return verdict
        finally:
            if not reusable:
                self._discard(worker)
                worker = self._spawn()
            self._free.put(worker)

    def _spawn(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise WorkerStartError("The grader is ending.")
            worker = _Worker()
            self._workers.add(worker)
            return worker

    def _discard(self, worker: _Worker) -> None:
        worker.kill()
        with self._lock:
            self._workers.discard(worker)


class _Worker:
    """One process of simmer_grader.worker. It loads while nobody waits for it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "simmer_grader.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection: Connection[Any, Any] = Connection(ours.detach())
        self._give_up = time.monotonic() + _START_SECONDS
        self._ready = False
        self.is_usable = True

    def wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            if not self._connection.poll(max(0.0, self._give_up - time.monotonic())):
                raise WorkerStartError(f"A worker was not ready within {_START_SECONDS:g} seconds.")
            self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise WorkerStartError(f"A worker {self._describe_exit()} while it started; see stderr.") from error
        self._ready = True

    def compare(self, question: Question, seconds: float) -> Verdict:
        """After anything but an answer, the worker is not usable any more."""
        request = json.dumps({"gold": question.gold, "answer": question.answer, "seconds": seconds})
        try:
            self._connection.send_bytes(request.encode())
            if self._connection.poll(PATIENCE * seconds):
                return Verdict(**json.loads(self._connection.recv_bytes()))
        except (EOFError, OSError):
            self.is_usable = False
            if self._exit_code() == -signal.SIGPROF:
                return Verdict("TIMED_OUT", f"The comparison was killed after {seconds:g} seconds of processor time.")
            return Verdict("UNPARSED", f"The comparison broke down: its process {self._describe_exit()}.")
        self.is_usable = False
        return Verdict("TIMED_OUT", f"The comparison was killed after {PATIENCE * seconds:g} seconds.")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return None

    def _describe_exit(self) -> str:
        code = self._exit_code()
        if code is None:
            return "stopped answering"
        return f"ended with signal {-code}" if code < 0 else f"ended with exit code {code}"
