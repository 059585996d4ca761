"""A stage that trains, looks at what it trains on, and exports what comes of it; a trainer, a launcher and a grader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from simmer_plugin import (
    Artifact,
    EstimateContext,
    GenerationJob,
    Grade,
    GradeItem,
    GradingEstimate,
    Launcher,
    LaunchRequest,
    Plugin,
    PrepareContext,
    Reach,
    Resources,
    StageContext,
    StageEstimate,
    TrainerCommand,
    TrainerPlace,
    TrainingJob,
    UserError,
    VersionsContext,
    WorkEstimate,
    dataset,
    end_group,
    is_running,
    model,
    report,
    start_detached,
    trainer_extensions,
    trainer_name,
)

plugin = Plugin("trains", "1.0.0")


class Options(BaseModel):
    trainer: str = trainer_name()
    steps: int = Field(4, ge=1, description="Optimizer steps.")
    extensions: dict[str, Any] = trainer_extensions()


@plugin.stage(
    inputs={"dataset": dataset("What to train on."), "model": model("What to start from.")},
    outputs={
        "trained": model("The trained model."),
        "exported": model("The same, written anew."),
        "tokens": report("What is trained of the first row and the third."),
    },
)
def fine_tune(context: StageContext[Options]) -> dict[str, Artifact]:
    """Trains a model."""
    hyperparameters = {**fixed(context.options), "seed": context.seed}
    trainer, start, data = context.options.trainer, context.input("model"), context.table("dataset")
    extensions = context.options.extensions
    rows = context.inspect(trainer, start, data, [0, 2], hyperparameters, extensions=extensions)
    tokens = [{"row": row.row, "tokens": row.tokens, "trained": row.trained} for row in rows]
    if "CAPABILITY_TRAIN" not in context.describe_trainer(trainer).capabilities:
        raise UserError("cannot_train", f"The trainer {trainer} cannot train.")
    trained = context.train(trainer, start, data, hyperparameters, extensions=extensions)
    context.metric("steps", trained.steps)
    exported = context.export(trainer, trained, precision="PRECISION_FLOAT32")
    return {"trained": trained, "exported": exported, "tokens": context.write_report(tokens)}


@plugin.resources(fine_tune)
def needs(options: Options) -> Resources:
    """Cores by the steps, so that a test sees which options it got."""
    return Resources(cpus=1, memory_bytes=options.steps * 2**20)


@plugin.estimate(fine_tune)
def effort(options: Options, context: EstimateContext) -> StageEstimate:
    """What the trainer says."""
    work = context.training(options.trainer, context.input("model"), context.input("dataset"), fixed(options))
    return StageEstimate(work, outputs={"exported": {"config": {"steps": options.steps}}})


class Program(BaseModel):
    node: str = Field(description="Node.")
    program: str = Field(description="A program that speaks simmer.trainer.v1.")


class Extras(BaseModel):
    fused: bool = Field(False, description="Whether kernels are fused.")


def versions(options: Program, context: VersionsContext) -> dict[str, str]:
    """Of the program, for want of another, its name."""
    return {"program": Path(options.program).name}


def rows(options: Program, job: TrainingJob | GenerationJob, place: TrainerPlace) -> WorkEstimate | None:
    """A second for each row and step."""
    if isinstance(job, GenerationJob):
        return None
    return WorkEstimate(
        seconds=job.data.get("rows", 0) * job.hyperparameters["max_steps"], notes=[f"{place.nodes} node"]
    )


@plugin.trainer(
    versions=versions, resources=Resources(cpus=1), estimate=rows, extensions=Extras, gpus_per_process=2
)
def borrowed(options: Program, context: PrepareContext) -> TrainerCommand:
    """Trains with a program that is given."""
    context.log.info(f"prepared {Path(options.program).name}")
    return TrainerCommand([options.node, options.program], {"SIMMER_FAKE_TRAINER": "{}"})


class Place(BaseModel):
    tcp: bool = Field(False, description="Whether the trainer is reached by TCP.")


class Here:
    """Starts trainers on this machine."""

    def launch(self, request: LaunchRequest) -> int:
        request.log.info(f"starts {Path(request.command.argv[-1]).name} with {request.resources.cpus} cores")
        return start_detached(request)

    def attach(self, process_id: int) -> bool:
        return is_running(process_id)

    def terminate(self, process_id: int, grace_seconds: float) -> None:
        end_group(process_id, grace_seconds)


@plugin.launcher(
    reach=lambda place: Reach("tcp" if place.tcp else "unix", start_seconds=60),
    processes=lambda place, resources: 1,
)
def here(place: Place) -> Launcher:
    """Starts the trainer on this machine."""
    return Here()


class Price(BaseModel):
    usd: float = Field(0.01, ge=0, description="Dollars an answer.")


def fee(options: Price, answers: int | None) -> GradingEstimate | None:
    """A second an answer, and its price."""
    if answers is None:
        return None
    return GradingEstimate(WorkEstimate(seconds=answers), usd=answers * options.usd)


@plugin.grader(estimate=fee)
def same(items: Sequence[GradeItem], options: Price) -> list[Grade]:
    """Right where both are the same text."""
    return [Grade(item.id, "right" if item.answer == item.gold else "wrong") for item in items]


def fixed(options: Options) -> dict[str, object]:
    """Hyperparameters, but for the seed."""
    return {
        "method": "METHOD_FULL",
        "learning_rate": 1e-3,
        "max_steps": options.steps,
        "global_batch_size": 4,
        "schedule": "LEARNING_RATE_SCHEDULE_LINEAR",
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-8,
        "max_sequence_length": 512,
    }


if __name__ == "__main__":
    plugin.serve()
