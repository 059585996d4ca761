"""
The ranks of one trainer. Rank 0 serves and leads; the others do what it does, step by step, and live as long as it and
their launcher's agent do. torchrun gives each process its place in RANK, WORLD_SIZE and LOCAL_RANK.
"""

import ctypes
import json
import os
import platform
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from simmer_trainer import describe
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.libraries import load_libraries
from simmer_trainer.rank_group import RankGroup

_JOIN_SECONDS = 300.0
# How long after one rank failed, or ended, the others may take to end, too, before they count as stuck.
_SETTLE_SECONDS = 5.0
_PARENT_POLL_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class RankPlace:
    """Where a process stands among the ranks."""

    rank: int
    size: int
    local_rank: int
    is_on_one_node: bool
    # Where rank 0 is reached from the other nodes.
    leader_host: str


def rank_place(environment: Mapping[str, str]) -> RankPlace:
    """Rank 0 of 1 where no launcher of ranks says otherwise."""
    size = int(environment.get("WORLD_SIZE", "1"))
    return RankPlace(
        rank=int(environment.get("RANK", "0")),
        size=size,
        local_rank=int(environment.get("LOCAL_RANK", "0")),
        is_on_one_node=int(environment.get("LOCAL_WORLD_SIZE", str(size))) == size,
        leader_host=environment.get("MASTER_ADDR", "127.0.0.1"),
    )


def die_with_parent() -> None:
    """
    Ends this process when the agent that started it is gone. torchrun starts ranks in sessions of their own, so that a
    signal to the agent's group does not reach them, and a new trainer must not meet an old one's ranks.
    """
    parent = os.getppid()
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class Leader:
    """Rank 0's side: what the other ranks are told, and what becomes of them."""

    def __init__(self, place: RankPlace) -> None:
        """Returns when all ranks have joined; ends the process where one does not."""
        self._changed = threading.Condition()
        self._connections: dict[int, Connection] = {}
        self._working: set[int] = set()
        self._on_failure: Callable[[pb.TrainingFailed], None] | None = None
        self._is_closing = False
        # What each rank computes on, by rank.
        self.devices = {0: describe.device()}
        self.group = self._gather(place)

    def begin(self, request: pb.StartTrainingRequest, on_failure: Callable[[pb.TrainingFailed], None]) -> None:
        """Has the others run an attempt. `on_failure` is called where one fails and this rank goes on for seconds."""
        with self._changed:
            self._on_failure = on_failure
            self._working = set(self._connections)
            for connection in self._connections.values():
                connection.send_bytes(b"train" + request.SerializeToString())

    def settle(self) -> bool:
        """Waits until the others have ended the attempt, too. False where one has not: it waits for us in vain."""
        with self._changed:
            self._on_failure = None
            return self._changed.wait_for(lambda: not self._working, _SETTLE_SECONDS)

    def close(self) -> None:
        """Ends the other ranks."""
        self._is_closing = True
        for connection in self._connections.values():
            try:
                connection.send_bytes(b"exit")
            except OSError:
                continue

    def _gather(self, place: RankPlace) -> RankGroup:
        deadline = threading.Timer(_JOIN_SECONDS, _give_up, ["Not all ranks have joined in time; exiting."])
        deadline.daemon = True
        deadline.start()
        group = _open_group(place)
        key = secrets.token_bytes(32)
        host = "127.0.0.1" if place.is_on_one_node else "0.0.0.0"
        with Listener((host, 0), backlog=place.size, authkey=key) as listener:
            group.broadcast(["127.0.0.1" if place.is_on_one_node else place.leader_host, listener.address[1], key])
            for _ in range(place.size - 1):
                connection = listener.accept()
                _keep_alive(connection)
                hello = json.loads(connection.recv_bytes())
                rank = hello["rank"]
                self._connections[rank] = connection
                self.devices[rank] = describe.DeviceFacts(**hello["device"])
                name = f"rank {rank} (process {hello['pid']} on {hello['host']})"
                _say(f"{name} has joined.")
                threading.Thread(target=self._read, args=[rank, name, connection], name=name, daemon=True).start()
        deadline.cancel()
        _say(f"all {place.size} ranks have joined.")
        return group

    def _read(self, rank: int, name: str, connection: Connection) -> None:
        while True:
            try:
                message = connection.recv_bytes()
            except (EOFError, OSError):
                if self._is_closing:
                    return
                # What it had of the model is lost: only a new start from the last checkpoint helps.
                _give_up(f"{name} is gone; exiting, so that the attempt starts again from its last checkpoint.")
            failure = pb.TrainingFailed.FromString(message)
            with self._changed:
                self._working.discard(rank)
                self._changed.notify_all()
                on_failure = self._on_failure
            if failure.code:
                _say(f"{name} failed: {failure.code}: {failure.message}")
                if on_failure is not None:
                    timer = threading.Timer(_SETTLE_SECONDS, self._report, [on_failure, failure])
                    timer.daemon = True
                    timer.start()

    def _report(self, on_failure: Callable[[pb.TrainingFailed], None], failure: pb.TrainingFailed) -> None:
        with self._changed:
            # Where this rank's part has ended meanwhile, that is told already.
            if self._on_failure is not on_failure:
                return
            self._on_failure = None
        on_failure(failure)


def follow(place: RankPlace, run: Callable[[pb.StartTrainingRequest, RankGroup], pb.TrainingFailed]) -> None:
    """
    Any other rank's life: runs the attempts that rank 0 begins, and ends with it. Never returns.
    `run` returns a failure without a code where the attempt did not fail.
    """
    # The agent's signals mean rank 0, which saves a checkpoint with our help and then ends us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    group = _open_group(place)
    host, port, key = group.broadcast(None)
    connection = Client((host, port), authkey=key)
    _keep_alive(connection)
    device = asdict(describe.device())
    hello = {"rank": place.rank, "pid": os.getpid(), "host": socket.gethostname(), "device": device}
    connection.send_bytes(json.dumps(hello).encode())
    requests: list[pb.StartTrainingRequest] = []
    changed = threading.Condition()

    def listen() -> None:
        while True:
            try:
                message = connection.recv_bytes()
            except (EOFError, OSError):
                _give_up(f"rank {place.rank}: rank 0 is gone; exiting.")
            if message == b"exit":
                sys.stderr.flush()
                os._exit(0)
            with changed:
                requests.append(pb.StartTrainingRequest.FromString(message.removeprefix(b"train")))
                changed.notify()

    threading.Thread(target=listen, name="leader", daemon=True).start()
    while True:
        with changed:
            changed.wait_for(lambda: bool(requests))
            request = requests.pop(0)
        connection.send_bytes(run(request, group).SerializeToString())


def _open_group(place: RankPlace) -> RankGroup:
    load_libraries()
    import torch

    if describe.device().name.startswith("cuda"):
        torch.cuda.set_device(place.local_rank)
    return RankGroup.open(place.rank, place.size, on_gpu=describe.device().name.startswith("cuda"))


def _keep_alive(connection: Connection) -> None:
    """A machine that is gone says nothing: noticed in 20 seconds. A process that is gone is noticed at once."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options: dict[str, Any] = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
        for name, value in options.items():
            if hasattr(socket, name):
                same.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _give_up(message: str) -> None:
    _say(message)
    os._exit(1)


def _say(message: str) -> None:
    print(f"simmer_trainer: {message}", file=sys.stderr, flush=True)
