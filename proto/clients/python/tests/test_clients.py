"""What both clients have in common, without a Simmer server."""

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from simmer_client import AsyncClient, Client, SimmerError
from simmer_client.generated.simmer.control.v1 import control_pb2 as pb
from simmer_client.generated.simmer.control.v1 import control_pb2_grpc as pb_grpc


class Unready(pb_grpc.ControlServiceServicer):
    """Is not there for the first two calls; answers the others, but for one about the run "never".

    Of a run that is watched by "latest" it tells one event, and breaks off; the newest is then another one.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.ended = threading.Event()

    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        self.calls += 1
        if self.calls <= 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        if request.run_id == "never":
            self.ended.wait()
        return pb.GetRunResponse(run=pb.Run(run_id=request.run_id, status=pb.RUN_STATUS_COMPLETED))

    def WatchRun(self, request: pb.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchRunResponse]:
        self.calls += 1
        newest = "first" if self.calls == 1 else "second"
        run = newest if request.run_id == "latest" else request.run_id
        sequence = request.from_sequence
        event = {"runId": run, "sequence": sequence, "time": "2026-11-30T08:00:00Z", "type": "step.logged", "data": {}}
        told = pb.Event(sequence=sequence, type="step.logged", json=json.dumps(event))
        yield pb.WatchRunResponse(items=[pb.WatchItem(event=told)])
        if self.calls == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "stopped")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with ThreadPoolExecutor(max_workers=4) as threads:
        server = grpc.server(threads)
        service = Unready()
        pb_grpc.add_ControlServiceServicer_to_server(service, server)
        address = f"unix:{tmp_path}/control.sock"
        server.add_insecure_port(address)
        server.start()
        yield address
        service.ended.set()
        server.stop(None).wait()


def get_run(address: str, run: str, call_seconds: float) -> str:
    with Client(address, call_seconds=call_seconds) as client:
        return client.get_run(run).id


def get_run_async(address: str, run: str, call_seconds: float) -> str:
    async def get() -> str:
        async with AsyncClient(address, call_seconds=call_seconds) as client:
            return (await client.get_run(run)).id

    return asyncio.run(get())


def watch(address: str, run: str) -> list[tuple[str, int]]:
    with Client(address) as client:
        return [(event.run_id, event.sequence) for event in client.watch(run)]


def watch_async(address: str, run: str) -> list[tuple[str, int]]:
    async def watch() -> list[tuple[str, int]]:
        async with AsyncClient(address) as client:
            return [(event.run_id, event.sequence) async for event in client.watch(run)]

    return asyncio.run(watch())


both = pytest.mark.parametrize("get", [get_run, get_run_async])


@both
def test_a_call_waits_for_a_server_that_is_being_started(get: Callable[..., str], address: str) -> None:
    assert get(address, "one", 60) == "one"


@both
def test_a_call_fails_that_takes_longer_than_it_may(get: Callable[..., str], address: str) -> None:
    with pytest.raises(SimmerError) as failure:
        get(address, "never", 0.2)
    assert failure.value.code == "deadline_exceeded"


@pytest.mark.parametrize("watch", [watch, watch_async])
def test_a_watch_that_broke_goes_on_with_the_run_that_it_began_with(
    watch: Callable[..., list[tuple[str, int]]], address: str
) -> None:
    assert watch(address, "latest") == [("first", 1), ("first", 2)]


def test_both_clients_have_the_same_calls_with_the_same_parameters() -> None:
    assert calls_of(AsyncClient) == calls_of(Client)


def calls_of(client: type[Client] | type[AsyncClient]) -> dict[str, list[inspect.Parameter]]:
    """The parameters of what a client's callers may call, by name."""
    public = {name: call for name, call in vars(client).items() if not name.startswith("_")}
    return {name: list(inspect.signature(call).parameters.values()) for name, call in public.items()}
