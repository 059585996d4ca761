"""What rank 0 makes of the others' failures, with another rank that only talks."""

import errno
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Client, Connection
from typing import Any

import pytest

from simmer_trainer import describe, ranks
from simmer_trainer.attempts import _unexpected
from simmer_trainer.errors import cause_of
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.ranks import Leader, RankPlace

PLACE = RankPlace(rank=0, size=2, local_rank=0, is_on_one_node=True, leader_host="127.0.0.1")
FAILURE = pb.TrainingFailed(code="out_of_memory", message="Memory ran out.")
SECONDS = 10


class Meeting:
    """Instead of a process group: hands rank 0's address to the other rank, which joins."""

    def __init__(self) -> None:
        self.other: Connection | None = None
        self._joining: threading.Thread | None = None

    def broadcast(self, address: Any) -> Any:
        self._joining = threading.Thread(target=self._join, args=address)
        self._joining.start()
        return address

    def _join(self, host: str, port: int, key: bytes) -> None:
        self.other = Client((host, port), authkey=key)
        hello = {"rank": 1, "pid": 7, "host": "there", "device": asdict(describe.device())}
        self.other.send_bytes(json.dumps(hello).encode())


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    monkeypatch.setattr(ranks, "_SETTLE_SECONDS", 0.1)
    made = Meeting()
    monkeypatch.setattr(ranks, "_open_group", lambda _: made)
    return made


@pytest.fixture
def leader(meeting: Meeting) -> Iterator[Leader]:
    made = Leader(PLACE)
    yield made
    made.close()


def receive(meeting: Meeting) -> bytes:
    assert meeting.other is not None
    assert meeting.other.poll(SECONDS)
    return meeting.other.recv_bytes()


def test_the_failure_of_another_rank_ends_an_attempt_that_waits_for_it(leader: Leader, meeting: Meeting) -> None:
    told, arrived = [], threading.Event()

    def on_failure(failure: pb.TrainingFailed) -> None:
        told.append(failure)
        arrived.set()

    request = pb.StartTrainingRequest(attempt_id="one")
    leader.begin(request, on_failure)
    assert pb.StartTrainingRequest.FromString(receive(meeting).removeprefix(b"train")) == request
    assert meeting.other is not None
    meeting.other.send_bytes(FAILURE.SerializeToString())
    assert arrived.wait(SECONDS)
    assert told == [FAILURE]


def test_a_failure_on_all_ranks_is_told_by_rank_0_alone(
    leader: Leader, meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "_SETTLE_SECONDS", SECONDS)
    told: list[pb.TrainingFailed] = []

    def on_failure(failure: pb.TrainingFailed) -> None:
        told.append(failure)

    leader.begin(pb.StartTrainingRequest(attempt_id="one"), on_failure)
    receive(meeting)
    assert meeting.other is not None
    meeting.other.send_bytes(FAILURE.SerializeToString())
    assert leader.settle()
    leader._report(on_failure, FAILURE)
    # Nor does it end the next attempt.
    leader.begin(pb.StartTrainingRequest(attempt_id="two"), lambda failure: told.append(failure))
    leader._report(on_failure, FAILURE)
    assert told == []


def test_a_rank_that_does_not_end_with_the_attempt_is_noticed(leader: Leader, meeting: Meeting) -> None:
    leader.begin(pb.StartTrainingRequest(attempt_id="one"), lambda _: None)
    assert not leader.settle()


def test_ranks_are_told_to_end_and_named_with_their_devices(leader: Leader, meeting: Meeting) -> None:
    assert [device.name for device in leader.devices.values()] == [describe.device().name] * 2
    leader.close()
    assert receive(meeting) == b"exit"


def test_a_full_disk_of_any_rank_is_told_as_one() -> None:
    from torch.distributed.checkpoint.api import CheckpointException

    full = OSError(errno.ENOSPC, "No space left on device", "/shared/__1_0.distcp")
    failure = _unexpected(cause_of(CheckpointException("save", {1: (full, None)})))  # type: ignore[dict-item]
    assert (failure.code, failure.retryable) == ("disk_full", True)
    assert "/shared/__1_0.distcp" in failure.message
