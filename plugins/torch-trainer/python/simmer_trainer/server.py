"""The process: where it listens, its handshake, and how it ends."""

import hmac
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from simmer_trainer.encoded_events import EncodedEvents
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc
from simmer_trainer.lease import Lease
from simmer_trainer.ranks import Leader
from simmer_trainer.service import SERVICE_NAME, TrainerService, watch_lease

_HANDSHAKE = "SIMMER-TRAINER|1|1|"
# Watchers hold a thread each, and the lease must be renewed beside them.
_THREADS = 64
# The threads that write and send what a training tells need the interpreter a few times for each batch. By Python's
# default a training that tells much would let each of them wait 5 ms, every time.
_SWITCH_SECONDS = 1e-4
_MAX_REQUEST_BYTES = 256 << 20
_STOP_SECONDS = 2.0


class StartError(Exception):
    """The environment does not say what a trainer needs to start."""


@dataclass(frozen=True)
class ServerOptions:
    """What the launcher says; see trainer.proto."""

    address: str
    token: str | None
    folder: Path
    lease_seconds: float


def options_from_environment(environment: Mapping[str, str]) -> ServerOptions:
    missing = [name for name in ("SIMMER_TRAINER_ADDRESS", "SIMMER_TRAINER_FOLDER") if not environment.get(name)]
    if missing:
        raise StartError(f"{' and '.join(missing)} must be set; a launcher does that.")
    address = environment["SIMMER_TRAINER_ADDRESS"]
    token = environment.get("SIMMER_TRAINER_TOKEN") or None
    if not address.startswith("unix:") and token is None:
        raise StartError("SIMMER_TRAINER_TOKEN must be set to listen on TCP.")
    lease = environment.get("SIMMER_LEASE_SECONDS", "60")
    try:
        seconds = float(lease)
    except ValueError:
        seconds = 0
    if not seconds > 0:
        raise StartError(f"SIMMER_LEASE_SECONDS is {lease!r}, not a number above 0.")
    return ServerOptions(address, token, Path(environment["SIMMER_TRAINER_FOLDER"]), seconds)


def serve(
    options: ServerOptions,
    handshake: Callable[[str], None],
    warm_up: Callable[[], None],
    leader: Leader | None = None,
) -> None:
    """
    Serves until someone ends it. @param handshake prints the line @param warm_up loads what is slow to load
    @param leader of the other ranks, where there are any
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    service = TrainerService(options.folder, Lease(options.lease_seconds), leader)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="call"),
        interceptors=[*([_TokenCheck(options.token)] if options.token is not None else []), EncodedEvents()],
        options=[("grpc.max_receive_message_length", _MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)],
    )
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(service, server)
    health_service = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    for name in ("", SERVICE_NAME):
        health_service.set(name, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port(options.address)
    is_unix = options.address.startswith("unix:")
    address = options.address if is_unix else f"{options.address.rpartition(':')[0]}:{port}"
    server.start()
    # SIGTERM is Shutdown in a hurry: what runs saves a checkpoint.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=_terminate, args=[service], daemon=True).start())
    handshake(f"{_HANDSHAKE}{address}")
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    threading.Thread(target=watch_lease, args=[service], name="lease", daemon=True).start()
    service.exit_requested.wait()
    server.stop(_STOP_SECONDS).wait()
    if leader is not None:
        leader.close()


def _terminate(service: TrainerService) -> None:
    service.attempts.close("the trainer was terminated", None)
    service.exit_requested.set()


class _TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc]
    """Over TCP every call carries the secret."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}"

        def refuse(_: Any, context: Any) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call lacks the token of SIMMER_TRAINER_TOKEN.")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        given = dict(details.invocation_metadata).get("authorization", "")
        if hmac.compare_digest(str(given).encode(), self._expected.encode()):
            return continuation(details)
        return self._refusal


def keep_stdout_for_handshake() -> Callable[[str], None]:
    """Whatever else writes to stdout, in whatever language, writes to stderr. Returns who prints the one line."""
    stdout = os.dup(1)
    os.dup2(2, 1)

    def handshake(line: str) -> None:
        os.write(stdout, f"{line}\n".encode())
        os.close(stdout)

    sys.stdout.flush()
    return handshake
