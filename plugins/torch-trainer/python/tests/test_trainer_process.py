"""The trainer as a launcher and a core see it: a process, its handshake, its journal, its lease."""

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trainer_process import (
    PACKAGE_FOLDER,
    TrainerProcess,
    hyperparameters,
    random_model,
    training_request,
    wait_until,
    write_rows,
)

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str]:
    """Status, and the stable code in the trailing metadata."""
    trailing: Any = error.value
    return trailing.code(), dict(trailing.trailing_metadata()).get("simmer-error-code", "")


def long_request(folder: Path, **changes: Any) -> pb.StartTrainingRequest:
    """One that does not end by itself while a test looks at it."""
    parameters = changes.pop("hyperparameters", None) or hyperparameters(max_steps=100_000)
    return training_request(folder, hyperparameters=parameters, **changes)


def test_the_handshake_is_all_of_stdout_and_the_service_is_healthy(trainer: TrainerProcess) -> None:
    assert trainer.handshake == f"SIMMER-TRAINER|1|1|{trainer.address}\n"
    health = health_pb2_grpc.HealthStub(trainer.channel)
    for service in ("", "simmer.trainer.v1.TrainerService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    described = trainer.stub.Describe(pb.DescribeRequest(), timeout=10)
    assert described.process_id == trainer.process.pid
    assert described.versions["torch"].startswith("2.")
    assert [device.name for device in described.devices] == ["cpu"]
    assert pb.CAPABILITY_DETERMINISTIC_RESUME in described.capabilities
    assert set(described.extensions_schema["properties"]) == {"groupByLength", "weights", "attention", "kernels"}
    trainer.stub.Shutdown(pb.ShutdownRequest(), timeout=30)
    assert trainer.wait_for_exit(30) == 0
    assert trainer.handshake == f"SIMMER-TRAINER|1|1|{trainer.address}\n"


def test_over_tcp_every_call_carries_the_token(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE_FOLDER),
        "SIMMER_TRAINER_ADDRESS": "127.0.0.1:0",
        "SIMMER_TRAINER_TOKEN": "secret",
        "SIMMER_TRAINER_FOLDER": str(tmp_path),
        "SIMMER_DEVICE": "cpu",
    }
    with subprocess.Popen([sys.executable, "-m", "simmer_trainer"], stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 30)[0]
            address = process.stdout.readline().decode().strip().rpartition("|")[2]
            assert not address.endswith(":0")
            with grpc.insecure_channel(address) as channel:
                stub: Any = trainer_pb2_grpc.TrainerServiceStub(channel)
                token = [("authorization", "Bearer secret")]
                assert stub.Describe(pb.DescribeRequest(), metadata=token, timeout=10).name == "simmer-trainer"
                for metadata in ([], [("authorization", "Bearer other")]):
                    with pytest.raises(grpc.RpcError) as refusal:
                        stub.Describe(pb.DescribeRequest(), metadata=metadata, timeout=10)
                    assert code_of(refusal)[0] == grpc.StatusCode.UNAUTHENTICATED
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "SIMMER_TRAINER_ADDRESS and SIMMER_TRAINER_FOLDER must be set"),
        ({"SIMMER_TRAINER_ADDRESS": "127.0.0.1:0", "SIMMER_TRAINER_FOLDER": "."}, "SIMMER_TRAINER_TOKEN"),
        (
            {"SIMMER_TRAINER_ADDRESS": "unix:/x", "SIMMER_TRAINER_FOLDER": ".", "SIMMER_LEASE_SECONDS": "soon"},
            "SIMMER_LEASE_SECONDS is 'soon'",
        ),
    ],
)
def test_without_what_a_launcher_sets_it_says_so_and_exits(environment: dict[str, str], said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "simmer_trainer"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "") + f":{PACKAGE_FOLDER}"}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_events_are_numbered_kept_and_watched_from_any_number(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    assert not forked_trainer.stub.StartTraining(request, timeout=30).already_started
    assert forked_trainer.stub.StartTraining(request, timeout=30).already_started
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
    assert forked_trainer.stub.StartTraining(request, timeout=30).already_started
    assert forked_trainer.events(request.attempt_id, after=6) == events[6:]


def test_an_attempt_that_was_killed_is_closed_by_the_next_process(
    forked_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = long_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=30)
    forked_trainer.wait_for_step(request.attempt_id, 3)
    assert forked_trainer.stub.Describe(pb.DescribeRequest(), timeout=10).running_attempt_id == request.attempt_id
    forked_trainer.restart()
    events = forked_trainer.events(request.attempt_id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].training_failed.code == "trainer_exited"
    assert events[-1].training_failed.retryable
    assert events[-1].training_failed.step >= 3
    assert not forked_trainer.stub.Describe(pb.DescribeRequest(), timeout=10).HasField("running_attempt_id")


def test_a_torn_last_line_of_the_journal_was_never_seen(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=30)
    events = forked_trainer.events(request.attempt_id)
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
    forked_trainer.stub.StartTraining(second, timeout=30)
    with pytest.raises(grpc.RpcError) as busy:
        forked_trainer.stub.StartTraining(training_request(tmp_path, job="other"), timeout=30)
    assert code_of(busy) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_running")
    assert forked_trainer.stub.Cancel(pb.CancelRequest(attempt_id=second.attempt_id), timeout=60).was_running
    for ordinal in (1, 2):
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as stale:
                forked_trainer.stub.StartTraining(training_request(tmp_path, attempt=ordinal), timeout=30)
            assert code_of(stale) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_stale")
        # What it has seen outlives it.
        forked_trainer.restart()
    third = training_request(tmp_path, attempt=3)
    assert not forked_trainer.stub.StartTraining(third, timeout=30).already_started
    assert forked_trainer.events(third.attempt_id)[-1].HasField("training_completed")


def test_a_job_outlives_its_stream(forked_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = training_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=30)
    watch = forked_trainer.stub.Watch(pb.WatchRequest(attempt_id=request.attempt_id))
    next(watch)
    forked_trainer.channel.close()
    forked_trainer.channel = grpc.insecure_channel(forked_trainer.address)
    forked_trainer.stub = trainer_pb2_grpc.TrainerServiceStub(forked_trainer.channel)
    assert forked_trainer.events(request.attempt_id)[-1].HasField("training_completed")


def test_cancel_saves_a_checkpoint_if_asked_and_is_idempotent(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    request = long_request(tmp_path)
    shared_trainer.stub.StartTraining(request, timeout=30)
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
    shared_trainer.stub.StartTraining(at_once, timeout=30)
    shared_trainer.wait_for_step(at_once.attempt_id, 1)
    assert shared_trainer.stub.Cancel(pb.CancelRequest(attempt_id=at_once.attempt_id), timeout=60).was_running
    events = shared_trainer.events(at_once.attempt_id)
    assert not any(event.HasField("checkpoint_saved") for event in events)
    assert not events[-1].training_canceled.HasField("checkpoint")


def test_a_checkpoint_on_request_is_complete_when_the_call_returns(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = long_request(tmp_path)
    shared_trainer.stub.StartTraining(request, timeout=30)
    saved = shared_trainer.stub.Checkpoint(pb.CheckpointRequest(attempt_id=request.attempt_id), timeout=60).checkpoint
    assert saved.step >= 1
    assert Path(saved.path, "simmer-checkpoint.json").is_file()
    assert Path(saved.path).name == f"step-{saved.step:08d}"
    shared_trainer.stub.Cancel(pb.CancelRequest(attempt_id=request.attempt_id), timeout=60)
    with pytest.raises(grpc.RpcError) as ended:
        shared_trainer.stub.Checkpoint(pb.CheckpointRequest(attempt_id=request.attempt_id), timeout=60)
    assert code_of(ended) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_ended")


def test_when_the_lease_runs_out_it_saves_a_checkpoint_and_exits(tmp_path: Path) -> None:
    with TrainerProcess(tmp_path / "trainer") as trainer:
        request = long_request(tmp_path)
        trainer.stub.StartTraining(request, timeout=30)
        trainer.wait_for_step(request.attempt_id, 1)
        shorter = pb.RenewLeaseRequest()
        shorter.duration.FromMilliseconds(500)
        trainer.stub.RenewLease(shorter, timeout=10)
        assert trainer.wait_for_exit(60) == 0
        assert "lease" in trainer.stderr
        trainer.restart()
        canceled = trainer.events(request.attempt_id)[-1].training_canceled
        assert "lease" in canceled.reason
        assert Path(canceled.checkpoint, "simmer-checkpoint.json").is_file()


@pytest.mark.parametrize("how", ["shutdown", "sigterm"])
def test_told_to_end_it_saves_a_checkpoint_of_what_runs(trainer: TrainerProcess, tmp_path: Path, how: str) -> None:
    request = long_request(tmp_path)
    trainer.stub.StartTraining(request, timeout=30)
    trainer.wait_for_step(request.attempt_id, 1)
    if how == "shutdown":
        trainer.stub.Shutdown(pb.ShutdownRequest(), timeout=60)
    else:
        trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait_for_exit(60) == 0
    trainer.restart()
    assert trainer.events(request.attempt_id)[-1].training_canceled.checkpoint


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda request: request.hyperparameters.ClearField("learning_rate"), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "learning_rate", float("nan")), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "device_batch_size", 3), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "evaluate_every_steps", 2), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "method", pb.METHOD_QLORA), "hyperparameters_invalid"),
        (lambda request: request.extensions.update({"flavour": 1}), "extension_unknown"),
        (lambda request: request.extensions.update({"attention": "psychic"}), "extension_invalid"),
        (lambda request: setattr(request, "training_data", "/nowhere.parquet"), "data_not_found"),
        (lambda request: setattr(request, "output_folder", "/nowhere"), "output_folder_missing"),
        (lambda request: setattr(request, "resume_from", "/nowhere"), "checkpoint_invalid"),
        (lambda request: setattr(request, "attempt_id", "../../etc"), "attempt_id_invalid"),
        (lambda request: setattr(request.model, "folder", "/nowhere"), "model_not_found"),
        (lambda request: setattr(request.model, "folder", "/tmp"), "model_invalid"),
        (lambda request: setattr(request.model, "gguf_file", "/etc/hostname"), "model_invalid"),
        (lambda request: request.model.random.config.fields.pop("model_type"), "model_invalid"),
        (lambda request: request.ClearField("model"), "model_missing"),
    ],
)
def test_what_can_never_work_is_refused_at_once_by_name(
    shared_trainer: TrainerProcess, tmp_path: Path, change: Any, code: str
) -> None:
    request = training_request(tmp_path, job=str(uuid.uuid4()))
    change(request)
    with pytest.raises(grpc.RpcError) as refusal:
        shared_trainer.stub.StartTraining(request, timeout=30)
    status, found = code_of(refusal)
    assert found == code
    assert status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
    # It left nothing behind.
    assert not list((tmp_path / "output").iterdir())


BAD_ROWS: dict[str, tuple[list[dict[str, Any]], str, list[str]]] = {
    "a missing column": ([{"prompt": "a"}], "data_invalid", []),
    "no completion": ([{"id": "x", "prompt": "a", "completion": None}], "data_invalid", ["x"]),
    "a message without content": (
        [{"id": "y", "prompt": [{"role": "user", "content": None}], "completion": "b"}],
        "data_invalid",
        ["y"],
    ),
    "nothing to learn": ([{"id": "z", "prompt": "a", "completion": ""}], "mask_empty", ["z"]),
    "a prompt that fills the sequence": (
        [{"id": "long", "prompt": "a" * 300, "completion": "b"}],
        "mask_empty",
        ["long"],
    ),
}


@pytest.mark.parametrize("name", list(BAD_ROWS))
def test_bad_rows_fail_the_attempt_and_are_named(shared_trainer: TrainerProcess, tmp_path: Path, name: str) -> None:
    rows, code, row_ids = BAD_ROWS[name]
    data = write_rows(tmp_path / "bad.parquet", rows)
    request = training_request(tmp_path, job=str(uuid.uuid4()), training_data=str(data))
    shared_trainer.stub.StartTraining(request, timeout=30)
    failed = shared_trainer.events(request.attempt_id)[-1].training_failed
    assert failed.code == code
    assert list(failed.row_ids) == row_ids
    assert not failed.retryable


def test_a_file_that_is_no_parquet_fails_the_attempt(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    data = tmp_path / "rows.parquet"
    data.write_text("prompt,completion\na,b\n")
    request = training_request(tmp_path, job=str(uuid.uuid4()), training_data=str(data))
    shared_trainer.stub.StartTraining(request, timeout=30)
    failed = shared_trainer.events(request.attempt_id)[-1].training_failed
    assert failed.code == "data_invalid"
    assert "Parquet" in failed.message


def test_generate_is_cancelled_within_a_second_and_refused_while_training(
    forked_trainer: TrainerProcess, tmp_path: Path
) -> None:
    message = pb.GenerateRequest(
        model=random_model(max_position_embeddings=4096, attention_dropout=0.0),
        prompts=[pb.Prompt(id=str(index), text=f"{index}") for index in range(64)],
        sampling=pb.SamplingParameters(max_answer_tokens=3000, samples=1),
    )
    call = forked_trainer.stub.Generate(message)
    first = next(call)
    assert first.HasField("progress")
    call.cancel()
    cancelled_at = time.monotonic()
    # The next one gets the device as soon as the first lets go of it.
    message.sampling.max_answer_tokens = 1
    answers = list(forked_trainer.stub.Generate(message, timeout=60))
    assert time.monotonic() - cancelled_at < 5
    assert answers[-1].completed.samples == 64

    request = long_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=30)
    with pytest.raises(grpc.RpcError) as busy:
        list(forked_trainer.stub.Generate(message, timeout=60))
    assert code_of(busy) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_running")


def test_a_slow_reader_holds_generation_up(shared_trainer: TrainerProcess) -> None:
    """Samples that nobody takes are not made: they would pile up in memory."""
    message = pb.GenerateRequest(
        model=random_model(attention_dropout=0.0),
        # Long ids make large samples, which fill the connection's windows sooner.
        prompts=[pb.Prompt(id=f"{index}" + "-" * 4000, text=f"{index}") for index in range(512)],
        sampling=pb.SamplingParameters(max_answer_tokens=40, samples=8, temperature=1),
        max_batch_size=256,
    )
    call = shared_trainer.stub.Generate(message, timeout=120)
    next(call)
    process = psutil.Process(shared_trainer.process.pid)

    def seconds_of_work() -> float:
        times = process.cpu_times()
        return times.user + times.system

    def is_idle() -> bool:
        before = seconds_of_work()
        time.sleep(0.5)
        return seconds_of_work() - before < 0.1

    wait_until(is_idle, 30)
    before = seconds_of_work()
    # It has stopped half way, and goes on when it is read.
    last = list(call)[-1]
    assert last.completed.samples == 512 * 8
    assert seconds_of_work() - before > 1


def test_inspect_shows_the_tokens_and_the_mask_that_training_uses(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(tmp_path)
    parameters = hyperparameters(max_sequence_length=30)
    rows = shared_trainer.stub.Inspect(
        pb.InspectRequest(
            model=request.model, training_data=request.training_data, rows=[3, 0], hyperparameters=parameters
        ),
        timeout=60,
    ).rows
    assert [row.row for row in rows] == [3, 0]
    for row in rows:
        text = "".join(row.tokens)
        trained = "".join(token for token, is_trained in zip(row.tokens, row.trained, strict=True) if is_trained)
        assert row.truncated
        assert len(row.token_ids) == 30
        assert text.startswith("<|im_start|>user\n")
        assert text.endswith(trained)
        assert trained == "" or trained.startswith("<|im_start|>think\n"[: len(trained)])
    with pytest.raises(grpc.RpcError) as beyond:
        shared_trainer.stub.Inspect(
            pb.InspectRequest(model=request.model, training_data=request.training_data, rows=[99]), timeout=60
        )
    assert code_of(beyond) == (grpc.StatusCode.INVALID_ARGUMENT, "row_missing")


def test_the_trainer_dies_with_nothing_left_running(trainer: TrainerProcess, tmp_path: Path) -> None:
    request = long_request(tmp_path)
    trainer.stub.StartTraining(request, timeout=30)
    trainer.wait_for_step(request.attempt_id, 1)
    children = psutil.Process(trainer.process.pid).children(recursive=True)
    trainer.kill()
    wait_until(lambda: not any(child.is_running() for child in children), 5)
