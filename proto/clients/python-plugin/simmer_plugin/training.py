"""Training with a trainer of the recipe."""

from __future__ import annotations

from dataclasses import dataclass

from simmer_plugin.artifacts import Artifact, artifact_of
from simmer_plugin.generated.simmer.plugin.v1 import host_pb2


@dataclass(frozen=True)
class TrainedModel(Artifact):
    """A model that was trained, and how that ended."""

    #: Optimizer steps done.
    steps: int = 0
    #: Mean over the last steps, in nats; None where it is not finite.
    final_loss: float | None = None
    #: Whether early stopping ended it.
    stopped_early: bool = False
    #: The step whose weights the model has, where it is not the last one.
    best_step: int | None = None
    #: The last loss of these weights on the evaluation data, in nats; None without such.
    evaluation_loss: float | None = None


def trained_of(message: host_pb2.TrainResponse) -> TrainedModel:
    """What a training made, from the wire."""
    model = artifact_of(message.model)
    return TrainedModel(
        model.uri,
        model.type,
        model.folder,
        model.metadata,
        steps=message.steps,
        final_loss=message.final_loss if message.HasField("final_loss") else None,
        stopped_early=message.stopped_early,
        best_step=message.best_step if message.HasField("best_step") else None,
        evaluation_loss=message.evaluation_loss if message.HasField("evaluation_loss") else None,
    )
