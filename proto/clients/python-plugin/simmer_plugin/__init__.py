"""Plugins for Simmer in Python: stages, trainers, launchers, graders, sinks and hooks, each a function."""

from simmer_plugin.artifacts import Artifact, Table
from simmer_plugin.context import Log, Reservation, SinkContext, StageContext
from simmer_plugin.errors import Canceled, HostError, UserError
from simmer_plugin.generation import Policy, Prompt, Sample, Sampling, Thinking
from simmer_plugin.graders import GraderContext
from simmer_plugin.grading import Grade, GradeItem
from simmer_plugin.hooks import HookedStage, Objection, StageFailed
from simmer_plugin.inspection import InspectedRow, TrainerInfo
from simmer_plugin.launchers import Launcher, LaunchRequest, Reach, end_group, is_running, start_detached
from simmer_plugin.options import (
    GraderChoice,
    file_path,
    grader_choice,
    output_folder,
    placement,
    runs_code,
    secret_variable,
    trainer_extensions,
    trainer_name,
)
from simmer_plugin.planning import (
    Advice,
    CheckContext,
    EstimateContext,
    Facts,
    GradingEstimate,
    MemoryPart,
    Problem,
    Resources,
    StageEstimate,
    TimePart,
    WorkEstimate,
)
from simmer_plugin.plugin import Plugin, Sink, dataset, generations, model, report
from simmer_plugin.trainers import (
    CalibrationRun,
    GenerationJob,
    PrepareContext,
    TrainerCommand,
    TrainerPlace,
    TrainingJob,
    VersionsContext,
)

__all__ = [
    "Advice",
    "Artifact",
    "CalibrationRun",
    "Canceled",
    "CheckContext",
    "EstimateContext",
    "Facts",
    "GenerationJob",
    "Grade",
    "GradeItem",
    "GraderChoice",
    "GraderContext",
    "GradingEstimate",
    "HookedStage",
    "HostError",
    "InspectedRow",
    "LaunchRequest",
    "Launcher",
    "Log",
    "MemoryPart",
    "Objection",
    "Plugin",
    "Policy",
    "PrepareContext",
    "Problem",
    "Prompt",
    "Reach",
    "Reservation",
    "Resources",
    "Sample",
    "Sampling",
    "Sink",
    "SinkContext",
    "StageContext",
    "StageEstimate",
    "StageFailed",
    "Table",
    "Thinking",
    "TimePart",
    "TrainerCommand",
    "TrainerInfo",
    "TrainerPlace",
    "TrainingJob",
    "UserError",
    "VersionsContext",
    "WorkEstimate",
    "dataset",
    "end_group",
    "file_path",
    "generations",
    "grader_choice",
    "is_running",
    "model",
    "output_folder",
    "placement",
    "report",
    "runs_code",
    "secret_variable",
    "start_detached",
    "trainer_extensions",
    "trainer_name",
]
