"""Options that mean more to Simmer than their type says. They are fields of pydantic models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def trainer_name(description: str = "Name of one of the recipe's trainers.") -> Any:
    """An option that names a trainer of the recipe. Only trainers that are named so can be used."""
    return Field(description=description, json_schema_extra={"x-simmer-trainer": True})


def file_path(description: str) -> Any:
    """An option that is a path, relative to the recipe's folder; results are reused by the file's content."""
    return Field(description=description, json_schema_extra={"x-simmer-file": True})


def placement() -> Any:
    """Marks an option as placement: where or how fast, never what. Changing it reuses earlier work.

    `threads: Annotated[int, placement()] = Field(4, description="...")`
    """
    return Field(json_schema_extra={"x-simmer-placement": True})


class GraderChoice(BaseModel):
    """A grader that a recipe chose."""

    model_config = ConfigDict(populate_by_name=True)

    uses: str
    options: dict[str, Any] = Field(default_factory=dict, alias="with")


def grader_choice(uses: str, description: str = "Who compares an answer with the right one.") -> Any:
    """An option of the type GraderChoice. uses: the grader where the recipe names none, e.g. "eval/exact"."""
    return Field(
        default_factory=lambda: GraderChoice(uses=uses),
        description=description,
        json_schema_extra={"x-simmer-grader": uses},
    )
