"""What is asked for, and what is refused by name."""

import time
import uuid
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from real_tokenizers import llama3_folder
from trainer_process import (
    TrainerProcess,
    code_of,
    hyperparameters,
    long_request,
    random_model,
    training_request,
    wait_until,
    write_rows,
)

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda request: request.hyperparameters.ClearField("learning_rate"), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "learning_rate", float("nan")), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "device_batch_size", 3), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "evaluate_every_steps", 2), "hyperparameters_invalid"),
        (lambda request: setattr(request.hyperparameters, "method", pb.METHOD_QLORA), "hyperparameters_invalid"),
        (lambda request: request.extensions.update({"flavour": 1}), "extension_unknown"),
        (lambda request: request.extensions.update({"attention": "psychic"}), "extension_invalid"),
        (lambda request: setattr(request, "training_data", "/nowhere.parquet"), "data_not_found"),
        (lambda request: setattr(request, "output_folder", "/nowhere"), "output_folder_missing"),
        (lambda request: setattr(request, "resume_from", "/nowhere"), "checkpoint_invalid"),
        (lambda request: setattr(request, "attempt_id", "../../etc"), "attempt_id_invalid"),
        (lambda request: setattr(request.model, "folder", "/nowhere"), "model_not_found"),
        (lambda request: setattr(request.model, "folder", "/tmp"), "model_invalid"),
        (lambda request: setattr(request.model, "gguf_file", "/etc/hostname"), "model_invalid"),
        (lambda request: request.model.random.config.fields.pop("model_type"), "model_invalid"),
        (lambda request: request.ClearField("model"), "model_missing"),
    ],
)
def test_what_can_never_work_is_refused_at_once_by_name(
    shared_trainer: TrainerProcess, tmp_path: Path, change: Any, code: str
) -> None:
    request = training_request(tmp_path, job=str(uuid.uuid4()))
    change(request)
    with pytest.raises(grpc.RpcError) as refusal:
        shared_trainer.stub.StartTraining(request, timeout=60)
    status, found = code_of(refusal)
    assert found == code
    assert status in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
    # It left nothing behind.
    assert not list((tmp_path / "output").iterdir())


BAD_ROWS: dict[str, tuple[list[dict[str, Any]], str, list[str]]] = {
    "a missing column": ([{"prompt": "a"}], "data_invalid", []),
    "no completion": ([{"id": "x", "prompt": "a", "completion": None}], "data_invalid", ["x"]),
    "a message without content": (
        [{"id": "y", "prompt": [{"role": "user", "content": None}], "completion": "b"}],
        "data_invalid",
        ["y"],
    ),
    "nothing to learn": ([{"id": "z", "prompt": "a", "completion": ""}], "mask_empty", ["z"]),
    "a prompt that fills the sequence": (
        [{"id": "long", "prompt": "a" * 300, "completion": "b"}],
        "mask_empty",
        ["long"],
    ),
}


@pytest.mark.parametrize("name", list(BAD_ROWS))
def test_bad_rows_fail_the_attempt_and_are_named(shared_trainer: TrainerProcess, tmp_path: Path, name: str) -> None:
    rows, code, row_ids = BAD_ROWS[name]
    data = write_rows(tmp_path / "bad.parquet", rows)
    request = training_request(tmp_path, job=str(uuid.uuid4()), training_data=str(data))
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == code
    assert list(failed.row_ids) == row_ids
    assert not failed.retryable


def test_a_file_that_is_no_parquet_fails_the_attempt(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    data = tmp_path / "rows.parquet"
    data.write_text("prompt,completion\na,b\n")
    request = training_request(tmp_path, job=str(uuid.uuid4()), training_data=str(data))
    failed = shared_trainer.train(request)[-1].training_failed
    assert failed.code == "data_invalid"
    assert "Parquet" in failed.message


def seconds_of_work(trainer: TrainerProcess) -> float:
    """Of a processor, so far: a machine that is busy with other things takes none of them."""
    times = psutil.Process(trainer.process.pid).cpu_times()
    return times.user + times.system


def test_generate_is_cancelled_at_once_and_refused_while_training(
    forked_trainer: TrainerProcess, tmp_path: Path
) -> None:
    message = pb.GenerateRequest(
        model=random_model(max_position_embeddings=4096, attention_dropout=0.0),
        prompts=[pb.Prompt(id=str(index), text=f"{index}") for index in range(64)],
        sampling=pb.SamplingParameters(max_answer_tokens=3000, samples=1),
    )
    call = forked_trainer.stub.Generate(message)
    first = next(call)
    assert first.HasField("progress")
    call.cancel()
    before = seconds_of_work(forked_trainer)
    # The next one gets the device as soon as the first lets go of it.
    message.sampling.max_answer_tokens = 1
    answers = list(forked_trainer.stub.Generate(message, timeout=60))
    assert seconds_of_work(forked_trainer) - before < 5
    assert answers[-1].completed.samples == 64

    request = long_request(tmp_path)
    forked_trainer.stub.StartTraining(request, timeout=60)
    with pytest.raises(grpc.RpcError) as busy:
        list(forked_trainer.stub.Generate(message, timeout=60))
    assert code_of(busy) == (grpc.StatusCode.FAILED_PRECONDITION, "attempt_running")


def test_a_slow_reader_holds_generation_up(shared_trainer: TrainerProcess) -> None:
    """Samples that nobody takes are not made: they would pile up in memory."""
    message = pb.GenerateRequest(
        model=random_model(attention_dropout=0.0),
        # Long ids make large samples, which fill the connection's windows sooner.
        prompts=[pb.Prompt(id=f"{index}" + "-" * 4000, text=f"{index}") for index in range(512)],
        sampling=pb.SamplingParameters(max_answer_tokens=40, samples=8, temperature=1),
        max_batch_size=256,
    )
    call = shared_trainer.stub.Generate(message, timeout=120)
    next(call)

    def is_idle() -> bool:
        before = seconds_of_work(shared_trainer)
        time.sleep(0.5)
        return seconds_of_work(shared_trainer) - before < 0.1

    wait_until(is_idle, 120)
    before = seconds_of_work(shared_trainer)
    # It has stopped half way, and goes on when it is read.
    last = list(call)[-1]
    assert last.completed.samples == 512 * 8
    assert seconds_of_work(shared_trainer) - before > 1


def test_inspect_shows_the_tokens_and_the_mask_that_training_uses(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    request = training_request(tmp_path)
    parameters = hyperparameters(max_sequence_length=30)
    rows = shared_trainer.stub.Inspect(
        pb.InspectRequest(
            model=request.model, training_data=request.training_data, rows=[3, 0], hyperparameters=parameters
        ),
        timeout=60,
    ).rows
    assert [row.row for row in rows] == [3, 0]
    for row in rows:
        text = "".join(row.tokens)
        trained = "".join(token for token, is_trained in zip(row.tokens, row.trained, strict=True) if is_trained)
        assert row.truncated
        assert len(row.token_ids) == 30
        assert text.startswith("<|im_start|>user\n")
        assert text.endswith(trained)
        assert trained == "" or trained.startswith("<|im_start|>think\n"[: len(trained)])
    with pytest.raises(grpc.RpcError) as beyond:
        shared_trainer.stub.Inspect(
            pb.InspectRequest(model=request.model, training_data=request.training_data, rows=[99]), timeout=60
        )
    assert code_of(beyond) == (grpc.StatusCode.INVALID_ARGUMENT, "row_missing")


def test_inspect_shows_no_mask_that_training_refuses(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    prompt, completion = [{"role": "user", "content": "2+3?"}], [{"role": "assistant", "content": "5"}]
    rows = [{"id": "1", "prompt": prompt, "completion": completion}]
    # Its template ends every conversation with the prompt for the next reply.
    model = pb.ModelSource(random=pb.RandomModel(tokenizer_source=str(llama3_folder())))
    model.random.config.update({"model_type": "llama"})
    data = str(write_rows(tmp_path / "rows.parquet", rows))
    with pytest.raises(grpc.RpcError) as refused:
        shared_trainer.stub.Inspect(pb.InspectRequest(model=model, training_data=data, rows=[0]), timeout=60)
    assert code_of(refused) == (grpc.StatusCode.INVALID_ARGUMENT, "template_markers_missing")


def test_inspect_shows_characters_of_several_tokens_whole(shared_trainer: TrainerProcess, tmp_path: Path) -> None:
    said = "für José: チケット 🎫"
    rows = [{"id": "1", "prompt": [{"role": "user", "content": said}], "completion": f"{said}<|im_end|>"}]
    request = training_request(tmp_path, training_data=str(write_rows(tmp_path / "rows.parquet", rows)))
    [row] = shared_trainer.stub.Inspect(
        pb.InspectRequest(model=request.model, training_data=request.training_data, rows=[0]), timeout=60
    ).rows
    trained = [token for token, is_trained in zip(row.tokens, row.trained, strict=True) if is_trained]
    assert "".join(row.tokens) == f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n{said}<|im_end|>"
    assert "".join(trained) == f"{said}<|im_end|>"
    assert trained[:4] == ["f", "", "ü", "r"]
