"""
Which attempt may write into an output folder: the last one that claimed it. The claim lies in the folder itself, so it
holds between trainers that know nothing of each other, on every machine that shares the folder.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simmer_trainer.durable import write_json
from simmer_trainer.errors import TrainingError, refused
from simmer_trainer.journal import AttemptRecord

CLAIM = "simmer-attempt.json"
_LOCK = ".simmer-attempt.lock"
_FORMAT = 1


class Fence:
    """One attempt's claim to its output folder."""

    def __init__(self, record: AttemptRecord) -> None:
        self._record = record
        self._folder = Path(record.output_folder)

    def claim(self) -> None:
        """Takes the folder. Raises RequestError attempt_stale where an attempt of this job that is not below has it."""
        mine = self._record
        with self._locked():
            claim = self._read()
            is_of_job = claim.get("job_id") == mine.job_id and claim["attempt_id"] != mine.attempt_id
            if is_of_job and claim["attempt"] >= mine.attempt:
                raise refused(
                    "attempt_stale",
                    f"Attempt {mine.attempt} of job {mine.job_id} is stale: attempt {claim['attempt']} has taken "
                    f"{self._folder}. A stale attempt must never write.",
                )
            write_json(
                self._folder / CLAIM,
                {"format": _FORMAT, "job_id": mine.job_id, "attempt": mine.attempt, "attempt_id": mine.attempt_id},
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else claims the folder meanwhile. Raises TrainingError attempt_stale where somebody has."""
        with self._locked():
            self._check()
            yield

    def check(self) -> None:
        """Raises TrainingError attempt_stale where the folder is another attempt's by now."""
        with self._locked():
            self._check()

    def _check(self) -> None:
        claim = self._read()
        if claim.get("attempt_id") != self._record.attempt_id:
            raise TrainingError(
                "attempt_stale",
                f"Attempt {claim.get('attempt')} of job {claim.get('job_id')} has taken {self._folder} over: attempt "
                f"{self._record.attempt} is stale and writes nothing more.",
            )

    def _read(self) -> dict[str, Any]:
        try:
            claim: dict[str, Any] = json.loads((self._folder / CLAIM).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return claim

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file of its own: the claim is replaced by another file each time.
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
