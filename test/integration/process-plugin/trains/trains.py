"""A stage that trains, and exports what comes of it."""

from pydantic import BaseModel, Field
from simmer_plugin import Artifact, Plugin, StageContext, dataset, model, trainer_name

plugin = Plugin("trains", "1.0.0")


class Options(BaseModel):
    trainer: str = trainer_name()
    steps: int = Field(4, ge=1, description="Optimizer steps.")


@plugin.stage(
    inputs={"dataset": dataset("What to train on."), "model": model("What to start from.")},
    outputs={"trained": model("The trained model."), "exported": model("The same, written anew.")},
)
def fine_tune(context: StageContext[Options]) -> dict[str, Artifact]:
    """Trains a model."""
    hyperparameters = {
        "method": "METHOD_FULL",
        "learning_rate": 1e-3,
        "max_steps": context.options.steps,
        "global_batch_size": 4,
        "schedule": "LEARNING_RATE_SCHEDULE_LINEAR",
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "adam_epsilon": 1e-8,
        "max_sequence_length": 512,
        "seed": context.seed,
    }
    trainer = context.options.trainer
    trained = context.train(trainer, context.input("model"), context.table("dataset"), hyperparameters)
    return {"trained": trained, "exported": context.export(trainer, trained)}


if __name__ == "__main__":
    plugin.serve()
