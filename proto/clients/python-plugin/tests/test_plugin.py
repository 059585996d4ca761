"""What authors see, without Simmer. A plugin in a run: test/integration/process-plugin."""

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from google.protobuf import json_format
from pydantic import BaseModel, Field

from simmer_plugin import (
    Artifact,
    GradeItem,
    GraderChoice,
    HostError,
    Intervention,
    Plugin,
    Policy,
    Prompt,
    Sample,
    Sampling,
    StageContext,
    UserError,
    dataset,
    file_path,
    grader_choice,
    model,
    output_folder,
    placement,
    read_secret,
    report,
    runs_code,
    secret_variable,
    server_url,
    trainer_name,
)
from simmer_plugin.artifacts import _ColumnTypeReader
from simmer_plugin.describe import description_of
from simmer_plugin.generated.simmer.grader.v1 import grader_pb2
from simmer_plugin.generated.simmer.trainer.v1 import trainer_pb2
from simmer_plugin.generation import request_messages, sample_of
from simmer_plugin.grading import Grade, item_message, item_of
from simmer_plugin.plugin import NoOptions
from simmer_plugin.testing import run_stage

plugin = Plugin("trial", "1.2.3")


class Inner(BaseModel):
    depth: int = 1


class Options(BaseModel):
    trainer: str = trainer_name()
    words: int = Field(2, ge=1, description="Most words.")
    threads: Annotated[int, placement()] = Field(4, description="How fast.")
    list: str | None = file_path("Words to drop.")
    figures: Annotated[str | None, output_folder("Where figures come.")] = None
    inner: Inner = Inner()
    grader: GraderChoice = grader_choice("eval/exact")


@plugin.stage(
    inputs={"dataset": dataset("Rows."), "model": model("The model.").optional(), "more": dataset("More.").many()},
    outputs={"dataset": dataset("Short rows."), "summary": report("How many.")},
)
def keep_short(context: StageContext[Options]) -> dict[str, Artifact]:
    """Keeps short rows.

    This is for readers of the code.
    """
    table = context.table("dataset")
    table.require_columns("question")
    kept = [row for row in table.rows() if len(row["question"].split()) <= context.options.words]
    context.funnel("short", table.row_count, len(kept), {"too_long": table.row_count - len(kept)})
    context.reserve("a teacher", 0.5).settle(0.2, input_tokens=3)
    return {
        "dataset": context.write_dataset(kept, columns=table.columns),
        "summary": context.write_report({"kept": len(kept), "drawn": context.random("x").random()}),
    }


@plugin.stage(inputs={"model": model("The model.")}, outputs={"dataset": dataset("Answers.")})
def ask(context: StageContext[Options]) -> dict[str, Artifact]:
    """Asks a model."""
    prompts = [Prompt.user("a", "1 + 1")]
    samples = list(context.generate("student", context.input("model"), prompts, Sampling(8)))
    grades = context.grade(
        context.options.grader, [GradeItem(sample.prompt_id, "2", sample.answer) for sample in samples]
    )
    return {"dataset": context.write_dataset([{"answer": samples[0].answer, "verdict": grades[0].verdict}])}


@plugin.stage(outputs={"replies": dataset("What was paid for.")})
def pay(context: StageContext[NoOptions]) -> dict[str, Artifact]:
    """Keeps what it pays for."""
    folder = context.kept_folder({"model": "r1"})
    (folder / "reply").write_text("42")
    paid = [{"reply": reply.read_text()} for reply in folder.parent.glob("*/reply")]
    return {"replies": context.write_dataset(paid)}


ROWS = [{"id": "1", "question": "what now"}, {"id": "2", "question": "what is the sum of it all"}]


def test_a_stage_keeps_and_says_what_it_should() -> None:
    result = run_stage(plugin, "keep-short", options={"trainer": "t", "list": None}, inputs={"dataset": ROWS})
    assert result.rows("dataset") == ROWS[:1]
    assert result.events == [
        {"funnelCounted": {"step": "short", "rowsIn": "2", "rowsOut": "1", "dropped": {"too_long": "1"}}}
    ]
    assert result.spent == [("a teacher", 0.2)]


def test_more_prompts_than_one_message_carries_are_asked_in_several() -> None:
    prompts = [Prompt.user(str(number), "1 + 1 = ?" * 10_000) for number in range(1_000)]
    asked = list(request_messages("call", "student", "uri", prompts, Sampling(8), None, [], None, None))
    assert [prompt.id for request in asked for prompt in request.prompts] == [prompt.id for prompt in prompts]
    assert max(request.ByteSize() for request in asked) < 64 * 2**20
    assert {(request.call_id, request.trainer, request.sampling.max_answer_tokens) for request in asked} == {
        ("call", "student", 8)
    }


def test_two_prompts_of_one_id_are_refused_before_any_answer() -> None:
    twice = Plugin("twice", "1.0.0")

    @twice.stage(inputs={"model": model("The model.")}, outputs={})
    def ask_twice(context: StageContext[NoOptions]) -> dict[str, Artifact]:
        """Asks the same again."""
        prompts = [Prompt.user("a", "1 + 1"), Prompt.user("a", "1 + 2")]
        with pytest.raises(HostError, match="Two prompts have the id 'a'"):
            next(context.generate("student", context.input("model"), prompts, Sampling(8)))
        return {}

    run_stage(twice, "ask-twice", inputs={"model": Path(".")}, generate=lambda prompts, sampling: [])


def test_prompts_may_be_made_as_they_are_asked_for() -> None:
    lazy = Plugin("lazy", "1.0.0")
    answered: list[str] = []

    @lazy.stage(inputs={"model": model("The model.")}, outputs={})
    def ask_all(context: StageContext[NoOptions]) -> dict[str, Artifact]:
        """Asks each."""
        prompts = (Prompt.user(id, "1 + 1") for id in ("a", "b"))
        samples = context.generate("student", context.input("model"), prompts, Sampling(8))
        answered.extend(sample.prompt_id for sample in samples)
        return {}

    run_stage(
        lazy,
        "ask-all",
        inputs={"model": Path(".")},
        generate=lambda prompts, sampling: [Sample(prompt.id, "", 0, "", "2", 0, 1) for prompt in prompts],
    )
    assert answered == ["a", "b"]


def test_generation_says_and_hears_all_that_a_trainer_does() -> None:
    [asked] = request_messages(
        "call",
        "student",
        "simmer://model/x",
        [Prompt("a", token_ids=[5, 6], sample_indices=[1]), Prompt("b", text="1 + 1 =")],
        Sampling(8, samples=2),
        None,
        [Policy("p", max_thinking_tokens=4, spending_rule="per_round")],
        16,
        "PRECISION_BFLOAT16",
    )
    said = json_format.MessageToDict(asked)
    assert said["prompts"] == [
        {"id": "a", "tokenIds": {"ids": [5, 6]}, "sampleIndices": [1]},
        {"id": "b", "text": "1 + 1 ="},
    ]
    assert said["policies"][0]["spendingRule"] == "SPENDING_RULE_PER_ROUND"
    assert (said["maxBatchSize"], said["precision"]) == (16, "PRECISION_BFLOAT16")
    forced = trainer_pb2.Intervention(kind="INTERVENTION_KIND_ENDED", position=2, token_ids=[9], text=".")
    sample = sample_of(
        trainer_pb2.Sample(
            prompt_id="a",
            prompt_tokens=2,
            thinking_token_ids=[1, 2],
            answer_token_ids=[3],
            interventions=[forced],
            thinking_end="THINKING_END_FORCED",
            finish_reason="FINISH_REASON_LENGTH",
        )
    )
    assert (sample.thinking_tokens, sample.answer_tokens, sample.prompt_tokens) == (2, 1, 2)
    assert sample.interventions == [Intervention("ended", 2, [9], ".", 0)]
    assert (sample.thinking_end, sample.finish_reason) == ("forced", "length")


@pytest.mark.parametrize("question", [None, "", "1 + 1"])
def test_a_grader_is_told_the_question_where_it_is_known(question: str | None) -> None:
    item = GradeItem("a", "2", "two", question)
    sent = grader_pb2.GradeItem.FromString(item_message(item).SerializeToString())
    assert item_of(sent) == item


@pytest.mark.parametrize("verdict", ["correct", True, None])
def test_a_grade_says_which_verdicts_there_are(verdict: Any) -> None:
    with pytest.raises(ValueError, match=f"one of right, wrong, unparsed, timed_out, not {verdict!r}"):
        Grade("a", verdict)


def test_the_same_seed_draws_the_same() -> None:
    given: dict[str, Any] = {"options": {"trainer": "t", "list": None}, "inputs": {"dataset": ROWS}}
    first, second, other = (run_stage(plugin, "keep-short", **given, seed=seed).outputs for seed in (1, 1, 2))
    assert first["summary"].uri == second["summary"].uri != other["summary"].uri


def test_what_was_paid_for_has_a_folder_beside_that_of_others() -> None:
    assert run_stage(plugin, "pay").rows("replies") == [{"reply": "42"}]


def test_a_missing_column_is_an_error_for_the_user() -> None:
    with pytest.raises(UserError, match="no column question"):
        run_stage(plugin, "keep-short", options={"trainer": "t", "list": None}, inputs={"dataset": [{"id": "1"}]})


def test_a_stage_asks_a_model_and_has_its_answers_graded(tmp_path: Path) -> None:
    sample = Sample("a", "", 0, "", "two", 0, 1)
    result = run_stage(
        plugin,
        "ask",
        options={"trainer": "student", "list": None},
        inputs={"model": tmp_path},
        generate=lambda prompts, sampling: [sample],
        grade=lambda items: [Grade(item.id, "wrong") for item in items],
    )
    assert result.rows("dataset") == [{"answer": "two", "verdict": "wrong"}]


def test_what_a_client_of_a_server_may_not_say_is_marked() -> None:
    class Guarded(BaseModel):
        command: Annotated[list[str], runs_code()] = Field(["sh"], description="What is run.")
        workers: Annotated[int, placement(), runs_code()] = 1
        key: str = secret_variable("url")
        token: str | None = secret_variable(description="The token.")

    trial = Plugin("guarded", "1.2.3")

    @trial.stage(outputs={})
    def guarded(context: StageContext[Guarded]) -> dict[str, Artifact]:
        """Guards."""
        return {}

    properties = json_format.MessageToDict(description_of(trial))["stages"][0]["optionsSchema"]["properties"]
    assert properties["command"]["x-simmer-runs-code"] is True
    assert properties["command"]["description"] == "What is run."
    assert [properties["workers"][f"x-simmer-{mark}"] for mark in ("placement", "runs-code")] == [True, True]
    assert properties["key"]["x-simmer-secret"] == "url"
    assert properties["token"]["x-simmer-secret"] == ""
    assert properties["token"]["description"] == "The token."


def test_describe_says_what_the_declarations_say() -> None:
    described = json_format.MessageToDict(description_of(plugin))
    stage = described["stages"][0]
    assert (described["name"], stage["name"], stage["description"]) == ("trial", "keep-short", "Keeps short rows.")
    assert stage["inputs"][1:] == [
        {"name": "model", "description": "The model.", "types": ["ARTIFACT_TYPE_MODEL"], "optional": True},
        {"name": "more", "description": "More.", "types": ["ARTIFACT_TYPE_DATASET"], "many": True},
    ]
    schema = stage["optionsSchema"]
    assert schema["required"] == ["trainer", "list"]
    assert schema["properties"]["threads"]["x-simmer-placement"] is True
    assert schema["properties"]["trainer"]["x-simmer-trainer"] is True
    assert schema["properties"]["list"]["x-simmer-file"] is True
    assert schema["properties"]["figures"]["x-simmer-folder"] is True
    assert schema["properties"]["grader"] == {
        "description": "Who compares an answer with the right one.",
        "x-simmer-grader": "eval/exact",
    }
    assert schema["properties"]["words"] == {
        "type": "integer",
        "default": 2,
        "minimum": 1,
        "description": "Most words.",
    }


def test_a_stage_without_a_docstring_is_refused() -> None:
    def silent(context: StageContext[Options]) -> dict[str, Artifact]:
        return {}

    with pytest.raises(TypeError, match="docstring"):
        plugin.stage(outputs={})(silent)


def written(rows: list[dict[str, Any]], columns: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The rows of a table that a stage wrote."""
    trial = Plugin("trial", "1.2.3")

    @trial.stage(outputs={"dataset": dataset("Rows.")})
    def write(context: StageContext[NoOptions]) -> dict[str, Artifact]:
        """Writes rows."""
        return {"dataset": context.write_dataset(rows, columns=columns)}

    return run_stage(trial, "write").rows("dataset")


def test_a_table_without_declared_columns_has_those_of_all_rows() -> None:
    assert written([{"a": 1}, {"b": "x", "a": 2}]) == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    with pytest.raises(ValueError, match="needs `columns`"):
        written([])


def test_a_column_that_is_not_declared_is_refused_and_not_dropped() -> None:
    assert written([{"a": 1}, {}], {"a": "BIGINT"}) == [{"a": 1}, {"a": None}]
    with pytest.raises(ValueError, match="row 2 has the column 'score'"):
        written([{"a": 1}, {"a": 2, "score": 3}], {"a": "BIGINT"})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"n": "seven"}, "row 2, column 'n', where int64 is expected: 'seven' was found"),
        ({"n": 2**70}, "row 2, column 'n', where int64 is expected"),
        ({"n": 1, "list": [1]}, "row 2, column 'list', where list<item: string> is expected"),
        (None, "row 2 is None, where its columns by their names are expected"),
    ],
)
def test_a_row_that_does_not_fit_is_told_by_its_number(row: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        written([{"n": 1, "list": ["a"]}, row, {"n": 3}], {"n": "BIGINT", "list": "VARCHAR[]"})


def test_types_of_columns_are_those_of_duckdb() -> None:
    read = _ColumnTypeReader('STRUCT("text" VARCHAR, at INTEGER[])[]').read()
    assert str(read) == "list<item: struct<text: string, at: list<item: int32>>>"
    with pytest.raises(ValueError, match="no type"):
        _ColumnTypeReader("VARCHAR)").read()


def test_a_servers_url_is_checked_before_anything_runs() -> None:
    class Asked(BaseModel):
        url: str = server_url("Who is asked.")

    schema = Asked.model_json_schema()["properties"]["url"]
    assert (schema["format"], schema["pattern"], schema["description"]) == ("uri", "^https?://", "Who is asked.")


def test_a_secret_is_read_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "s3cret")
    assert read_secret("A_KEY") == "s3cret"
    monkeypatch.delenv("A_KEY")
    with pytest.raises(UserError, match="no environment variable A_KEY") as raised:
        read_secret("A_KEY")
    assert "`secrets` of the plugin" in (raised.value.hint or "")
