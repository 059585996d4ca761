"""The trainer as a launcher and a core see it: a process, its handshake, its lease, its end."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trainer_process import (
    PACKAGE_FOLDER,
    TrainerProcess,
    code_of,
    common_environment,
    long_request,
    training_request,
    wait_until,
)

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc


def test_the_handshake_is_all_of_stdout_and_the_service_is_healthy(trainer: TrainerProcess) -> None:
    assert trainer.handshake == f"SIMMER-TRAINER|1|1|{trainer.address}\n"
    health = health_pb2_grpc.HealthStub(trainer.channel)
    for service in ("", "simmer.trainer.v1.TrainerService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    described = trainer.stub.Describe(pb.DescribeRequest(), timeout=60)
    assert described.process_id == trainer.process.pid
    assert described.versions["torch"].startswith("2.")
    assert [device.name for device in described.devices] == ["cpu"]
    assert pb.CAPABILITY_DETERMINISTIC_RESUME in described.capabilities
    assert set(described.extensions_schema["properties"]) == {"groupByLength", "weights", "attention", "kernels"}
    trainer.stub.Shutdown(pb.ShutdownRequest(), timeout=60)
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
                assert stub.Describe(pb.DescribeRequest(), metadata=token, timeout=60).name == "simmer-trainer"
                for metadata in ([], [("authorization", "Bearer other")]):
                    with pytest.raises(grpc.RpcError) as refusal:
                        stub.Describe(pb.DescribeRequest(), metadata=metadata, timeout=60)
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


def test_when_the_lease_runs_out_it_saves_a_checkpoint_and_exits(tmp_path: Path) -> None:
    with TrainerProcess(tmp_path / "trainer") as trainer:
        request = long_request(tmp_path)
        trainer.stub.StartTraining(request, timeout=60)
        trainer.wait_for_step(request.attempt_id, 1)
        shorter = pb.RenewLeaseRequest()
        shorter.duration.FromMilliseconds(500)
        trainer.stub.RenewLease(shorter, timeout=60)
        assert trainer.wait_for_exit(60) == 0
        # The last line is told as why it ended. DeepSpeed, which is there in some environments, names the device.
        (said,) = [line for line in trainer.stderr.splitlines() if "real_accelerator" not in line]
        assert "lease" in said
        trainer.restart()
        canceled = trainer.events(request.attempt_id)[-1].training_canceled
        assert "lease" in canceled.reason
        assert Path(canceled.checkpoint, "simmer-checkpoint.json").is_file()


@pytest.mark.parametrize("how", ["shutdown", "sigterm"])
def test_told_to_end_it_saves_a_checkpoint_of_what_runs(trainer: TrainerProcess, tmp_path: Path, how: str) -> None:
    request = long_request(tmp_path)
    trainer.stub.StartTraining(request, timeout=60)
    trainer.wait_for_step(request.attempt_id, 1)
    if how == "shutdown":
        trainer.stub.Shutdown(pb.ShutdownRequest(), timeout=60)
    else:
        trainer.process.send_signal(signal.SIGTERM)
    assert trainer.wait_for_exit(60) == 0
    trainer.restart()
    assert trainer.events(request.attempt_id)[-1].training_canceled.checkpoint


@pytest.mark.parametrize("how", ["cancel", "shutdown"])
def test_an_attempt_whose_libraries_load_ends_when_told_without_waiting_for_them(tmp_path: Path, how: str) -> None:
    gate = tmp_path / "gate"
    slow = tmp_path / "slow" / "trl"
    slow.mkdir(parents=True)
    # Stands for a library on a slow disk; then the real one takes its place.
    lines = [
        "import pathlib, sys, time",
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)",
        f"sys.path.remove({str(slow.parent)!r}); del sys.modules['trl']; import trl",
    ]
    (slow / "__init__.py").write_text("\n".join(lines))
    path = f"{slow.parent}{os.pathsep}{common_environment()['PYTHONPATH']}"
    with TrainerProcess(tmp_path / "trainer", environment={"PYTHONPATH": path}) as trainer:
        request = training_request(tmp_path)
        trainer.stub.StartTraining(request, timeout=60)
        if how == "shutdown":
            trainer.stub.Shutdown(pb.ShutdownRequest(), timeout=60)
            assert trainer.wait_for_exit(60) == 0
            trainer.restart()
            assert [event.WhichOneof("event") for event in trainer.events(request.attempt_id)] == ["training_canceled"]
            return
        cancel = pb.CancelRequest(attempt_id=request.attempt_id, checkpoint_first=True)
        assert trainer.stub.Cancel(cancel, timeout=60).was_running
        second = training_request(tmp_path, attempt=2)
        trainer.stub.StartTraining(second, timeout=60)
        gate.touch()
        assert trainer.events(second.attempt_id)[-1].HasField("training_completed")
        assert [event.WhichOneof("event") for event in trainer.events(request.attempt_id)] == ["training_canceled"]


def test_the_trainer_dies_with_nothing_left_running(trainer: TrainerProcess, tmp_path: Path) -> None:
    request = long_request(tmp_path)
    trainer.stub.StartTraining(request, timeout=60)
    trainer.wait_for_step(request.attempt_id, 1)
    children = psutil.Process(trainer.process.pid).children(recursive=True)
    trainer.kill()
    wait_until(lambda: not any(child.is_running() for child in children), 60)
