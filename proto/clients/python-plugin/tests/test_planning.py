"""What authors say of a stage before it runs, without Simmer. In a recipe: test/integration/process-plugin."""

from collections.abc import Iterator

import pytest
from google.protobuf import json_format
from pydantic import BaseModel

from simmer_plugin import (
    Advice,
    Artifact,
    CheckContext,
    EstimateContext,
    MemoryPart,
    Plugin,
    Problem,
    Resources,
    StageContext,
    StageEstimate,
    TimePart,
    WorkEstimate,
    dataset,
    trainer_name,
)
from simmer_plugin.describe import description_of
from simmer_plugin.planning import work_message, work_of
from simmer_plugin.testing import check_stage, estimate_stage

plugin = Plugin("trial", "1.2.3")


class Options(BaseModel):
    trainer: str = trainer_name()
    price: float | None = None
    threads: int = 2


@plugin.stage(inputs={"dataset": dataset("Rows.").many()}, outputs={"dataset": dataset("Rows.")})
def ask(context: StageContext[Options]) -> dict[str, Artifact]:
    """Asks."""
    return {}


@plugin.stage(outputs={}, resources=Resources(cpus=3))
def plain(context: StageContext[Options]) -> dict[str, Artifact]:
    """Says nothing of itself."""
    return {}


@plugin.check(ask)
def priced(options: Options, context: CheckContext) -> Iterator[Problem]:
    if context.is_usd_limited and options.price is None:
        yield Problem("price", "price_missing", "A price is needed.", "Give one.")


@plugin.resources(ask)
def needs(options: Options) -> Resources:
    return Resources(cpus=options.threads)


@plugin.estimate(ask)
def effort(options: Options, context: EstimateContext) -> StageEstimate:
    rows = sum(int(facts["rows"]) for facts in context.many("dataset"))
    work = context.generation(options.trainer, {}, prompts=rows, tokens_per_prompt=8, longest_sequence=64)
    return StageEstimate(work, usd=rows / 10, outputs={"dataset": {"rows": rows}})


def test_a_check_yields_what_is_wrong() -> None:
    options = {"trainer": "student"}
    assert check_stage(plugin, "ask", options=options) == []
    [problem] = check_stage(plugin, "ask", options=options, is_usd_limited=True)
    assert (problem.path, problem.code, problem.hint) == ("price", "price_missing", "Give one.")


def test_an_estimate_knows_its_inputs_and_asks_the_trainer() -> None:
    inputs = {"dataset": [{"rows": 3.0}, {"rows": 4.0}]}
    job = WorkEstimate(seconds=5, memory=[MemoryPart("weights", 10)])
    estimate = estimate_stage(plugin, "ask", options={"trainer": "student"}, inputs=inputs, job=job)
    assert estimate == StageEstimate(job, usd=0.7, outputs={"dataset": {"rows": 7}})
    silent = estimate_stage(plugin, "ask", options={"trainer": "student"}, inputs=inputs)
    assert silent is not None and silent.work.notes == ["its plugin does not say what it takes."]


def test_describe_says_what_may_be_asked() -> None:
    ask_stage, plain_stage = json_format.MessageToDict(description_of(plugin))["stages"]
    asked = {"hasCheck": True, "hasResources": True, "hasEstimate": True}
    assert {key: ask_stage.get(key) for key in asked} == asked
    # Its options have a model, which may have validators.
    assert [key for key in asked if key in plain_stage] == ["hasCheck"]
    assert "resources" not in ask_stage
    assert plain_stage["resources"] == {"cpus": 3}


def test_what_is_not_known_stays_unknown_on_the_wire() -> None:
    unknown = WorkEstimate()
    known = WorkEstimate(seconds=0, is_at_most=True, figures={"steps": 3}, notes=["a"])
    assert [work_of(work_message(each)).seconds for each in (unknown, known)] == [None, 0]
    assert work_of(work_message(known)) == WorkEstimate(0, True, [], [], {"steps": 3}, ["a"], [])


def test_time_and_advice_keep_all_that_they_say_on_the_wire() -> None:
    known = WorkEstimate(
        seconds=90,
        time=[TimePart("start", 30), TimePart("steps", 60)],
        memory=[MemoryPart("weights", 2e9)],
        advice=[Advice("gradientCheckpointing: true", 1e9), Advice("hardware: h200", 2e9, memory_bytes=141e9)],
    )
    assert work_of(work_message(known)) == WorkEstimate(90, False, known.memory, known.advice, {}, [], known.time)


def test_only_a_stage_can_have_a_check() -> None:
    with pytest.raises(TypeError, match="no stage of this plugin"):
        plugin.check(lambda context: {})(priced)
