"""A grader as Simmer starts it: a process of its own on a unix socket."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from simmer_grader.generated.simmer.grader.v1 import grader_pb2 as pb
from simmer_grader.generated.simmer.grader.v1 import grader_pb2_grpc

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


def name_of(verdict: pb.Verdict) -> str:
    name: str = pb.Verdict.Name(verdict)
    return name.removeprefix("VERDICT_")


class RunningGrader:
    """A grader process and a channel to it."""

    def __init__(self, process: subprocess.Popen[str], handshake: str) -> None:
        self.process = process
        self.handshake = handshake
        self.address = handshake.rsplit("|", 1)[-1]
        self.channel = grpc.insecure_channel(self.address)
        self.stub = grader_pb2_grpc.GraderServiceStub(self.channel)

    def grade(self, *pairs: tuple[str, str], milliseconds: int = 0) -> list[pb.Grade]:
        """Grades (gold, answer) pairs; their ids are their places."""
        items = [pb.GradeItem(id=str(place), gold=gold, answer=answer) for place, (gold, answer) in enumerate(pairs)]
        request = pb.GradeRequest(items=items, timeout_milliseconds=milliseconds)
        return list(self.stub.Grade(request, timeout=120).grades)

    def verdict(self, gold: str, answer: str) -> str:
        return name_of(self.grade((gold, answer))[0].verdict)


@contextmanager
def started(address: str, **env: str) -> Iterator[RunningGrader]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simmer_grader"],
        cwd=PACKAGE_FOLDER,
        env={**os.environ, "SIMMER_GRADER_ADDRESS": address, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        grader = RunningGrader(process, process.stdout.readline().rstrip("\n"))
        yield grader
        grader.channel.close()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def started_on_socket() -> Iterator[RunningGrader]:
    # pytest's own folders are too deep for the name of a socket.
    with tempfile.TemporaryDirectory(prefix="grader-") as folder, started(f"unix:{folder}/grader.sock") as grader:
        yield grader


@pytest.fixture(scope="session")
def grader() -> Iterator[RunningGrader]:
    with started_on_socket() as running:
        yield running
