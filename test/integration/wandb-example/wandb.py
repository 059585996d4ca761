"""Stands in for Weights & Biases: writes down what it is told, beside the run that it is told of."""

import json
from pathlib import Path
from typing import Any


class Run:
    def __init__(self, folder: Path) -> None:
        self._file = folder / "said.jsonl"
        self.summary = Summary(self)

    def define_metric(self, name: str, *, step_metric: str) -> None:
        self.say(axis={name: step_metric})

    def log(self, figures: dict[str, Any]) -> None:
        self.say(logged=figures)

    def finish(self, exit_code: int) -> None:
        self.say(finished=exit_code)

    def say(self, **said: Any) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(said) + "\n")


class Summary:
    def __init__(self, run: Run) -> None:
        self._run = run

    def __setitem__(self, name: str, figure: float) -> None:
        self._run.say(summary={name: figure})


def init(*, dir: Path, **options: Any) -> Run:
    folder = dir / "wandb"
    folder.mkdir(exist_ok=True)
    run = Run(folder)
    run.say(opened=options)
    return run
