"""A client of Simmer servers: submit recipes, follow runs, fetch results."""

from simmer_client.aio import AsyncClient
from simmer_client.client import Client
from simmer_client.errors import Problem, SimmerError
from simmer_client.types import Artifact, ArtifactFile, Event, Gap, PlannedStage, Run, Tls

__all__ = [
    "Artifact",
    "ArtifactFile",
    "AsyncClient",
    "Client",
    "Event",
    "Gap",
    "PlannedStage",
    "Problem",
    "Run",
    "SimmerError",
    "Tls",
]
