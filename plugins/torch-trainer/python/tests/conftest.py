"""Trainers as real processes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from forked_trainers import Zygote
    from trainer_process import TrainerProcess

# Models here are too small for threads, which would only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator["TrainerProcess"]:
    """A trainer that serves, and is gone afterwards."""
    from trainer_process import TrainerProcess

    with TrainerProcess(tmp_path / "trainer") as process:
        yield process


@pytest.fixture(scope="session")
def zygote() -> Iterator["Zygote"]:
    from forked_trainers import Zygote
    from trainer_process import common_environment

    zygote = Zygote(common_environment())
    yield zygote
    zygote.close()


@pytest.fixture
def forked_trainer(tmp_path: Path, zygote: "Zygote") -> Iterator["TrainerProcess"]:
    """As `trainer`, for tests of what trainings yield, not of how the process starts: within milliseconds."""
    from trainer_process import TrainerProcess

    with TrainerProcess(tmp_path / "trainer", zygote=zygote) as process:
        yield process


@pytest.fixture(scope="module")
def shared_trainer(tmp_path_factory: pytest.TempPathFactory, zygote: "Zygote") -> Iterator["TrainerProcess"]:
    """One trainer for tests that leave it as they found it."""
    from trainer_process import TrainerProcess

    with TrainerProcess(tmp_path_factory.mktemp("shared") / "trainer", zygote=zygote) as process:
        yield process
