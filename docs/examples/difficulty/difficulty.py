"""A stage in Python: a model tries every problem, and those that it finds neither easy nor hopeless stay."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field
from simmer_plugin import (
    Artifact,
    CheckContext,
    EstimateContext,
    GradeItem,
    GraderChoice,
    Plugin,
    Problem,
    Prompt,
    Sampling,
    StageContext,
    StageEstimate,
    UserError,
    dataset,
    grader_choice,
    model,
    trainer_name,
)

plugin = Plugin("difficulty", "1.0.0")


class Options(BaseModel):
    trainer: str = trainer_name("The trainer that runs the model.")
    attempts: int = Field(4, ge=1, description="Answers drawn for each problem.")
    temperature: float = Field(0.8, ge=0, description="0 draws the same answer each time.")
    max_tokens: int = Field(64, ge=1, description="Longest answer, in tokens.")
    at_most_right: float = Field(0.75, ge=0, le=1, description="Drop problems answered rightly more often: too easy.")
    at_least_right: float = Field(0.0, ge=0, le=1, description="Drop problems answered rightly less often: too hard.")
    grader: GraderChoice = grader_choice("eval/exact")


@plugin.stage(
    inputs={"dataset": dataset("Problems: `id`, `question`, `answer`."), "model": model("The model that tries them.")},
    outputs={
        "dataset": dataset("The problems kept, in their order, with `right_share`."),
        "decisions": dataset("What became of each problem, and why."),
    },
)
def difficulty(context: StageContext[Options]) -> dict[str, Artifact]:
    """Drops problems that a model answers rightly too often to learn from them, or too seldom."""
    options = context.options
    table = context.table("dataset")
    table.require_columns("id", "question", "answer")
    problems: dict[str, dict[str, Any]] = {}
    for row in table.rows():
        # An id is made of the question: kept by it, two rows that ask the same would become one.
        if row["id"] in problems:
            message = f"The dataset has id {row['id']} twice."
            raise UserError("invalid_problem", message, "Put curation/deduplicate before this stage.")
        problems[row["id"]] = row
    if not problems:
        raise UserError("empty_dataset", "The dataset has no problem.", "Look at what the stages before dropped.")

    answers: list[tuple[str, str]] = []
    total = len(problems) * options.attempts
    prompts = [Prompt.user(id, row["question"]) for id, row in problems.items()]
    sampling = Sampling(options.max_tokens, options.temperature, samples=options.attempts, seed=context.seed)
    for sample in context.generate(options.trainer, context.input("model"), prompts, sampling):
        answers.append((sample.prompt_id, sample.answer))
        if len(answers) % 20 == 0 or len(answers) == total:
            context.progress(len(answers), total, "answers")

    items = [
        GradeItem(str(index), problems[id]["answer"], text, problems[id]["question"])
        for index, (id, text) in enumerate(answers)
    ]
    right: Counter[str] = Counter()
    for (id, _), grade in zip(answers, context.grade(options.grader, items), strict=True):
        right[id] += grade.verdict == "right"

    kept, decisions = [], []
    dropped: Counter[str] = Counter()
    for id, row in problems.items():
        share = right[id] / options.attempts
        rule = "too_easy" if share > options.at_most_right else "too_hard" if share < options.at_least_right else None
        evidence = f"right in {right[id]} of {options.attempts}"
        decisions.append({"id": id, "kept": rule is None, "rule": rule, "evidence": evidence})
        if rule is None:
            kept.append({**row, "right_share": share})
        else:
            dropped[rule] += 1

    context.funnel("difficulty", len(problems), len(kept), dropped)
    context.metric("difficulty.right", sum(right.values()) / total, count=total, unit="share")
    return {
        "dataset": context.write_dataset(kept, columns={**table.columns, "right_share": "DOUBLE"}),
        "decisions": context.write_dataset(
            decisions, columns={"id": "VARCHAR", "kept": "BOOLEAN", "rule": "VARCHAR", "evidence": "VARCHAR"}
        ),
    }


@plugin.check(difficulty)
def contradictions(options: Options, context: CheckContext) -> Iterator[Problem]:
    """What is wrong with options that each fit their type."""
    if options.at_least_right > options.at_most_right:
        yield Problem("at_least_right", "nothing_kept", "at_least_right is above at_most_right: nothing fits.")
    if options.attempts > 1 and options.temperature == 0:
        message = f"At temperature 0 all {options.attempts} attempts are the same."
        yield Problem("attempts", "equal_samples", message, "Set attempts to 1, or raise the temperature.")


@plugin.estimate(difficulty)
def effort(options: Options, context: EstimateContext) -> StageEstimate:
    """What the trainer says that so many answers take."""
    rows = context.input("dataset").get("rows")
    prompts = None if rows is None else int(rows) * options.attempts
    work = context.generation(
        options.trainer,
        context.input("model"),
        prompts=prompts,
        tokens_per_prompt=options.max_tokens,
        longest_sequence=options.max_tokens + 256,
    )
    # How many problems stay is what the stage is there to find out: all of them, at most.
    return StageEstimate(work, outputs={"dataset": context.input("dataset")})


if __name__ == "__main__":
    plugin.serve()
