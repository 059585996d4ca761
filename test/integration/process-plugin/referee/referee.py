"""A grader that is paid: it logs, pays, and keeps what it was told, as a judge does."""

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel
from simmer_plugin import Grade, GradeItem, GraderContext, Plugin

plugin = Plugin("referee", "1.0.0")


class Options(BaseModel):
    usd: float | None = 0.25
    slow: bool = False


@plugin.grader()
def referee(items: Sequence[GradeItem], options: Options, context: GraderContext) -> list[Grade]:
    """Asks a referee who is paid, and remembers what he said."""
    kept = context.kept_folder({"referee": "first"})
    context.log.info(f"limited: {context.is_spending_limited}; recipe: {context.recipe_folder.name}")
    context.progress(0, len(items), "answers")
    while options.slow:
        context.stop_if_canceled()
        time.sleep(0.02)
    return [grade(item, kept, options, context) for item in items]


def grade(item: GradeItem, kept: Path, options: Options, context: GraderContext) -> Grade:
    for folder in sorted(kept.parent.iterdir()):
        said = folder / item.answer
        if said.exists():
            return Grade(item.id, "right" if said.read_text() == item.gold else "wrong", explanation="Remembered.")
    request = context.reserve("referee", options.usd)
    (kept / item.answer).write_text(item.answer)
    request.settle(options.usd, input_tokens=1, output_tokens=1)
    return Grade(item.id, "right" if item.answer == item.gold else "wrong", explanation="Asked.")


if __name__ == "__main__":
    plugin.serve()
