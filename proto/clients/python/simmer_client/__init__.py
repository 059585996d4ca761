"""A client of Simmer servers: submit recipes, follow runs, fetch results."""

from simmer_client.aio import AsyncClient
from simmer_client.analyses import ChangedItem, GradedAnswer, PointDiff, RowAttempt, RowDecision, RowHistory, RowStep
from simmer_client.client import Client
from simmer_client.errors import Problem, SimmerError
from simmer_client.types import Artifact, ArtifactFile, Event, Gap, PlannedStage, Run, Tls

__all__ = [
    "Artifact",
    "ArtifactFile",
    "AsyncClient",
    "ChangedItem",
    "Client",
    "Event",
    "Gap",
    "GradedAnswer",
    "PlannedStage",
    "PointDiff",
    "Problem",
    "RowAttempt",
    "RowDecision",
    "RowHistory",
    "RowStep",
    "Run",
    "SimmerError",
    "Tls",
]
