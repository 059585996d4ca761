"""The process: its start, its contract, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import metadata

import grpc
import pytest
from conftest import PACKAGE_FOLDER, RunningGrader, started, started_on_socket
from grpc_health.v1 import health_pb2, health_pb2_grpc

from simmer_grader.generated.simmer.grader.v1 import grader_pb2 as pb


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def wait_until_gone(pids: list[int], seconds: float) -> list[int]:
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def test_handshake_names_the_address(grader: RunningGrader) -> None:
    assert grader.handshake.startswith("SIMMER-GRADER|1|1|unix:")
    assert grader.handshake.endswith("/grader.sock")


def test_describes_itself(grader: RunningGrader) -> None:
    response = grader.stub.Describe(pb.DescribeRequest(), timeout=60)
    assert response.name == "math-verify"
    assert response.version
    assert response.versions["math-verify"] == metadata.version("math-verify")
    assert response.versions["sympy"] == metadata.version("sympy")


def test_is_healthy(grader: RunningGrader) -> None:
    checks = health_pb2_grpc.HealthStub(grader.channel)
    for service in ("", "simmer.grader.v1.GraderService"):
        response = checks.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_refuses_too_many_items(grader: RunningGrader) -> None:
    assert grader.grade() == []
    with pytest.raises(grpc.RpcError) as raised:
        grader.grade(*[("1", "1")] * 1025)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "1025" in raised.value.details()


def test_the_time_in_which_others_have_the_machine_is_none_of_a_comparison() -> None:
    with started_on_socket() as grader:
        assert grader.verdict("1", "1") == "RIGHT"
        workers = children(grader.process.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        request = pb.GradeRequest(items=[pb.GradeItem(id="0", gold="1", answer="1")], timeout_milliseconds=1000)
        waiting = grader.stub.Grade.future(request, timeout=60)
        time.sleep(1.5)
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        assert [grade.verdict for grade in waiting.result().grades] == [pb.VERDICT_RIGHT]


def test_ends_when_stdin_closes_also_in_the_middle_of_a_call() -> None:
    with started_on_socket() as grader:
        grader.grade(("1", "1"))
        workers = children(grader.process.pid)
        assert len(workers) == 2
        request = pb.GradeRequest(items=[pb.GradeItem(id="0", gold="1", answer=r"$9^{9^{3 \cdot 3}}$")])
        hanging = grader.stub.Grade.future(request, timeout=60)
        time.sleep(1.5)
        assert grader.process.stdin is not None and grader.process.stdout is not None
        grader.process.stdin.close()
        assert grader.process.wait(timeout=60) == 0
        assert grader.process.stdout.read() == ""
        assert isinstance(hanging.exception(timeout=60), grpc.RpcError)
        assert wait_until_gone(workers, 60) == []


def test_workers_do_not_outlive_a_killed_grader() -> None:
    with started_on_socket() as grader:
        grader.grade(("1", "1"))
        workers = children(grader.process.pid)
        item = pb.GradeItem(id="0", gold="1", answer=r"$9^{9^{3 \cdot 3}}$")
        hanging = grader.stub.Grade.future(pb.GradeRequest(items=[item], timeout_milliseconds=4000), timeout=60)
        time.sleep(1.5)
        grader.process.kill()
        assert isinstance(hanging.exception(timeout=60), grpc.RpcError)
        assert wait_until_gone(workers, 60) == []


def test_tcp_needs_the_token() -> None:
    with started("127.0.0.1:0", SIMMER_GRADER_TOKEN="secret") as grader:
        assert not grader.address.endswith(":0")
        for headers in ((), (("authorization", "Bearer other"),)):
            with pytest.raises(grpc.RpcError) as raised:
                grader.stub.Describe(pb.DescribeRequest(), timeout=60, metadata=headers)
            assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
        headers = (("authorization", "Bearer secret"),)
        assert grader.stub.Describe(pb.DescribeRequest(), timeout=60, metadata=headers).name == "math-verify"


@pytest.mark.parametrize("env", [{}, {"SIMMER_GRADER_ADDRESS": "127.0.0.1:0"}])
def test_says_what_the_environment_lacks(env: dict[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SIMMER_")}
    result = subprocess.run(
        [sys.executable, "-m", "simmer_grader"],
        cwd=PACKAGE_FOLDER,
        env={**clean, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2
    assert "SIMMER_GRADER_" in result.stderr
    assert result.stdout == ""
