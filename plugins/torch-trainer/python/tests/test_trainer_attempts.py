"""Attempts and their events: numbered, kept, watched, one at a time, and ended when that is asked for."""

import time
from pathlib import Path

import grpc
import pytest
from trainer_process import (
    TrainerProcess,
    code_of,
    long_request,
    training_request,
)

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc


def test_events_are_numbered_kept_and_watched_from_any_number(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    assert not forked_trainer.stub.StartTraining(request, timeout=60).already_started
    assert forked_trainer.stub.StartTraining(request, timeout=60).already_started
    events = forked_trainer.events(request.attempt_id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[0].HasField("training_started")
    assert [event.step_logged.step for event in events if event.HasField("step_logged")] == list(range(1, 11))
    assert events[-1].training_completed.steps == 10
    # A second watcher, and one that comes in the middle.
    assert forked_trainer.events(request.attempt_id) == events
    assert forked_trainer.events(request.attempt_id, after=4) == events[4:]
    assert forked_trainer.events(request.attempt_id, after=len(events)) == []

    renewed = forked_trainer.stub.RenewLease(
        pb.RenewLeaseRequest(attempt_id=request.attempt_id, acknowledged_event_number=6), timeout=10
    )
    assert renewed.expires_at.ToSeconds() > time.time() + 50
    with pytest.raises(grpc.RpcError) as refusal:
        forked_trainer.events(request.attempt_id, after=5)
    assert code_of(refusal) == (grpc.StatusCode.OUT_OF_RANGE, "events_gone")
    assert forked_trainer.events(request.attempt_id, after=6) == events[6:]
    with pytest.raises(grpc.RpcError) as unknown:
        forked_trainer.events("never-heard-of")
    assert code_of(unknown)[0] == grpc.StatusCode.NOT_FOUND

    # All that survives the process.
    forked_trainer.restart()
    assert forked_trainer.stub.StartTraining(request, timeout=60).already_started
    assert forked_trainer.events(request.attempt_id, after=6) == events[6:]


def test_an_attempt_that_was_killed_is_closed_by_the_next_process(
    forked_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = long_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=60)
    forked_trainer.wait_for_step(request.attempt_id, 3)
    assert forked_trainer.stub.Describe(pb.DescribeRequest(), timeout=60).running_attempt_id == request.attempt_id
    forked_trainer.restart()
    events = forked_trainer.events(request.attempt_id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].training_failed.code == "trainer_exited"
    assert events[-1].training_failed.retryable
    assert events[-1].training_failed.step >= 3
    assert not forked_trainer.stub.Describe(pb.DescribeRequest(), timeout=60).HasField("running_attempt_id")


def test_a_torn_last_line_of_the_journal_was_never_seen(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    events = forked_trainer.train(request)
    forked_trainer.kill()
    journal = forked_trainer.folder / "state" / "attempts" / request.attempt_id / "events.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    forked_trainer.start()
    after = forked_trainer.events(request.attempt_id)
    assert after[:-1] == events[:-1]
    assert after[-1].number == events[-1].number
    assert after[-1].training_failed.code == "trainer_exited"


def test_one_attempt_runs_and_a_stale_one_never_does(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    second = long_request(tmp_path, attempt=2)
    forked_trainer.stub.StartTraining(second, timeout=60)
    with pytest.raises(grpc.RpcError) as busy:
        forked_trainer.stub.StartTraining(training_request(tmp_path, job="other"), timeout=60)
    assert code_of(busy) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_running")
    assert forked_trainer.stub.Cancel(pb.CancelRequest(attempt_id=second.attempt_id), timeout=60).was_running
    for ordinal in (1, 2):
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as stale:
                forked_trainer.stub.StartTraining(training_request(tmp_path, attempt=ordinal), timeout=60)
            assert code_of(stale) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_stale")
        # What it has seen outlives it.
        forked_trainer.restart()
    third = training_request(tmp_path, attempt=3)
    assert not forked_trainer.stub.StartTraining(third, timeout=60).already_started
    assert forked_trainer.events(third.attempt_id)[-1].HasField("training_completed")


def test_a_job_outlives_its_stream(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=60)
    watch = forked_trainer.stub.Watch(pb.WatchRequest(attempt_id=request.attempt_id))
    next(watch)
    forked_trainer.channel.close()
    forked_trainer.channel = grpc.insecure_channel(forked_trainer.address)
    forked_trainer.stub = trainer_pb2_grpc.TrainerServiceStub(forked_trainer.channel)
    assert forked_trainer.events(request.attempt_id)[-1].HasField("training_completed")


def test_cancel_saves_a_checkpoint_if_asked_and_is_idempotent(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = long_request(tmp_path)
    shared_trainer.stub.StartTraining(request, timeout=60)
    shared_trainer.wait_for_step(request.attempt_id, 2)
    cancel = pb.CancelRequest(attempt_id=request.attempt_id, checkpoint_first=True)
    assert shared_trainer.stub.Cancel(cancel, timeout=60).was_running
    assert not shared_trainer.stub.Cancel(cancel, timeout=60).was_running
    events = shared_trainer.events(request.attempt_id)
    saved, canceled = events[-2].checkpoint_saved, events[-1].training_canceled
    assert canceled.step == saved.step >= 2
    assert canceled.checkpoint == saved.path
    assert "caller" in canceled.reason
    assert Path(saved.path, "simmer-checkpoint.json").is_file()

    at_once = long_request(tmp_path / "other", job="other")
    shared_trainer.stub.StartTraining(at_once, timeout=60)
    shared_trainer.wait_for_step(at_once.attempt_id, 1)
    assert shared_trainer.stub.Cancel(pb.CancelRequest(attempt_id=at_once.attempt_id), timeout=60).was_running
    events = shared_trainer.events(at_once.attempt_id)
    assert not any(event.HasField("checkpoint_saved") for event in events)
    assert not events[-1].training_canceled.HasField("checkpoint")


def test_a_checkpoint_on_request_is_complete_when_the_call_returns(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = long_request(tmp_path)
    shared_trainer.stub.StartTraining(request, timeout=60)
    saved = shared_trainer.stub.Checkpoint(pb.CheckpointRequest(attempt_id=request.attempt_id), timeout=60).checkpoint
    assert saved.step >= 1
    assert Path(saved.path, "simmer-checkpoint.json").is_file()
    assert Path(saved.path).name == f"step-{saved.step:08d}"
    shared_trainer.stub.Cancel(pb.CancelRequest(attempt_id=request.attempt_id), timeout=60)
    with pytest.raises(grpc.RpcError) as ended:
        shared_trainer.stub.Checkpoint(pb.CheckpointRequest(attempt_id=request.attempt_id), timeout=60)
    assert code_of(ended) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_ended")
