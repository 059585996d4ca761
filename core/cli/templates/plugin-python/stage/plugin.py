"""A plugin for Simmer: a stage that keeps the rows whose question is short."""

from pydantic import BaseModel, Field
from simmer_plugin import Artifact, Plugin, StageContext, dataset

plugin = Plugin("new-plugin", "0.1.0")


class Options(BaseModel):
    words: int = Field(40, ge=1, description="Longest question to keep, in words.")


@plugin.stage(
    inputs={"dataset": dataset("Rows with a column `question`.")},
    outputs={"dataset": dataset("The rows kept, in their order.")},
)
def keep_short(context: StageContext[Options]) -> dict[str, Artifact]:
    """Keeps the rows whose question has at most so many words."""
    table = context.table("dataset")
    table.require_columns("question")
    kept = [row for row in table.rows() if len(row["question"].split()) <= context.options.words]
    dropped = table.row_count - len(kept)
    context.funnel("keep-short", table.row_count, len(kept), {"too_long": dropped})
    return {"dataset": context.write_dataset(kept, columns=table.columns)}


if __name__ == "__main__":
    plugin.serve()
