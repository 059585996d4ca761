"""Plugins for Simmer in Python: stages, graders and sinks, each a function."""

from simmer_plugin.artifacts import Artifact, Table
from simmer_plugin.context import Log, Reservation, SinkContext, StageContext
from simmer_plugin.errors import Canceled, HostError, UserError
from simmer_plugin.generation import Policy, Prompt, Sample, Sampling, Thinking
from simmer_plugin.grading import Grade, GradeItem
from simmer_plugin.options import GraderChoice, file_path, grader_choice, placement, trainer_name
from simmer_plugin.plugin import Plugin, Sink, dataset, generations, model, report

__all__ = [
    "Artifact",
    "Canceled",
    "Grade",
    "GradeItem",
    "GraderChoice",
    "HostError",
    "Log",
    "Plugin",
    "Policy",
    "Prompt",
    "Reservation",
    "Sample",
    "Sampling",
    "Sink",
    "SinkContext",
    "StageContext",
    "Table",
    "Thinking",
    "UserError",
    "dataset",
    "file_path",
    "generations",
    "grader_choice",
    "model",
    "placement",
    "report",
    "trainer_name",
]
