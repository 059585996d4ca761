"""The peer: a Python server with grpcio and nothing else that makes steps and sends them, in the trainer's batches."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc

from events_steps import completed, step_logged

BATCH = 256
steps = int(sys.argv[1])
address = os.environ["SIMMER_TRAINER_ADDRESS"]
done = threading.Event()


class Sender(trainer_pb2_grpc.TrainerServiceServicer):
    def __init__(self) -> None:
        self.output_folder = Path()

    def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        return pb.DescribeResponse(
            name="bench", version="1", capabilities=[pb.CAPABILITY_TRAIN], process_id=os.getpid()
        )

    def StartTraining(self, request: pb.StartTrainingRequest, context: Any) -> pb.StartTrainingResponse:
        self.output_folder = Path(request.output_folder)
        return pb.StartTrainingResponse()

    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        for first in range(1, steps + 1, BATCH):
            events = [self._numbered(step, step_logged(step)) for step in range(first, min(first + BATCH, steps + 1))]
            yield pb.WatchResponse(events=events)
        yield pb.WatchResponse(events=[self._numbered(steps + 1, completed(steps, self.output_folder))])

    def RenewLease(self, request: pb.RenewLeaseRequest, context: Any) -> pb.RenewLeaseResponse:
        response = pb.RenewLeaseResponse()
        response.expires_at.FromMilliseconds(int((time.time() + 60) * 1000))
        return response

    def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.CancelResponse:
        return pb.CancelResponse()

    def Shutdown(self, request: pb.ShutdownRequest, context: Any) -> pb.ShutdownResponse:
        done.set()
        return pb.ShutdownResponse()

    @staticmethod
    def _numbered(number: int, event: pb.TrainerEvent) -> pb.TrainerEvent:
        event.number = number
        # As the trainer does: GetCurrentTime takes four times as long, half of what a step costs here.
        event.time.seconds, event.time.nanos = divmod(time.time_ns(), 10**9)
        return event


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
trainer_pb2_grpc.add_TrainerServiceServicer_to_server(Sender(), server)
health_service = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
for name in ("", "simmer.trainer.v1.TrainerService"):
    health_service.set(name, health_pb2.HealthCheckResponse.SERVING)
server.add_insecure_port(address)
server.start()
print(f"SIMMER-TRAINER|1|1|{address}", flush=True)
done.wait()
server.stop(1).wait()
