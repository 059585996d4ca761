"""What a stage asks of Simmer, and the Simmer that is asked over gRPC."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf import json_format

from simmer_plugin.artifacts import Artifact, Table, artifact_of
from simmer_plugin.errors import Canceled, HostError
from simmer_plugin.generated.simmer.plugin.v1 import artifact_pb2, event_pb2, host_pb2, host_pb2_grpc
from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2
from simmer_plugin.generation import Policy, Prompt, Sample, Sampling, Thinking, request_messages, sample_of
from simmer_plugin.grading import Grade, GradeItem, grade_batches, grade_of
from simmer_plugin.inspection import InspectedRow, TrainerInfo, info_of, row_of
from simmer_plugin.planning import GradingEstimate, KeptFolders, WorkEstimate, grading_of, work_of
from simmer_plugin.structs import struct_of
from simmer_plugin.training import TrainedModel, trained_of

_MESSAGE_BYTES = 64 * 1024 * 1024


class Host(Protocol):
    """What a stage asks of Simmer. Raises HostError where that fails, Canceled where the stage is to stop."""

    def open_artifact(self, uri: str) -> Artifact: ...

    def events_of(self, run_id: str, stage_keys: Sequence[str] = ()) -> Iterator[dict[str, Any]]: ...

    def open_kept_folder(self, of: Mapping[str, Any]) -> Path: ...

    def describe_trainer(self, trainer: str) -> TrainerInfo: ...

    def commit_table(
        self, kind: str, file: Path, columns: Mapping[str, str] | None, metadata: Mapping[str, Any]
    ) -> Table: ...

    def commit_report(self, content: Any, metadata: Mapping[str, Any]) -> Artifact: ...

    def commit_model(self, folder: Path, by_reference: bool, metadata: Mapping[str, Any]) -> Artifact: ...

    def generate(
        self,
        trainer: str,
        model: Artifact,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        thinking: Thinking | None,
        policies: Sequence[Policy],
        max_batch_size: int | None,
        precision: str | None,
    ) -> Iterator[Sample]: ...

    def train(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        evaluation: Artifact | None,
        hyperparameters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None,
        metadata: Mapping[str, Any],
    ) -> TrainedModel: ...

    def export(
        self,
        trainer: str,
        model: Artifact,
        adapter: Artifact | None,
        metadata: Mapping[str, Any],
        precision: str | None,
        format: str | None,
    ) -> Artifact: ...

    def inspect(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        rows: Sequence[int],
        hyperparameters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None,
    ) -> list[InspectedRow]: ...

    def grade(self, uses: str, options: Mapping[str, Any], items: Sequence[GradeItem]) -> list[Grade]: ...

    def emit(self, event: event_pb2.StageEvent) -> None: ...

    def reserve(self, source: str, usd: float | None, seconds: float | None) -> str: ...

    def settle(
        self, reservation: str, usd: float | None, input_tokens: int | None, output_tokens: int | None
    ) -> None: ...


class HostConnection:
    """The connection of this process to Simmer."""

    def __init__(self, address: str, token: str) -> None:
        limits = [("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.max_send_message_length", _MESSAGE_BYTES)]
        self._channel = grpc.insecure_channel(address, options=[*limits, ("grpc.enable_http_proxy", 0)])
        self.stub = host_pb2_grpc.HostServiceStub(self._channel)
        self.metadata = (("authorization", f"Bearer {token}"),)

    def for_call(self, call_id: str) -> HostCalls:
        """What one call of the host's may ask."""
        return HostCalls(self, call_id)

    def close(self) -> None:
        self._channel.close()


class HostCalls:
    """Host, over gRPC, for one call."""

    def __init__(self, connection: HostConnection, call_id: str) -> None:
        self._connection = connection
        self._call_id = call_id

    def open_artifact(self, uri: str) -> Artifact:
        request = host_pb2.OpenArtifactRequest(call_id=self._call_id, uri=uri)
        return artifact_of(self._ask(self._connection.stub.OpenArtifact, request).artifact)

    def events_of(self, run_id: str, stage_keys: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        request = host_pb2.ReadEventsRequest(call_id=self._call_id, run_id=run_id, stage_keys=stage_keys)
        with self._streaming(self._connection.stub.ReadEvents, request) as stream:
            for response in stream:
                yield json.loads(response.json)

    def open_kept_folder(self, of: Mapping[str, Any]) -> Path:
        request = host_pb2.OpenKeptFolderRequest(call_id=self._call_id, of=struct_of(of))
        return Path(self._ask(self._connection.stub.OpenKeptFolder, request).folder)

    def describe_trainer(self, trainer: str) -> TrainerInfo:
        request = host_pb2.DescribeTrainerRequest(call_id=self._call_id, trainer=trainer)
        return info_of(self._ask(self._connection.stub.DescribeTrainer, request))

    def commit_table(
        self, kind: str, file: Path, columns: Mapping[str, str] | None, metadata: Mapping[str, Any]
    ) -> Table:
        request = host_pb2.CommitTableRequest(
            call_id=self._call_id,
            type=f"ARTIFACT_TYPE_{kind.upper()}",
            parquet_file=str(file),
            columns=[artifact_pb2.Column(name=name, type=text) for name, text in (columns or {}).items()],
            metadata=struct_of(metadata),
        )
        table = artifact_of(self._ask(self._connection.stub.CommitTable, request).artifact)
        assert isinstance(table, Table)
        return table

    def commit_report(self, content: Any, metadata: Mapping[str, Any]) -> Artifact:
        text = json.dumps(content, allow_nan=False)
        request = host_pb2.CommitReportRequest(call_id=self._call_id, json=text, metadata=struct_of(metadata))
        return artifact_of(self._ask(self._connection.stub.CommitReport, request).artifact)

    def commit_model(self, folder: Path, by_reference: bool, metadata: Mapping[str, Any]) -> Artifact:
        request = host_pb2.CommitModelRequest(
            call_id=self._call_id, folder=str(folder), by_reference=by_reference, metadata=struct_of(metadata)
        )
        return artifact_of(self._ask(self._connection.stub.CommitModel, request).artifact)

    def generate(
        self,
        trainer: str,
        model: Artifact,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        thinking: Thinking | None,
        policies: Sequence[Policy],
        max_batch_size: int | None,
        precision: str | None,
    ) -> Iterator[Sample]:
        requests = request_messages(
            self._call_id, trainer, model.uri, prompts, sampling, thinking, policies, max_batch_size, precision
        )
        for request in requests:
            with self._streaming(self._connection.stub.Generate, request) as stream:
                for response in stream:
                    if response.WhichOneof("response") == "sample":
                        yield sample_of(response.sample)

    def train(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        evaluation: Artifact | None,
        hyperparameters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None,
        metadata: Mapping[str, Any],
    ) -> TrainedModel:
        request = host_pb2.TrainRequest(
            call_id=self._call_id,
            trainer=trainer,
            model_uri=model.uri,
            dataset_uri=dataset.uri,
            evaluation_uri=None if evaluation is None else evaluation.uri,
            hyperparameters=json_format.ParseDict(dict(hyperparameters), trainer_pb2.Hyperparameters()),
            extensions=struct_of(extensions) if extensions else None,
            metadata=struct_of(metadata),
        )
        return trained_of(self._ask(self._connection.stub.Train, request))

    def export(
        self,
        trainer: str,
        model: Artifact,
        adapter: Artifact | None,
        metadata: Mapping[str, Any],
        precision: str | None,
        format: str | None,
    ) -> Artifact:
        request = host_pb2.ExportRequest(
            call_id=self._call_id,
            trainer=trainer,
            model_uri=model.uri,
            adapter_uri=None if adapter is None else adapter.uri,
            metadata=struct_of(metadata),
            precision=precision,
            format=format,
        )
        return artifact_of(self._ask(self._connection.stub.Export, request).model)

    def inspect(
        self,
        trainer: str,
        model: Artifact,
        dataset: Artifact,
        rows: Sequence[int],
        hyperparameters: Mapping[str, Any],
        extensions: Mapping[str, Any] | None,
    ) -> list[InspectedRow]:
        request = host_pb2.InspectRequest(
            call_id=self._call_id,
            trainer=trainer,
            model_uri=model.uri,
            dataset_uri=dataset.uri,
            rows=rows,
            hyperparameters=json_format.ParseDict(dict(hyperparameters), trainer_pb2.Hyperparameters()),
            extensions=struct_of(extensions) if extensions else None,
        )
        return [row_of(row) for row in self._ask(self._connection.stub.Inspect, request).rows]

    def estimate_job(self, request: host_pb2.EstimateJobRequest) -> WorkEstimate:
        request.call_id = self._call_id
        return work_of(self._ask(self._connection.stub.EstimateJob, request).estimate)

    def estimate_grading(self, uses: str, options: Mapping[str, Any], answers: int | None) -> GradingEstimate | None:
        request = host_pb2.EstimateGradingRequest(
            call_id=self._call_id, uses=uses, options=struct_of(options), answers=answers
        )
        answer = self._ask(self._connection.stub.EstimateGrading, request)
        return grading_of(answer.estimate) if answer.HasField("estimate") else None

    def find_kept_folders(self, of: Mapping[str, Any]) -> KeptFolders:
        request = host_pb2.FindKeptFoldersRequest(call_id=self._call_id, of=struct_of(of))
        found = self._ask(self._connection.stub.FindKeptFolders, request)
        own = Path(found.own) if found.HasField("own") else None
        return KeptFolders(own, [Path(other) for other in found.others])

    def grade(self, uses: str, options: Mapping[str, Any], items: Sequence[GradeItem]) -> list[Grade]:
        grades: list[Grade] = []
        for batch in grade_batches(items):
            request = host_pb2.GradeAnswersRequest(
                call_id=self._call_id, uses=uses, options=struct_of(options), items=batch
            )
            answer = self._ask(self._connection.stub.GradeAnswers, request)
            grades.extend(grade_of(grade) for grade in answer.grades)
        return grades

    def emit(self, event: event_pb2.StageEvent) -> None:
        request = host_pb2.EmitEventsRequest(call_id=self._call_id, events=[event])
        self._ask(self._connection.stub.EmitEvents, request)

    def reserve(self, source: str, usd: float | None, seconds: float | None) -> str:
        request = host_pb2.ReserveSpendingRequest(call_id=self._call_id, source=source, usd=usd, seconds=seconds)
        return str(self._ask(self._connection.stub.ReserveSpending, request).reservation_id)

    def settle(self, reservation: str, usd: float | None, input_tokens: int | None, output_tokens: int | None) -> None:
        request = host_pb2.SettleSpendingRequest(
            call_id=self._call_id,
            reservation_id=reservation,
            usd=usd,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
        self._ask(self._connection.stub.SettleSpending, request)

    def _ask(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, metadata=self._connection.metadata)
        except grpc.RpcError as error:
            raise _error_of(error) from error

    @contextlib.contextmanager
    def _streaming(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        stream = method(request, metadata=self._connection.metadata)
        try:
            yield stream
        except grpc.RpcError as error:
            raise _error_of(error) from error
        finally:
            stream.cancel()


def _error_of(error: grpc.RpcError) -> Exception:
    if error.code() == grpc.StatusCode.CANCELLED:
        return Canceled("Simmer stops the stage.")
    metadata = dict(error.trailing_metadata() or ())
    hint = metadata.get("simmer-error-hint-bin")
    text = hint.decode() if isinstance(hint, bytes) else None
    return HostError(str(metadata.get("simmer-error-code", "host_failed")), error.details() or "The call failed.", text)
