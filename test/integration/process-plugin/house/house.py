"""Rules of a house, as hooks: no stage, but a part in every run."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simmer_plugin import HookedStage, Objection, Plugin, UserError

plugin = Plugin("house", "1.0.0")


@plugin.before_plan
def polite(recipe: dict[str, Any]) -> dict[str, Any] | None:
    """Nobody greets fewer than two."""
    given = recipe["stages"]["greet"]["with"]
    if given["rows"] >= 2:
        return None
    given["rows"] = 2
    return recipe


@plugin.after_plan
def quiet(plan: dict[str, Any]) -> Iterator[Objection]:
    """Nor more than a hundred."""
    for stage in plan["stages"]:
        if stage["options"]["rows"] > 100:
            yield Objection(f"{stage['name']} is too loud.", path=f"stages.{stage['name']}.with.rows", hint="Psst.")


@plugin.around_stage
def door(stage: HookedStage) -> Iterator[None]:
    """Opens before a stage, and closes after it, whatever happens inside."""
    stage.log.info(f"opened for {stage.stage}, {stage.uses}")
    try:
        yield
    finally:
        stage.log.info("closed")
    print("the door creaks")
    if stage.options["usd"] == 0.7:
        raise UserError("shut", "The house is shut.", "Come tomorrow.")
    if stage.options["usd"] == 0.8:
        raise ValueError("eight")


@plugin.on_event
def note(event: Mapping[str, Any]) -> None:
    """Writes down what it is told."""
    with Path(os.environ["HOUSE_NOTES"]).open("a") as file:
        file.write(f"{event['sequence']} {event['type']}\n")


if __name__ == "__main__":
    plugin.serve()
