"""The events of an attempt, on disk before anyone sees them, until they are acknowledged.

attempts/<attempt id>/attempt.json    what it is an attempt of
attempts/<attempt id>/events.log      one TrainerEvent a line, encoded and in base64
attempts/<attempt id>/acknowledged    the number up to which events may be forgotten
"""

import binascii
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc

from simmer_trainer.durable import sync, write_file, write_json
from simmer_trainer.errors import RequestError, invalid, refused
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

_ENDINGS = ("training_completed", "training_canceled", "training_failed")
# An attempt id names a folder.
_ATTEMPT_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
# Acknowledged events stay in the file until they are worth a rewrite.
_COMPACT_BYTES = 1 << 20
_BATCH = 256
# Telemetry that waits for the disk; beyond it, training waits.
_PENDING = 4096
# So long a batch of telemetry may gather before it is written: to write and to send takes the interpreter from the
# training, for a few events as long as for many.
_GATHER_SECONDS = 0.005
_TELEMETRY = ("step_logged", "log_written")


@dataclass(frozen=True)
class AttemptRecord:
    """What `attempt.json` holds."""

    attempt_id: str
    job_id: str
    attempt: int
    output_folder: str
    format: int = 1


class AttemptJournal:
    """The events of one attempt. One writer; any number of readers, who see what is durable.

    A thread writes what has gathered while it was syncing, so that training does not wait for the disk at each step.
    """

    def __init__(self, folder: Path, record: AttemptRecord) -> None:
        self.record = record
        # Called by the thread that writes, before events become durable.
        self.before_write: Callable[[Sequence[pb.TrainerEvent]], None] = lambda _: None
        self._folder = folder
        # Each waits for its own: to wake all at each step costs more than its event.
        self._lock = threading.Lock()
        # For the writer: something waits to be written.
        self._appended = threading.Condition(self._lock)
        # For those who append: what waited is being written, or nothing will be any more.
        self._taken = threading.Condition(self._lock)
        # For watchers, and those who flush: more is durable, or nothing will be any more.
        self._changed = threading.Condition(self._lock)
        self._pending: list[pb.TrainerEvent] = []
        # Someone waits until what is pending is durable.
        self._is_urgent = False
        # Encoded, as they are written and sent: those with the last numbers up to _last, without gaps.
        self._events: list[bytes] = []
        self._acknowledged = _read_number(folder / "acknowledged")
        self._last = self._acknowledged
        self._newest: bytes | None = None
        self.has_ended = False
        self._waste = 0
        # Held by whoever writes the file; taken before _lock.
        self._writing = threading.Lock()
        self._file = (folder / "events.log").open("ab")
        self._read()
        self._numbered = self._last
        self._writer: threading.Thread | None = None
        self._failure: OSError | None = None

    def _read(self) -> None:
        path = self._folder / "events.log"
        complete = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                complete += len(line)
                encoded = binascii.a2b_base64(line)
                event = pb.TrainerEvent.FromString(encoded)
                if self._newest is None:
                    # Those before the first were acknowledged, even where the note of it is lost.
                    self._acknowledged = max(self._acknowledged, event.number - 1)
                self._last = event.number
                self._newest = encoded
                self.has_ended = _is_end(event)
                if event.number > self._acknowledged:
                    self._events.append(encoded)
                else:
                    self._waste += len(line)
        # A torn last line: its writer was killed, and nobody has seen it.
        self._file.truncate(complete)

    @property
    def last_step(self) -> int:
        """The last step among the events that are kept."""
        events = map(pb.TrainerEvent.FromString, self._events)
        return max((event.step_logged.step for event in events if event.HasField("step_logged")), default=0)

    def append(self, event: pb.TrainerEvent) -> None:
        """Numbers an event. Telemetry is durable soon; all else, and what came before it, when this returns.

        Raises OSError where the journal cannot be written.
        """
        with self._lock:
            while len(self._pending) >= _PENDING and self._failure is None:
                self._taken.wait()
            if self._failure is not None:
                raise self._failure
            self._numbered += 1
            event.number = self._numbered
            event.time.seconds, event.time.nanos = divmod(time.time_ns(), 10**9)
            self._pending.append(event)
            if self._writer is None:
                name = f"journal {self.record.attempt_id}"
                self._writer = threading.Thread(target=self._write_pending, name=name, daemon=True)
                self._writer.start()
            elif len(self._pending) in (1, _BATCH):
                self._appended.notify()
        if event.WhichOneof("event") not in _TELEMETRY:
            self.flush()

    def flush(self) -> None:
        """Returns when all that was appended is durable. Raises OSError where it cannot be."""
        with self._changed:
            number = self._numbered
            if self._last < number:
                self._is_urgent = True
                self._appended.notify()
            while self._last < number:
                if self._failure is not None:
                    raise self._failure
                self._changed.wait()

    def _write_pending(self) -> None:
        while not self.has_ended:
            with self._changed:
                self._appended.wait_for(lambda: self._pending)
                self._appended.wait_for(lambda: self._is_urgent or len(self._pending) >= _BATCH, _GATHER_SECONDS)
                self._is_urgent = False
                group = self._pending
                self._pending = []
                self._taken.notify_all()
            with self._writing:
                try:
                    self.before_write(group)
                    encoded = [event.SerializeToString() for event in group]
                    self._file.write(b"".join(map(binascii.b2a_base64, encoded)))
                    self._file.flush()
                    os.fsync(self._file.fileno())
                except OSError as error:
                    with self._changed:
                        self._failure = error
                        self._taken.notify_all()
                        self._changed.notify_all()
                    return
                with self._changed:
                    self._events.extend(encoded)
                    self._newest = encoded[-1]
                    self._last = group[-1].number
                    self.has_ended = _is_end(group[-1])
                    self._changed.notify_all()

    def acknowledge(self, number: int) -> None:
        """Events up to this number are safe elsewhere and may be forgotten."""
        with self._changed:
            number = min(number, self._last)
            if number <= self._acknowledged:
                return
            self._acknowledged = number
            forgotten = len(self._events) - (self._last - number)
            self._waste += sum(map(len, self._events[:forgotten]))
            del self._events[:forgotten]
            # Not synced: where it is lost, events are kept a little longer.
            draft = self._folder / "acknowledged.draft"
            draft.write_text(str(number))
            draft.replace(self._folder / "acknowledged")
            is_worth_a_rewrite = self._waste > _COMPACT_BYTES
        if is_worth_a_rewrite:
            self._compact()

    def _compact(self) -> None:
        with self._writing, self._changed:
            # The newest stays in any case: it has the number that the next one goes on from, and may be the end.
            kept = self._events or ([self._newest] if self._newest is not None else [])
            write_file(self._folder / "events.log", b"".join(map(binascii.b2a_base64, kept)).decode())
            self._file.close()
            self._file = (self._folder / "events.log").open("ab")
            self._waste = 0

    def batches_after(self, number: int, wait_seconds: float) -> Iterator[list[bytes]]:
        """Kept events, encoded, then live ones, to the end of the attempt. An empty batch after so long a silence."""
        with self._changed:
            self._check_kept(number)
        while True:
            with self._changed:
                if self._last <= number:
                    if self.has_ended:
                        return
                    self._changed.wait(wait_seconds)
                # Events may be acknowledged while their watcher is slow: the caller has them already.
                number = max(number, self._acknowledged)
                first = len(self._events) - (self._last - number)
                batch = self._events[first : first + _BATCH]
            number += len(batch)
            yield batch

    def _check_kept(self, number: int) -> None:
        if number < self._acknowledged:
            raise RequestError(
                grpc.StatusCode.OUT_OF_RANGE,
                "events_gone",
                f"Events up to {self._acknowledged} of attempt {self.record.attempt_id} were acknowledged and are "
                f"gone; ask for those after {self._acknowledged}, not after {number}.",
            )


class Journals:
    """All attempts that this trainer's folder knows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "attempts"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._journals: dict[str, AttemptJournal] = {}
        for path in sorted(self._folder.iterdir()):
            record = path / "attempt.json"
            # Without it the attempt was never accepted: its writer was killed before.
            if record.exists():
                journal = AttemptJournal(path, AttemptRecord(**json.loads(record.read_text(encoding="utf-8"))))
                self._journals[journal.record.attempt_id] = journal

    def find(self, attempt_id: str) -> AttemptJournal | None:
        return self._journals.get(attempt_id)

    def get(self, attempt_id: str) -> AttemptJournal:
        journal = self.find(attempt_id)
        if journal is None:
            raise RequestError(
                grpc.StatusCode.NOT_FOUND,
                "attempt_unknown",
                f"There is no attempt {attempt_id!r} in this trainer's folder.",
            )
        return journal

    def unfinished(self) -> list[AttemptJournal]:
        return [journal for journal in self._journals.values() if not journal.has_ended]

    def check_new(self, record: AttemptRecord) -> None:
        """Raises RequestError attempt_id_invalid, or attempt_stale where it is not above the last one of its job."""
        if not _ATTEMPT_ID.fullmatch(record.attempt_id):
            raise invalid(
                "attempt_id_invalid", f"attempt_id {record.attempt_id!r} is not of 1 to 128 of A-Z a-z 0-9 _ . -"
            )
        last = max((j.record.attempt for j in self._journals.values() if j.record.job_id == record.job_id), default=0)
        if record.attempt <= last:
            raise refused(
                "attempt_stale",
                f"Attempt {record.attempt} of job {record.job_id} is stale: attempt {last} was started before. "
                "A stale attempt must never write.",
            )

    def create(self, record: AttemptRecord) -> AttemptJournal:
        """Accepts an attempt, durably. Raises as `check_new` does."""
        self.check_new(record)
        folder = self._folder / record.attempt_id
        folder.mkdir(exist_ok=True)
        write_json(folder / "attempt.json", asdict(record))
        sync(self._folder)
        journal = AttemptJournal(folder, record)
        self._journals[record.attempt_id] = journal
        return journal


def _is_end(event: pb.TrainerEvent) -> bool:
    return event.WhichOneof("event") in _ENDINGS


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0
