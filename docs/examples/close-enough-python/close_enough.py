"""A grader in Python: a number is right that is close to the right one."""

import math
from collections.abc import Sequence

from pydantic import BaseModel, Field
from simmer_plugin import Grade, GradeItem, Plugin

plugin = Plugin("close-enough", "1.0.0")


class Options(BaseModel):
    tolerance: float = Field(0.01, ge=0, description="Largest difference, as a share of the right number.")


@plugin.grader()
def close_enough(items: Sequence[GradeItem], options: Options) -> list[Grade]:
    """Takes a number for right that is close to the right one."""
    return [grade(item, options.tolerance) for item in items]


def grade(item: GradeItem, tolerance: float) -> Grade:
    try:
        wanted, given = float(item.gold), float(item.answer)
    except ValueError:
        wanted = given = math.nan
    difference = abs(given - wanted)
    if not math.isfinite(difference):
        return Grade(item.id, "unparsed", explanation="One is no number.")
    return Grade(
        item.id,
        "right" if difference <= tolerance * abs(wanted) else "wrong",
        parsed_answer=str(given),
        parsed_gold=str(wanted),
        explanation=f"It is {difference} away from {wanted}.",
    )


if __name__ == "__main__":
    plugin.serve()
