"""A client of Simmer servers: submit recipes, follow runs, fetch results."""

from simmer_client.aio import AsyncClient
from simmer_client.analyses import ChangedItem, GradedAnswer, PointDiff, RowAttempt, RowDecision, RowHistory, RowStep
from simmer_client.client import Client
from simmer_client.errors import Problem, SimmerError
from simmer_client.types import (
    Artifact,
    ArtifactFile,
    Contribution,
    Event,
    Gap,
    PlannedStage,
    Plugin,
    Removal,
    Report,
    Resources,
    Run,
    Server,
    Tls,
    Value,
)

__all__ = [
    "Artifact",
    "ArtifactFile",
    "AsyncClient",
    "ChangedItem",
    "Client",
    "Contribution",
    "Event",
    "Gap",
    "GradedAnswer",
    "PlannedStage",
    "Plugin",
    "PointDiff",
    "Problem",
    "Removal",
    "Report",
    "Resources",
    "RowAttempt",
    "RowDecision",
    "RowHistory",
    "RowStep",
    "Run",
    "Server",
    "SimmerError",
    "Tls",
    "Value",
]
