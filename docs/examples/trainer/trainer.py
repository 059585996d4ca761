"""
A trainer of simmer.trainer.v1, whole and small: it learns which byte follows which, with numpy and AdamW.

It declares TRAIN and nothing else. docs/writing-a-trainer.md goes through it; `simmer trainer verify` proves it.
"""

import hmac
import json
import math
import os
import random
import sys
import threading
import time
from concurrent import futures
from itertools import pairwise
from pathlib import Path

import grpc
import numpy as np
import pyarrow
from google.protobuf import json_format
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pyarrow import parquet
from safetensors.numpy import load_file, save_file

# python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/simmer/trainer/v1/trainer.proto
from simmer.trainer.v1 import trainer_pb2 as pb
from simmer.trainer.v1 import trainer_pb2_grpc

SERVICE = "simmer.trainer.v1.TrainerService"
ENDINGS = ("training_completed", "training_canceled", "training_failed")
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Refusal(Exception):
    """A call that cannot be served: a status, a stable code for programs, a message for people."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


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


def read_model(source):
    """The table of logits: float32[256, 256]. A random model's config says nothing to this trainer."""
    match source.WhichOneof("source"):
        case "random":
            return np.random.default_rng(source.random.seed).normal(0, 0.02, (256, 256)).astype(np.float32)
        case "folder":
            file = Path(source.folder) / "model.safetensors"
            weights = load_file(file).get("logits") if file.is_file() else None
            if weights is not None:
                return weights
    raise Refusal(INVALID, "model_invalid", "The model is neither random nor a folder of this trainer's.")


def read_rows(file):
    """Pairs of bytes: prompt and completion."""
    try:
        table = parquet.read_table(file, columns=["prompt", "completion"])
    except (pyarrow.ArrowException, OSError) as error:
        raise Refusal(INVALID, "data_invalid", f"{file} cannot be read: {error}") from error
    rows = [(str(row["prompt"]).encode(), str(row["completion"]).encode()) for row in table.to_pylist()]
    if not rows or not all(prompt and completion for prompt, completion in rows):
        raise Refusal(INVALID, "data_invalid", f"{file} has no rows, or rows with nothing to train on.")
    return rows


def run(request, attempt):
    """The job, in a thread of its own: no call keeps it alive, and nothing that it does ends the process."""
    try:
        train(request, attempt)
    except Refusal as refusal:
        attempt.fail(refusal.code, refusal.message)
    except Exception as error:
        attempt.fail("internal", f"{type(error).__name__}: {error}")


def train(request, attempt):
    wanted = request.hyperparameters
    read = read_rows(request.training_data)
    rows = [(prompt, (prompt + completion)[: wanted.max_sequence_length]) for prompt, completion in read]
    if any(len(whole) <= len(prompt) for prompt, whole in rows):
        raise Refusal(INVALID, "mask_empty", "A prompt alone fills max_sequence_length: nothing of its row is trained.")
    steps_per_epoch = math.ceil(len(rows) / wanted.global_batch_size)
    total = wanted.max_steps if wanted.HasField("max_steps") else math.ceil(wanted.epochs * steps_per_epoch)
    weights = read_model(request.model)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    attempt.add(
        training_started=pb.TrainingStarted(
            total_steps=total,
            rows=len(rows),
            tokens=sum(len(whole) for _, whole in rows),
            trained_tokens=sum(len(whole) - len(prompt) for prompt, whole in rows),
            parameters=weights.size,
            trained_parameters=weights.size,
            precision=pb.PRECISION_FLOAT32,
        )
    )
    started = logged = time.monotonic()
    rows_seen = tokens_seen = tokens_logged = 0
    loss = None
    for step in range(1, total + 1):
        epoch, index = divmod(step - 1, steps_per_epoch)
        order = random.Random(f"{wanted.seed}/{epoch}").sample(range(len(rows)), len(rows))
        batch = [rows[row] for row in order[index * wanted.global_batch_size :][: wanted.global_batch_size]]
        loss, gradient = loss_and_gradient(weights, batch)
        norm = float(np.linalg.norm(gradient))
        if wanted.max_gradient_norm and norm > wanted.max_gradient_norm:
            gradient *= wanted.max_gradient_norm / norm
        rate = learning_rate(wanted, step, total)
        first = wanted.adam_beta1 * first + (1 - wanted.adam_beta1) * gradient
        second = wanted.adam_beta2 * second + (1 - wanted.adam_beta2) * gradient**2
        update = first / (1 - wanted.adam_beta1**step)
        update /= np.sqrt(second / (1 - wanted.adam_beta2**step)) + wanted.adam_epsilon
        weights = (weights * (1 - rate * wanted.weight_decay) - rate * update).astype(np.float32)
        rows_seen += len(batch)
        tokens_seen += sum(len(whole) for _, whole in batch)
        if step % max(1, wanted.log_every_steps) == 0 or step == total:
            now = time.monotonic()
            attempt.add(
                step_logged=pb.StepLogged(
                    step=step,
                    epoch=step / steps_per_epoch,
                    loss=loss,
                    learning_rate=rate,
                    gradient_norm=norm,
                    tokens_seen=tokens_seen,
                    tokens_per_second=(tokens_seen - tokens_logged) / max(now - logged, 1e-9),
                    rows_seen=rows_seen,
                )
            )
            logged, tokens_logged = now, tokens_seen
        if attempt.stop_reason is not None:
            attempt.add(training_canceled=pb.TrainingCanceled(step=step, reason=attempt.stop_reason))
            return
    seconds = time.monotonic() - started
    folder = Path(request.output_folder) / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bigram", "architectures": ["Bigram"]}))
    save_file({"logits": weights}, folder / "model.safetensors")
    completed = pb.TrainingCompleted(steps=total, model_folder=str(folder), seconds=seconds, final_loss=loss)
    attempt.add(training_completed=completed)


def loss_and_gradient(weights, batch):
    """Mean cross-entropy, in nats, of the completions' bytes, each from the byte before it; and its gradient."""
    pairs = [pair for prompt, whole in batch for pair in list(pairwise(whole))[len(prompt) - 1 :]]
    before, after = np.array(pairs).T
    logits = weights[before]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    here = np.arange(len(after))
    loss = float(-np.log(shares[here, after]).mean())
    shares[here, after] -= 1
    gradient = np.zeros_like(weights)
    np.add.at(gradient, before, shares / len(after))
    return loss, gradient


def learning_rate(wanted, step, total):
    warmup = math.ceil(wanted.warmup_ratio * total)
    if step <= warmup:
        return wanted.learning_rate * (step - 1) / warmup
    share = (step - 1 - warmup) / max(1, total - warmup)
    if wanted.schedule == pb.LEARNING_RATE_SCHEDULE_COSINE:
        return wanted.learning_rate * (1 + math.cos(math.pi * share)) / 2
    return wanted.learning_rate * (1 if wanted.schedule == pb.LEARNING_RATE_SCHEDULE_CONSTANT else 1 - share)


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
