"""Training attempts: accepted, run one at a time in a thread of their own, and ended. No call keeps one alive."""

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from simmer_trainer.agreed_control import AgreedControl
from simmer_trainer.checkpoints import Checkpoint, list_checkpoints, read_marker
from simmer_trainer.errors import (
    AttemptStopped,
    RequestError,
    TrainingError,
    cause_of,
    invalid,
    is_out_of_memory,
    refused,
)
from simmer_trainer.fence import Fence
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import check_hyperparameters, parse_extensions
from simmer_trainer.journal import AttemptJournal, AttemptRecord, Journals
from simmer_trainer.libraries import load_libraries
from simmer_trainer.memory import release_memory
from simmer_trainer.models import ModelCache, check_source
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.ranks import Leader
from simmer_trainer.training_control import StopRequest, TrainingControl

# The highest step that any attempt of a job has told of, in its output folder. Not synced: only `rerun` depends on it.
_STEPS_DONE = "steps-done"
_POLL_SECONDS = 0.2


class RunningAttempt:
    """One attempt in flight: what its job tells us, and what others want of it (see TrainingControl)."""

    def __init__(self, request: pb.StartTrainingRequest, journal: AttemptJournal, fence: Fence) -> None:
        self.request = request
        self.journal = journal
        self.fence = fence
        self.ended = threading.Event()
        self.last_step = 0
        self._lock = threading.Lock()
        self._stop: StopRequest | None = None
        self._has_begun = False
        self._has_end = False
        self._waiting: list[Future[Checkpoint]] = []
        self._steps_done = Path(request.output_folder) / _STEPS_DONE
        self._done_before = _read_number(self._steps_done)
        self._steps_file: int | None = None
        self._failure: OSError | None = None
        journal.before_write = self._note_steps

    @property
    def id(self) -> str:
        return self.request.attempt_id

    def emit(self, event: pb.TrainerEvent) -> None:
        with self._lock:
            if self._has_end:
                raise AttemptStopped
            self._has_begun = self._has_begun or event.HasField("training_started")
            # Nothing comes behind the end.
            self.journal.append(event)

    def take_end(self, *, before_its_beginning: bool = False) -> bool:
        """Whether the caller is to end the attempt: somebody does once. Nothing is to be saved before its beginning."""
        with self._lock:
            if self._has_end or (before_its_beginning and self._has_begun):
                return False
            self._has_end = True
            return True

    def stop(self, request: StopRequest) -> None:
        """The first who asks is named; one that is in more of a hurry is heeded."""
        with self._lock:
            if self._stop is None or (self._stop.checkpoint_first and not request.checkpoint_first):
                self._stop = request

    def stop_request(self) -> StopRequest | None:
        return self._stop

    def wants_checkpoint(self) -> bool:
        with self._lock:
            return bool(self._waiting)

    def request_checkpoint(self) -> "Future[Checkpoint]":
        """A checkpoint of the step that is under way, or of the last one where it was saved already."""
        future: Future[Checkpoint] = Future()
        with self._lock:
            self._waiting.append(future)
        if self.ended.is_set():
            self._refuse_waiting()
        return future

    def checkpoint_saved(self, checkpoint: Checkpoint) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(checkpoint)

    def step_done(self, step: int) -> None:
        """Raises OSError where steps before it could not be noted."""
        if self._failure is not None:
            raise self._failure
        self.last_step = step

    def _note_steps(self, events: Sequence[pb.TrainerEvent]) -> None:
        """Before anyone can see that a step was done: one that was never told is no rerun when it is done again."""
        step = next((event.step_logged.step for event in reversed(events) if event.HasField("step_logged")), 0)
        if step > self._done_before:
            try:
                if self._steps_file is None:
                    self._steps_file = os.open(self._steps_done, os.O_WRONLY | os.O_CREAT, 0o644)
                # In place and of one length: whenever this is killed, there is a number in it.
                os.pwrite(self._steps_file, f"{step:010d}".encode(), 0)
            except OSError as error:
                # The disk of the job, not that of the journal: told by the training.
                self._failure = error

    def was_run_before(self, step: int) -> bool:
        return step <= self._done_before

    def finish(self) -> None:
        if self._steps_file is not None:
            os.close(self._steps_file)
            self._steps_file = None
        self.ended.set()
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_exception(refused("attempt_ended", f"Attempt {self.id} ended before it saved a checkpoint."))


class Attempts:
    """All attempts that this process knows, and the one that runs."""

    def __init__(
        self,
        folder: Path,
        device: threading.Lock,
        models: ModelCache,
        leader: Leader | None,
        on_broken: Callable[[], None],
    ) -> None:
        """@param on_broken called where the ranks are no longer of one mind, and only a new process helps"""
        self._journals = Journals(folder)
        # Held by whoever computes: training and generation do not share a device.
        self._device = device
        self._models = models
        self._leader = leader
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self._running: RunningAttempt | None = None
        self._closed = False
        for journal in self._journals.unfinished():
            _close_killed(journal)

    @property
    def running(self) -> RunningAttempt | None:
        running = self._running
        # Who has seen the end of an attempt must not be told that it still runs, though it may be tidying up.
        return running if running is not None and not running.journal.has_ended else None

    def journal(self, attempt_id: str) -> AttemptJournal:
        """Raises RequestError NOT_FOUND."""
        return self._journals.get(attempt_id)

    def start(self, request: pb.StartTrainingRequest) -> bool:
        """Accepts an attempt. Returns whether it had been started before."""
        with self._lock:
            if self._journals.find(request.attempt_id) is not None:
                return True
            if self._closed:
                raise refused("trainer_stopping", "This trainer is shutting down.")
            running = self.running
            if running is not None:
                raise refused("attempt_running", f"Attempt {running.id} is running; cancel it first.")
            _check(request)
            record = _record_of(request)
            self._journals.check_new(record)
            fence = Fence(record)
            fence.claim()
            attempt = RunningAttempt(request, self._journals.create(record), fence)
            self._running = attempt
            thread = threading.Thread(target=self._run, args=[attempt], name=f"attempt {attempt.id}", daemon=True)
            thread.start()
            return False

    def stop(self, attempt_id: str, request: StopRequest) -> bool:
        """Ends an attempt and waits until it has ended. Returns whether it was running."""
        self._journals.get(attempt_id)
        running = self.running
        if running is None or running.id != attempt_id:
            return False
        self._stop(running, request)
        running.ended.wait()
        return True

    def close(self, reason: str, grace_seconds: float | None) -> None:
        """No new attempts; a running one saves a checkpoint and ends, within the grace if there is one."""
        with self._lock:
            self._closed = True
            running = self.running
        if running is None:
            return
        self._stop(running, StopRequest(checkpoint_first=True, reason=reason))
        if not running.ended.wait(grace_seconds):
            _say(f"Attempt {running.id} did not reach a step boundary within {grace_seconds:g} s.")

    def _stop(self, running: RunningAttempt, request: StopRequest) -> None:
        running.stop(request)
        # Libraries and models take long to load, and cannot be broken off: the thread sees later that it has ended.
        # Of several ranks all have to see it at once.
        if self._leader is None and running.take_end(before_its_beginning=True):
            self._tell_end(running, _canceled(running))

    def checkpoint(self, attempt_id: str) -> "Future[Checkpoint]":
        self._journals.get(attempt_id)
        running = self.running
        if running is None or running.id != attempt_id:
            raise refused("attempt_ended", f"Attempt {attempt_id} has ended.")
        return running.request_checkpoint()

    def _run(self, attempt: RunningAttempt) -> None:
        while not self._device.acquire(timeout=_POLL_SECONDS):
            # Someone generates. Whoever cancels meanwhile does not wait for them.
            if attempt.stop_request() is not None:
                self._end(attempt, _canceled(attempt))
                return
        try:
            # What generation left behind is memory that training needs.
            self._models.clear()
            release_memory()
            ending = self._run_job(attempt)
            # Whoever canceled it does not wait for the tidying up; whoever wants the device does.
            self._end(attempt, ending)
            release_memory()
        finally:
            self._device.release()

    def _run_job(self, attempt: RunningAttempt) -> pb.TrainerEvent | None:
        """Runs the job; returns the event that ends it where it did not emit one itself."""
        if self._leader is None:
            end = run_part(attempt.request, attempt, RankGroup.alone())
        else:
            group = self._leader.group
            self._leader.begin(attempt.request, lambda failure: self._abandon(attempt, failure))
            end = run_part(attempt.request, AgreedControl(group, attempt, attempt.fence), group)
            if not self._leader.settle():
                _say("Not all ranks have ended the attempt; exiting.")
                self._on_broken()
        if isinstance(end, pb.TrainingFailed):
            end.step = attempt.last_step
            return pb.TrainerEvent(training_failed=end)
        return _canceled(attempt) if end is not None else None

    def _abandon(self, attempt: RunningAttempt, failure: pb.TrainingFailed) -> None:
        """Another rank has failed, and this one waits for it for ever."""
        failure.step = attempt.last_step
        self._end(attempt, pb.TrainerEvent(training_failed=failure))
        self._on_broken()

    def _end(self, attempt: RunningAttempt, ending: pb.TrainerEvent | None) -> None:
        if attempt.take_end():
            self._tell_end(attempt, ending)

    def _tell_end(self, attempt: RunningAttempt, ending: pb.TrainerEvent | None) -> None:
        try:
            if ending is not None:
                attempt.journal.append(ending)
        except OSError as error:
            # Nobody can be told. The next process finds an attempt without an end, and says so.
            _say(f"The journal of attempt {attempt.id} cannot be written ({error}); exiting.")
            os._exit(1)
        attempt.finish()


def run_part(
    request: pb.StartTrainingRequest, control: TrainingControl, group: RankGroup
) -> pb.TrainingFailed | AttemptStopped | None:
    """One rank's part of an attempt. Returns why it ended before its end. Nothing escapes."""
    try:
        load_libraries(for_training=True)
        from simmer_trainer.training import train

        train(request, control, group)
    except AttemptStopped as stopped:
        return stopped
    except (TrainingError, RequestError) as error:
        row_ids, batch_file = (error.row_ids, error.batch_file) if isinstance(error, TrainingError) else ((), "")
        return pb.TrainingFailed(code=error.code, message=error.message, row_ids=row_ids, batch_file=batch_file or None)
    except BaseException as error:
        _say(traceback.format_exc())
        return _unexpected(cause_of(error))
    return None


def _unexpected(error: BaseException) -> pb.TrainingFailed:
    if is_out_of_memory(error):
        return pb.TrainingFailed(
            code="out_of_memory",
            message=f"Memory ran out ({_first_line(error)}). Lower device_batch_size or max_sequence_length, turn "
            "gradient_checkpointing on, or use METHOD_LORA.",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return pb.TrainingFailed(
            code="disk_full",
            message=f"No space is left on the disk ({error.filename}). Free some, then resume.",
            retryable=True,
        )
    return pb.TrainingFailed(code="internal", message=f"{type(error).__name__}: {_first_line(error)}")


def follow_attempt(request: pb.StartTrainingRequest, group: RankGroup) -> pb.TrainingFailed:
    """A part that is not rank 0's: its failure, or one without a code where there was none."""
    fence = Fence(_record_of(request))
    end = run_part(request, AgreedControl(group, None, fence), group)
    release_memory()
    return end if isinstance(end, pb.TrainingFailed) else pb.TrainingFailed()


def _record_of(request: pb.StartTrainingRequest) -> AttemptRecord:
    return AttemptRecord(request.attempt_id, request.job_id, request.attempt, request.output_folder)


def _canceled(attempt: RunningAttempt) -> pb.TrainerEvent:
    stop = attempt.stop_request()
    checkpoints = list_checkpoints(Path(attempt.request.output_folder))
    return pb.TrainerEvent(
        training_canceled=pb.TrainingCanceled(
            step=attempt.last_step,
            checkpoint=str(checkpoints[-1]) if checkpoints else None,
            reason=stop.reason if stop is not None else "stopped",
        )
    )


def _close_killed(journal: AttemptJournal) -> None:
    journal.append(
        pb.TrainerEvent(
            training_failed=pb.TrainingFailed(
                code="trainer_exited",
                message="The trainer's process ended while this attempt ran.",
                step=max(journal.last_step, 0),
                retryable=True,
            )
        )
    )


def _check(request: pb.StartTrainingRequest) -> None:
    """All that is wrong and can be seen without loading anything."""
    if not request.job_id:
        raise invalid("job_id_missing", "job_id is empty.")
    check_hyperparameters(request.hyperparameters, request.HasField("evaluation_data"))
    parse_extensions(request.extensions)
    check_source(request.model)
    for file in (request.training_data, *([request.evaluation_data] if request.HasField("evaluation_data") else [])):
        if not Path(file).is_file():
            raise invalid("data_not_found", f"There is no file {file}.")
    if not Path(request.output_folder).is_dir():
        raise invalid("output_folder_missing", f"There is no folder {request.output_folder}.")
    if request.HasField("resume_from"):
        try:
            read_marker(Path(request.resume_from))
        except TrainingError as error:
            raise invalid(error.code, error.message) from error


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
