"""Starts `python -m simmer_trainer` as a launcher does, and speaks to it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import psutil
import pytest
from forked_trainers import Zygote
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2_grpc

PACKAGE_FOLDER = Path(__file__).parent.parent
TINY_CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Dropout draws random numbers in every step: a resume must go on where they were.
    "attention_dropout": 0.1,
    "tie_word_embeddings": True,
}

# Divides its layers' last states, by 4, before its head takes them.
MINICPM3 = {
    "model_type": "minicpm3",
    "dim_model_base": 16,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}


class TrainerProcess:
    """One trainer in a folder of its own; may be started again there."""

    def __init__(
        self,
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        address_space_bytes: int | None = None,
        ranks: int = 1,
        zygote: Zygote | None = None,
    ) -> None:
        """
        @param address_space_bytes more than so much memory cannot be allocated
        @param zygote it is a fork of this one, and no process that imports torch itself
        """
        self.folder = folder
        self.ranks = ranks
        self.environment = environment or {}
        self.address_space_bytes = address_space_bytes
        self.zygote = zygote
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "TrainerProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        # The path of a socket has 107 bytes at most.
        self.socket_folder = Path(tempfile.mkdtemp(prefix="simmer-"))
        self.address = f"unix:{self.socket_folder}/trainer.sock"
        name = uuid.uuid4()
        self.stdout_path, self.stderr_path = (self.folder / f"{stream}-{name}.log" for stream in ("stdout", "stderr"))
        own = {
            "SIMMER_TRAINER_ADDRESS": self.address,
            "SIMMER_TRAINER_FOLDER": str(self.folder / "state"),
            "SIMMER_LEASE_SECONDS": "3600",
            **self.environment,
        }
        self.process: Any
        if self.zygote is None:
            command = [*self._limited(), sys.executable, *self._launched(), "-m", "simmer_trainer"]
            with self.stdout_path.open("w") as stdout, self.stderr_path.open("w") as stderr:
                self.process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=common_environment() | own)
        else:
            self.process = self.zygote.start(own, self.stdout_path, self.stderr_path)
        wait_until(lambda: self.handshake.endswith("\n") or self.process.poll() is not None, 120)
        assert self.handshake, f"it ended before it served: {self.stderr}"
        self.channel = grpc.insecure_channel(self.address)
        self.stub: Any = trainer_pb2_grpc.TrainerServiceStub(self.channel)

    def _limited(self) -> list[str]:
        if self.address_space_bytes is None:
            return []
        # By a shell: code of ours between fork and exec would run what gRPC does in a fork, which may end it.
        return ["sh", "-c", 'ulimit -v "$0" && exec "$@"', str(self.address_space_bytes // 1024)]

    def _launched(self) -> list[str]:
        return _torchrun(self.ranks) if self.ranks > 1 else []

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.channel.close()
        shutil.rmtree(self.socket_folder, ignore_errors=True)

    def restart(self) -> None:
        self.kill()
        self.start()

    def train(self, request: pb.StartTrainingRequest) -> list[pb.TrainerEvent]:
        """All events of an attempt that this starts."""
        self.stub.StartTraining(request, timeout=60)
        return self.events(request.attempt_id)

    def events(self, attempt_id: str, after: int = 0) -> list[pb.TrainerEvent]:
        """All events to the attempt's end."""
        watch = self.stub.Watch(pb.WatchRequest(attempt_id=attempt_id, after_event_number=after), timeout=120)
        return [event for response in watch for event in response.events]

    def wait_for_step(self, attempt_id: str, step: int) -> None:
        """Returns as soon as the step is logged."""
        watch = self.stub.Watch(pb.WatchRequest(attempt_id=attempt_id), timeout=120)
        for response in watch:
            if any(event.step_logged.step >= step for event in response.events):
                watch.cancel()
                return
        raise AssertionError(f"attempt {attempt_id} ended before step {step}")

    def rank_processes(self) -> dict[int, psutil.Process]:
        """The ranks' processes, by rank."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return {int(one.environ()["RANK"]): one for one in found if "RANK" in one.environ()}

    def wait_for_exit(self, seconds: float) -> int:
        return self.process.wait(seconds)

    @property
    def handshake(self) -> str:
        """All that it has written to stdout."""
        return self.stdout_path.read_text() if self.stdout_path.exists() else ""

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text()


def common_environment() -> dict[str, str]:
    """What trainers are started with, wherever they serve."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PACKAGE_FOLDER), os.environ.get("PYTHONPATH")])),
        "SIMMER_DEVICE": "cpu",
        "OMP_NUM_THREADS": "2",
        # Threads that spin while they wait take the machine from whatever else runs there.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _torchrun(ranks: int) -> list[str]:
    options = [f"--nproc-per-node={ranks}", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "--max-restarts=0"]
    return ["-m", "torch.distributed.run", *options]


def random_model(seed: int = 1, **config: Any) -> pb.ModelSource:
    struct = Struct()
    json_format.ParseDict({**TINY_CONFIG, **config}, struct)
    return pb.ModelSource(random=pb.RandomModel(config=struct, seed=seed))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def sums(count: int) -> list[dict[str, Any]]:
    """Rows of different lengths."""
    return [
        {
            "id": f"row-{index}",
            "prompt": [{"role": "user", "content": f"{index} + {index} {'.' * (index % 7)}"}],
            "completion": f"<|im_start|>think\n{index} twice\n<|im_start|>answer\n{2 * index}<|im_end|>",
        }
        for index in range(count)
    ]


def hyperparameters(**changes: Any) -> pb.Hyperparameters:
    values: dict[str, Any] = {
        "method": pb.METHOD_FULL,
        "learning_rate": 1e-3,
        "epochs": 2,
        "global_batch_size": 4,
        "device_batch_size": 2,
        "warmup_ratio": 0.1,
        "schedule": pb.LEARNING_RATE_SCHEDULE_COSINE,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-8,
        "weight_decay": 1e-4,
        "max_gradient_norm": 1.0,
        "precision": pb.PRECISION_FLOAT32,
        "max_sequence_length": 256,
        "seed": 11,
        "log_every_steps": 1,
    }
    return pb.Hyperparameters(**{**values, **changes})


def training_request(folder: Path, *, job: str = "", attempt: int = 1, **changes: Any) -> pb.StartTrainingRequest:
    output = folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    data = folder / "rows.parquet"
    if not data.exists():
        write_rows(data, sums(18))
    values: dict[str, Any] = {
        "attempt_id": str(uuid.uuid4()),
        "job_id": job or str(folder),
        "attempt": attempt,
        "model": random_model(),
        "training_data": str(data),
        "hyperparameters": hyperparameters(),
        "output_folder": str(output),
    }
    return pb.StartTrainingRequest(**{**values, **changes})


def long_request(folder: Path, **changes: Any) -> pb.StartTrainingRequest:
    """One that does not end by itself while a test looks at it."""
    parameters = changes.pop("hyperparameters", None) or hyperparameters(max_steps=100_000)
    return training_request(folder, hyperparameters=parameters, **changes)


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str]:
    """Status, and the stable code in the trailing metadata."""
    trailing: Any = error.value
    return trailing.code(), dict(trailing.trailing_metadata()).get("simmer-error-code", "")


def losses(events: list[pb.TrainerEvent]) -> dict[int, float]:
    """Exact, as logged."""
    return {event.step_logged.step: event.step_logged.loss for event in events if event.HasField("step_logged")}


def wait_until(condition: Any, seconds: float) -> None:
    """For what happens in another process and says nothing when it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def cache_folder() -> Path:
    """Where what is fetched once is kept, as Simmer has it."""
    return Path(os.environ.get("SIMMER_CACHE") or Path.home() / ".cache/simmer")
