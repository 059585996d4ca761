"""A stale attempt writes nothing, wherever it was held up."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from forked_trainers import Zygote
from trainer_process import TrainerProcess, hyperparameters, training_request, wait_until


@pytest.fixture
def pause_file(tmp_path: Path) -> Path:
    return tmp_path / "paused"


@pytest.fixture
def pausing(
    tmp_path: Path, pause_file: Path, zygote: Zygote, request: pytest.FixtureRequest
) -> Iterator[TrainerProcess]:
    """A trainer that stands still where the test's parameter says."""
    environment = {"SIMMER_TRAINER_PAUSE_AT": request.param, "SIMMER_TRAINER_PAUSE_FILE": str(pause_file)}
    with TrainerProcess(tmp_path / "pausing", environment=environment, zygote=zygote) as process:
        yield process


def files_in(folder: Path) -> dict[str, str]:
    """Digest of every file that is there to stay."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }


@pytest.mark.parametrize("pausing", ["checkpoint.marked", "model.written"], indirect=True)
def test_an_attempt_that_was_held_up_commits_nothing_once_another_has_taken_over(
    pausing: TrainerProcess, shared_trainer: TrainerProcess, tmp_path: Path, pause_file: Path
) -> None:
    parameters = hyperparameters(max_steps=4, checkpoint_every_steps=2)
    stale = training_request(tmp_path, job=str(tmp_path), attempt=1, hyperparameters=parameters)
    pausing.stub.StartTraining(stale, timeout=60)
    wait_until(pause_file.exists, 60)
    # A trainer that knows nothing of the first, as where a program was started twice.
    second = training_request(tmp_path, job=str(tmp_path), attempt=2, hyperparameters=parameters)
    assert shared_trainer.train(second)[-1].HasField("training_completed")
    output = tmp_path / "output"
    before = files_in(output)
    pause_file.unlink()
    ended = pausing.events(stale.attempt_id)[-1].training_failed
    assert (ended.code, ended.retryable) == ("attempt_stale", False)
    assert files_in(output) == before
    for late in (1, 2):
        with pytest.raises(grpc.RpcError) as refusal:
            pausing.stub.StartTraining(training_request(tmp_path, job=str(tmp_path), attempt=late), timeout=60)
        assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION  # type: ignore[attr-defined]
    assert files_in(output) == before
