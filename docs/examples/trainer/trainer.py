"""
A trainer of simmer.trainer.v1, whole and small: what it trains is in bigram.py.

It declares TRAIN and nothing else. docs/writing-a-trainer.md goes through it; `simmer trainer verify` proves it.
"""

import hmac
import json
import math
import os
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
from google.protobuf import json_format
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bigram import read_model, train
from refusal import INVALID, Refusal

# python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/simmer/trainer/v1/trainer.proto
from simmer.trainer.v1 import trainer_pb2 as pb
from simmer.trainer.v1 import trainer_pb2_grpc

SERVICE = "simmer.trainer.v1.TrainerService"
ENDINGS = ("training_completed", "training_canceled", "training_failed")


class Attempt:
    """An attempt and its events. An event is in the file before anyone sees it: that survives `kill -9`."""

    def __init__(self, file, header):
        self.header = header
        self.events = []
        self.changed = threading.Condition()
        self.stop_reason = None
        self._file = file.open("ab", buffering=0)

    @classmethod
    def read(cls, file):
        """What a former process left. A torn last line was never told to anyone."""
        lines = file.read_bytes().split(b"\n")[:-1]
        os.truncate(file, sum(len(line) + 1 for line in lines))
        if not lines:
            return None
        attempt = cls(file, json.loads(lines[0]))
        attempt.events = [json_format.Parse(line, pb.TrainerEvent()) for line in lines[1:]]
        return attempt

    @property
    def has_ended(self):
        return bool(self.events) and self.events[-1].WhichOneof("event") in ENDINGS

    def write_header(self):
        self._file.write(json.dumps(self.header).encode() + b"\n")

    def add(self, **event):
        with self.changed:
            message = pb.TrainerEvent(number=len(self.events) + 1, **event)
            message.time.GetCurrentTime()
            self._file.write(json_format.MessageToJson(message, indent=None).encode() + b"\n")
            self.events.append(message)
            self.changed.notify_all()

    def fail(self, code, message, step=0, retryable=False):
        self.add(training_failed=pb.TrainingFailed(code=code, message=message, step=step, retryable=retryable))


class TrainerService(trainer_pb2_grpc.TrainerServiceServicer):
    def __init__(self, folder, lease_seconds):
        self.exit = threading.Event()
        self._lock = threading.Lock()
        self._default_lease = lease_seconds
        self._lease_ends = time.monotonic() + lease_seconds
        self._folder = folder
        self._attempts = {}
        for file in sorted(folder.glob("*.jsonl")):
            attempt = Attempt.read(file)
            if attempt is None:
                continue
            if not attempt.has_ended:
                attempt.fail("trainer_exited", "The trainer's process ended while this attempt ran.", retryable=True)
            self._attempts[attempt.header["attempt_id"]] = attempt

    # ---- mandatory calls

    def Describe(self, request, context):
        running = self._running()
        return pb.DescribeResponse(
            name="bigram-trainer",
            version="1.0",
            capabilities=[pb.CAPABILITY_TRAIN],
            versions={"numpy": np.__version__},
            devices=[pb.Device(name="cpu", model="numpy")],
            running_attempt_id=running.header["attempt_id"] if running else None,
            process_id=os.getpid(),
        )

    def RenewLease(self, request, context):
        seconds = (
            request.duration.ToTimedelta().total_seconds() if request.HasField("duration") else self._default_lease
        )
        if seconds <= 0:
            self._abort(context, Refusal(INVALID, "lease_invalid", "A lease of no time: use Shutdown."))
        self._lease_ends = time.monotonic() + seconds
        # Acknowledged events may be forgotten; this trainer keeps them all.
        response = pb.RenewLeaseResponse()
        response.expires_at.FromNanoseconds(int((time.time() + seconds) * 1e9))
        return response

    def Shutdown(self, request, context):
        self.end("the trainer was shut down")
        return pb.ShutdownResponse()

    # ---- TRAIN

    def StartTraining(self, request, context):
        try:
            with self._lock:
                return pb.StartTrainingResponse(already_started=self._start(request))
        except Refusal as refusal:
            self._abort(context, refusal)

    def Watch(self, request, context):
        attempt = self._find(request.attempt_id, context)
        number = request.after_event_number
        while context.is_active():
            with attempt.changed:
                batch, ended = attempt.events[number : number + 256], attempt.has_ended
                if not batch and not ended:
                    attempt.changed.wait(0.2)
            if batch:
                number += len(batch)
                yield pb.WatchResponse(events=batch)
            elif ended:
                return

    def Cancel(self, request, context):
        attempt = self._find(request.attempt_id, context)
        if attempt.has_ended:
            return pb.CancelResponse(was_running=False)
        self._stop(attempt, "canceled by its caller")
        return pb.CancelResponse(was_running=True)

    # ---- what is behind them

    def watch_lease(self):
        while time.monotonic() < self._lease_ends:
            time.sleep(0.1)
        self.end("the lease ran out")

    def end(self, reason):
        running = self._running()
        if running:
            self._stop(running, reason)
        self.exit.set()

    def _stop(self, attempt, reason):
        attempt.stop_reason = reason
        with attempt.changed:
            attempt.changed.wait_for(lambda: attempt.has_ended)

    def _running(self):
        return next((one for one in self._attempts.values() if not one.has_ended), None)

    def _find(self, attempt_id, context):
        if attempt_id not in self._attempts:
            unknown = Refusal(grpc.StatusCode.NOT_FOUND, "attempt_unknown", f"There is no attempt {attempt_id!r}.")
            self._abort(context, unknown)
        return self._attempts[attempt_id]

    def _start(self, request):
        if request.attempt_id in self._attempts:
            return True
        stopping = grpc.StatusCode.FAILED_PRECONDITION
        if running := self._running():
            raise Refusal(stopping, "attempt_running", f"Attempt {running.header['attempt_id']} is running.")
        check_request(request)
        jobs = [one.header for one in self._attempts.values() if one.header["job_id"] == request.job_id]
        if request.attempt <= max((header["attempt"] for header in jobs), default=0):
            raise Refusal(stopping, "attempt_stale", f"Attempt {request.attempt} of {request.job_id} is stale.")
        header = {"attempt_id": request.attempt_id, "job_id": request.job_id, "attempt": request.attempt}
        attempt = Attempt(self._folder / f"{request.attempt_id}.jsonl", header)
        attempt.write_header()
        self._attempts[request.attempt_id] = attempt
        threading.Thread(target=run, args=[request, attempt], daemon=True).start()
        return False

    @staticmethod
    def _abort(context, refusal):
        context.set_trailing_metadata((("simmer-error-code", refusal.code),))
        context.abort(refusal.status, refusal.message)


def check_request(request):
    """Refuses what can never succeed, and what this trainer would otherwise ignore in silence."""
    wanted = request.hyperparameters
    demands = [
        (request.attempt_id.replace("-", "").isalnum(), "attempt_id must be of letters, digits and -"),
        (request.job_id, "job_id is empty"),
        (request.attempt >= 1, "attempt must be at least 1"),
        (Path(request.training_data).is_file(), f"there is no file {request.training_data}"),
        (Path(request.output_folder).is_dir(), f"there is no folder {request.output_folder}"),
        (wanted.global_batch_size >= 1, "global_batch_size must be at least 1"),
        (0 < wanted.learning_rate < math.inf, "learning_rate must be above 0"),
        (wanted.max_steps >= 1 or wanted.epochs > 0, "epochs must be above 0"),
        (wanted.method == pb.METHOD_FULL, "this trainer knows METHOD_FULL only"),
        (wanted.precision != pb.PRECISION_BFLOAT16, "this trainer computes in float32"),
        (not wanted.packing, "this trainer does not pack"),
        (not wanted.evaluate_every_steps, "this trainer does not evaluate"),
        (not request.extensions.fields, "this trainer has no extensions"),
    ]
    for holds, message in demands:
        if not holds:
            raise Refusal(INVALID, "request_invalid", f"{message}.")
    if request.HasField("resume_from"):
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "checkpoint_unsupported", "This trainer has no checkpoints.")
    read_model(request.model)


def run(request, attempt):
    """The job, in a thread of its own: no call keeps it alive, and nothing that it does ends the process."""
    try:
        train(request, attempt)
    except Refusal as refusal:
        attempt.fail(refusal.code, refusal.message)
    except Exception as error:
        attempt.fail("internal", f"{type(error).__name__}: {error}")


class TokenCheck(grpc.ServerInterceptor):
    """Over TCP every call carries the secret."""

    def __init__(self, token):
        self._expected = f"Bearer {token}".encode()

        def refuse(_, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call lacks the token.")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation, details):
        given = dict(details.invocation_metadata).get("authorization", "")
        return continuation(details) if hmac.compare_digest(given.encode(), self._expected) else self._refusal


def main():
    address, token = os.environ["SIMMER_TRAINER_ADDRESS"], os.environ.get("SIMMER_TRAINER_TOKEN")
    # stdout is for the handshake alone: whatever prints from here on writes to stderr.
    stdout = os.dup(1)
    os.dup2(2, 1)
    service = TrainerService(Path(os.environ["SIMMER_TRAINER_FOLDER"]), float(os.environ["SIMMER_LEASE_SECONDS"]))
    # Watchers hold a thread each, and the lease must be renewed beside them.
    server = grpc.server(futures.ThreadPoolExecutor(64), interceptors=[TokenCheck(token)] if token else [])
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(service, server)
    healthy = health.HealthServicer()
    healthy.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = server.add_insecure_port(address)
    server.start()
    if not address.startswith("unix:"):
        address = f"{address.rpartition(':')[0]}:{port}"
    os.write(stdout, f"SIMMER-TRAINER|1|1|{address}\n".encode())
    os.close(stdout)
    threading.Thread(target=service.watch_lease, daemon=True).start()
    service.exit.wait()
    server.stop(2).wait()
    sys.exit(0)


if __name__ == "__main__":
    main()
