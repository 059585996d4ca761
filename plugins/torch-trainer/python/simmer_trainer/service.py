"""simmer.trainer.v1.TrainerService: reads requests, refuses what cannot be, and hands the rest to those who do it."""

import functools
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from simmer_trainer import __version__, describe
from simmer_trainer.attempts import Attempts
from simmer_trainer.encoded_events import watch_response
from simmer_trainer.errors import RequestError, TrainingError, invalid, is_out_of_memory, refused
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc
from simmer_trainer.hyperparameters import EXTENSIONS_SCHEMA
from simmer_trainer.lease import Lease
from simmer_trainer.libraries import load_libraries
from simmer_trainer.memory import release_memory
from simmer_trainer.models import ModelCache, check_source, export_model
from simmer_trainer.ranks import Leader
from simmer_trainer.training_control import StopRequest

SERVICE_NAME = "simmer.trainer.v1.TrainerService"
_Answer = TypeVar("_Answer")
# How often a call that waits looks whether anyone still listens.
_POLL_SECONDS = 0.2
_DEFAULT_GRACE_SECONDS = 120.0


def _abort(context: Any, error: BaseException) -> None:
    """Ends a call with the status that the error means."""
    if isinstance(error, TrainingError):
        error = invalid(error.code, error.message)
    if isinstance(error, RequestError):
        status, code, message = error.status, error.code, error.message
    elif is_out_of_memory(error):
        status, code = grpc.StatusCode.RESOURCE_EXHAUSTED, "out_of_memory"
        message = "Memory ran out. Lower max_batch_size or the maximum of thinking, or use bfloat16."
    elif isinstance(error, NotImplementedError):
        status, code, message = grpc.StatusCode.INVALID_ARGUMENT, "model_unsupported", str(error)
    else:
        print(traceback.format_exc(), file=sys.stderr, flush=True)
        status, code, message = grpc.StatusCode.INTERNAL, "internal", f"{type(error).__name__}: {error}"
    context.set_trailing_metadata((("simmer-error-code", code),))
    context.abort(status, message)


def _call(method: Callable[[Any, Any, Any], _Answer]) -> Callable[[Any, Any, Any], _Answer]:
    @functools.wraps(method)
    def guarded(self: Any, request: Any, context: Any) -> _Answer:
        try:
            return method(self, request, context)
        except Exception as error:
            _abort(context, error)
            raise

    return guarded


def _stream(method: Callable[[Any, Any, Any], Iterator[_Answer]]) -> Callable[[Any, Any, Any], Iterator[_Answer]]:
    @functools.wraps(method)
    def guarded(self: Any, request: Any, context: Any) -> Iterator[_Answer]:
        try:
            yield from method(self, request, context)
        except Exception as error:
            _abort(context, error)
            raise

    return guarded


class TrainerService(trainer_pb2_grpc.TrainerServiceServicer):
    """One process, one device: an attempt trains, or a request generates, not both at a time."""

    def __init__(self, folder: Path, lease: Lease, leader: Leader | None = None) -> None:
        self.lease = lease
        self.exit_requested = threading.Event()
        self._device = threading.Lock()
        self._models = ModelCache()
        self._devices = list(leader.devices.values()) if leader is not None else []
        self.attempts = Attempts(folder, self._device, self._models, leader, self.exit_requested.set)

    @_call
    def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        schema = Struct()
        json_format.Parse(json.dumps(EXTENSIONS_SCHEMA), schema)
        running = self.attempts.running
        capabilities = [
            pb.CAPABILITY_TRAIN,
            pb.CAPABILITY_CHECKPOINT,
            pb.CAPABILITY_INSPECT,
            pb.CAPABILITY_GENERATE,
            pb.CAPABILITY_EXPORT,
        ]
        # Kernels on a GPU add in whatever order they please; on a CPU with a fixed number of threads they do not.
        # Several ranks may be started again as more or fewer of them, which add in another order.
        devices = self._devices or [describe.device()]
        if [device.name for device in devices] == ["cpu"]:
            capabilities.append(pb.CAPABILITY_DETERMINISTIC_RESUME)
        return pb.DescribeResponse(
            name="simmer-trainer",
            version=__version__,
            capabilities=capabilities,
            versions=describe.versions(),
            devices=[describe.device_message(device) for device in devices],
            extensions_schema=schema,
            running_attempt_id=running.id if running is not None else None,
            process_id=os.getpid(),
        )

    @_call
    def StartTraining(self, request: pb.StartTrainingRequest, context: Any) -> pb.StartTrainingResponse:
        return pb.StartTrainingResponse(already_started=self.attempts.start(request))

    @_stream
    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[bytes]:
        journal = self.attempts.journal(request.attempt_id)
        for batch in journal.batches_after(request.after_event_number, _POLL_SECONDS):
            if not context.is_active():
                return
            if batch:
                yield watch_response(batch)

    @_call
    def RenewLease(self, request: pb.RenewLeaseRequest, context: Any) -> pb.RenewLeaseResponse:
        seconds = request.duration.ToTimedelta().total_seconds() if request.HasField("duration") else None
        if seconds is not None and seconds <= 0:
            raise invalid("lease_invalid", "A lease of no time would end the trainer: use Shutdown.")
        expires = self.lease.renew(seconds)
        if request.HasField("attempt_id"):
            self.attempts.journal(request.attempt_id).acknowledge(request.acknowledged_event_number)
        response = pb.RenewLeaseResponse()
        response.expires_at.FromNanoseconds(int(expires * 1e9))
        return response

    @_call
    def Checkpoint(self, request: pb.CheckpointRequest, context: Any) -> pb.CheckpointResponse:
        future = self.attempts.checkpoint(request.attempt_id)
        while context.is_active():
            try:
                saved = future.result(_POLL_SECONDS)
            except TimeoutError:
                continue
            return pb.CheckpointResponse(
                checkpoint=pb.CheckpointSaved(step=saved.step, path=str(saved.path), bytes=saved.bytes)
            )
        return pb.CheckpointResponse()

    @_call
    def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.CancelResponse:
        stop = StopRequest(checkpoint_first=request.checkpoint_first, reason="canceled by its caller")
        return pb.CancelResponse(was_running=self.attempts.stop(request.attempt_id, stop))

    @_call
    def Inspect(self, request: pb.InspectRequest, context: Any) -> pb.InspectResponse:
        load_libraries()
        from simmer_trainer.data import read_rows, token_texts, tokenize
        from simmer_trainer.markers import check_template
        from simmer_trainer.models import load_tokenizer

        check_source(request.model)
        maximum = request.hyperparameters.max_sequence_length or sys.maxsize
        tokenizer = load_tokenizer(request.model)
        raw = read_rows(Path(request.training_data), list(request.rows))
        check_template(raw, tokenizer)
        rows = tokenize(raw, tokenizer, maximum) if raw else []
        return pb.InspectResponse(
            rows=[
                pb.InspectedRow(
                    row=position,
                    token_ids=row.token_ids,
                    tokens=token_texts(row.token_ids, tokenizer),
                    trained=row.trained_mask,
                    truncated=row.truncated,
                )
                for position, row in zip(request.rows, rows, strict=True)
            ]
        )

    @_stream
    def Generate(self, request: pb.GenerateRequest, context: Any) -> Iterator[pb.GenerateResponse]:
        load_libraries()
        from simmer_trainer.generation import generate
        from simmer_trainer.generation_request import check_model, check_request

        check_source(request.model)
        check_request(request)
        if not request.prompts:
            yield pb.GenerateResponse(completed=pb.GenerationCompleted())
            return
        if not self._take_device(context):
            return
        try:
            opened = self._models.open(request.model, describe.choose_precision(request.precision))
            check_model(opened)
            yield from generate(request, opened, context.is_active)
        finally:
            release_memory()
            self._device.release()

    @_call
    def Export(self, request: pb.ExportRequest, context: Any) -> pb.ExportResponse:
        check_source(request.model)
        folder = Path(request.output_folder)
        if not folder.is_dir() or any(folder.iterdir()):
            raise invalid("output_folder_invalid", f"{folder} must be an existing, empty folder.")
        load_libraries()
        if not self._take_device(context):
            return pb.ExportResponse()
        try:
            return export_model(request.model, folder, request.precision, request.format)
        finally:
            self._device.release()

    @_call
    def Shutdown(self, request: pb.ShutdownRequest, context: Any) -> pb.ShutdownResponse:
        grace = (
            request.grace_period.ToTimedelta().total_seconds()
            if request.HasField("grace_period")
            else _DEFAULT_GRACE_SECONDS
        )
        self.attempts.close("the trainer was shut down", grace)
        self.exit_requested.set()
        return pb.ShutdownResponse()

    def _take_device(self, context: Any) -> bool:
        """Waits for whoever generates now; refuses while an attempt trains. False where the caller went away."""
        while context.is_active():
            running = self.attempts.running
            if running is not None:
                raise refused("attempt_running", f"Attempt {running.id} is training; wait for its end or cancel it.")
            if self._device.acquire(timeout=_POLL_SECONDS):
                return True
        return False


def watch_lease(service: TrainerService) -> None:
    """Ends the trainer when nobody has renewed its lease: a checkpoint of what runs, then the exit."""
    while not service.exit_requested.is_set():
        left = service.lease.seconds_left()
        if left <= 0:
            print("The lease has run out: no core has asked for this trainer; exiting.", file=sys.stderr, flush=True)
            service.attempts.close("the lease ran out", None)
            service.exit_requested.set()
            return
        time.sleep(min(left, _POLL_SECONDS))
