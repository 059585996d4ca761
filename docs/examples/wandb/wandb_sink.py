"""A sink in Python: a run of Weights & Biases for each run of Simmer."""

from collections.abc import Mapping
from typing import Any, Literal

import wandb
from pydantic import BaseModel, Field
from simmer_plugin import Plugin, Sink, SinkContext

plugin = Plugin("wandb", "1.0.0")


class Options(BaseModel):
    project: str = Field("simmer", description="Project of Weights & Biases.")
    mode: Literal["offline", "online"] = Field("offline", description="Offline, `wandb sync` uploads the run later.")


class Logger(Sink):
    def __init__(self, context: SinkContext[Options]) -> None:
        options, name = context.options, context.run_id
        # After a resume the run has the same id, and goes on.
        self.run = wandb.init(
            project=options.project, mode=options.mode, id=name, name=name, resume="allow", dir=context.run_folder
        )
        self.done_file = context.run_folder / "wandb" / "done.txt"
        self.done = int(self.done_file.read_text()) if self.done_file.exists() else 0
        self.steps: set[tuple[str | None, int]] = set()
        self.exit_code = 1

    def on_event(self, event: Mapping[str, Any]) -> None:
        data, stage = event["data"], event.get("stage")
        # After a resume the whole run is told again, from its first event.
        is_known = event["sequence"] <= self.done
        if event["type"] == "step.logged":
            # What came after the last checkpoint runs again, and is told again where it was told before.
            is_known = is_known or (stage, data["step"]) in self.steps
            self.steps.add((stage, data["step"]))
        if is_known:
            return
        match event["type"]:
            case "training.started":
                self.run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
            case "step.logged":
                self.log(event, {"loss": data["loss"], "learning_rate": data["learningRate"]})
            case "evaluation.logged":
                self.log(event, {"evaluation_loss": data["loss"]})
            case "metric.measured":
                self.run.summary[data["name"]] = data["value"]
            case "run.completed":
                self.exit_code = 0

    def log(self, event: Mapping[str, Any], figures: Mapping[str, float | None]) -> None:
        step = {"step": event["data"]["step"], **figures}
        self.run.log({f"{event['stage']}/{name}": figure for name, figure in step.items()})
        self.done_file.write_text(str(event["sequence"]))

    def close(self) -> None:
        self.run.finish(self.exit_code)


@plugin.sink(name="run")
def logger(context: SinkContext[Options]) -> Sink:
    """Keeps the losses of trainings by step, and all metrics as the summary, in Weights & Biases."""
    return Logger(context)


if __name__ == "__main__":
    plugin.serve()
