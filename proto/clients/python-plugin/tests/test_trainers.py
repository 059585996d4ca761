"""What authors see of trainers, without Simmer. In runs: test/integration/process-plugin."""

from google.protobuf import json_format
from pydantic import BaseModel

from simmer_plugin import (
    CalibrationRun,
    GenerationJob,
    Plugin,
    PrepareContext,
    Resources,
    TrainerCommand,
    TrainingJob,
    VersionsContext,
)
from simmer_plugin.describe import description_of
from simmer_plugin.generated.simmer.plugin.v1 import trainer_pb2 as pb
from simmer_plugin.trainers import job_of, place_of

plugin = Plugin("trial", "1.2.3")


class Options(BaseModel):
    threads: int = 2


class Extensions(BaseModel):
    fused: bool = False


def versions(options: Options, context: VersionsContext) -> dict[str, str]:
    return {"mine": "1"}


@plugin.trainer(
    versions=versions,
    resources=lambda options: Resources(cpus=options.threads),
    calibration=[CalibrationRun("a run", "a paper", True, "seconds", 11, 10)],
    extensions=Extensions,
)
def own(options: Options, context: PrepareContext) -> TrainerCommand:
    """Trains with a loop of its own."""
    return TrainerCommand(["own"])


def test_describe_says_what_may_be_asked_of_a_trainer() -> None:
    [trainer] = json_format.MessageToDict(description_of(plugin))["trainers"]
    assert (trainer["name"], trainer["description"]) == ("own", "Trains with a loop of its own.")
    assert trainer["hasResources"] is True
    assert "hasEstimate" not in trainer
    assert trainer["calibration"][0]["isFit"] is True
    assert trainer["extensionsSchema"]["properties"] == {"fused": {"default": False, "type": "boolean"}}
    assert trainer["extensionsSchema"]["additionalProperties"] is False


def test_a_job_keeps_what_is_not_known_unknown() -> None:
    training = json_format.ParseDict(
        {"training": {"data": {"rows": 3}, "hyperparameters": {"max_steps": 4}}}, pb.EstimateTrainerJobRequest()
    )
    job = job_of(training)
    assert isinstance(job, TrainingJob)
    assert (job.data["rows"], job.hyperparameters["max_steps"]) == (3, 4)
    assert (job.extensions, job.evaluation) == (None, None)
    training.training.evaluation.update({"rows": 5})
    job = job_of(training)
    assert isinstance(job, TrainingJob) and job.evaluation == {"rows": 5}
    generation = json_format.ParseDict(
        {"generation": {"tokens_per_prompt": 8, "longest_sequence": 9}}, pb.EstimateTrainerJobRequest()
    )
    assert job_of(generation) == GenerationJob({}, None, 8, 9, None)


def test_a_place_has_the_figures_that_are_known() -> None:
    assert place_of(pb.TrainerPlace(gpus=2, nodes=1)).hardware is None
    known = place_of(pb.TrainerPlace(gpus=2, nodes=1, hardware=pb.Hardware(usd_per_gpu_hour=0)))
    assert (known.hardware, known.gpus) == ({"usd_per_gpu_hour": 0}, 2)
