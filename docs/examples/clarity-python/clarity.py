"""A stage that pays: a service says how clear each question is."""

import hashlib
import json
import urllib.error
import urllib.request
from typing import Annotated, Any

from pydantic import BaseModel, Field
from simmer_plugin import (
    Artifact,
    EstimateContext,
    Plugin,
    StageContext,
    StageEstimate,
    UserError,
    WorkEstimate,
    dataset,
    placement,
    server_url,
)

SECONDS_FOR_ONE = 60

plugin = Plugin("clarity", "1.0.0")


class Options(BaseModel):
    url: str = server_url("Takes {question} by POST, and says {score, usd}: how clear it is, and what that cost.")
    least: float = Field(0.5, description="Lowest score to keep.")
    usdPerQuestion: Annotated[float, placement()] = Field(ge=0, description="The most that one question costs.")


@plugin.stage(
    inputs={"dataset": dataset("Rows with a column `question`.")},
    outputs={"dataset": dataset("The rows kept, in their order.")},
)
def keep_clear(context: StageContext[Options]) -> dict[str, Artifact]:
    """Keeps the questions that a paid service finds clear."""
    table = context.table("dataset")
    table.require_columns("question")
    kept = [row for row in table.rows() if score_of(row["question"], context) >= context.options.least]
    return {"dataset": context.write_dataset(kept, columns=table.columns)}


def score_of(question: str, context: StageContext[Options]) -> float:
    """What the service says of a question, or said to any run of the stage."""
    options = context.options
    folder = context.kept_folder({"url": options.url})
    name = f"{hashlib.sha256(question.encode()).hexdigest()}.json"
    for kept in folder.parent.glob(f"*/{name}"):
        return float(json.loads(kept.read_text()))
    context.stop_if_canceled()
    # If it is never settled, since the service failed, say, it counts as the most.
    with context.reserve(options.url, options.usdPerQuestion, seconds=SECONDS_FOR_ONE) as reservation:
        said = ask(question, options.url)
        # First the whole file, then its name: a kill leaves no half of it.
        draft = folder / f"{name}.draft"
        draft.write_text(json.dumps(said["score"]))
        draft.replace(folder / name)
        reservation.settle(said["usd"])
    return float(said["score"])


def ask(question: str, url: str) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps({"question": question}).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_FOR_ONE) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        raise UserError("clarity_refused", f"{url} answered with status {error.code}.") from error


@plugin.estimate(keep_clear)
def cost(options: Options, context: EstimateContext) -> StageEstimate | None:
    """The most that so many questions cost."""
    rows = context.input("dataset").get("rows")
    if rows is None:
        return None
    return StageEstimate(WorkEstimate(is_at_most=True), usd=int(rows) * options.usdPerQuestion)


if __name__ == "__main__":
    plugin.serve()
