"""Options that mean more to Simmer than their type says. They are fields of pydantic models."""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from simmer_plugin.errors import UserError


def trainer_name(description: str = "Name of one of the recipe's trainers.") -> Any:
    """An option that names a trainer of the recipe. Only trainers that are named so can be used."""
    return Field(description=description, json_schema_extra={"x-simmer-trainer": True})


def trainer_extensions(trainer: str = "trainer", description: str = "What the trainer's backend adds.") -> Any:
    """An option with what a trainer is given besides hyperparameters, checked against what the trainer declares.

    trainer: the option beside it that names the trainer.
    `extensions: dict[str, Any] = trainer_extensions()`
    """
    return Field(default_factory=dict, description=description, json_schema_extra={"x-simmer-extensions-for": trainer})


def file_path(description: str) -> Any:
    """An option that is a path, relative to the recipe's folder; results are reused by the file's content."""
    return Field(description=description, json_schema_extra={"x-simmer-file": True})


def server_url(description: str) -> Any:
    """An option that is the URL of a server: text that begins with http:// or https://."""
    return Field(description=description, json_schema_extra={"format": "uri", "pattern": "^https?://"})


def output_folder(description: str) -> Any:
    """An option that is a folder to write into, relative to the recipe's folder. It is placement.

    Whoever writes makes the folder where it is not there. A client of `simmer serve` may name only folders that the
    server's owner allows.
    `folder: Annotated[str | None, output_folder("Where the figures come.")] = None`
    """
    return Field(description=description, json_schema_extra={"x-simmer-folder": True})


def placement() -> Any:
    """Marks an option as placement: where or how fast, never what. Changing it reuses earlier work.

    `threads: Annotated[int, placement()] = Field(4, description="...")`
    """
    return Field(json_schema_extra={"x-simmer-placement": True})


def runs_code() -> Any:
    """Marks an option that has the machine run or load what it says: a command, a config that names code.

    A client of `simmer serve` may give it only where the server's owner allows it.
    `command: Annotated[list[str], runs_code()] = Field(description="...")`
    """
    return Field(json_schema_extra={"x-simmer-runs-code": True})


def secret_variable(sent_to: str = "", description: str = "Environment variable with the secret.") -> Any:
    """An option that names the environment variable of a secret. It is placement.

    A client of `simmer serve` may name only those that the server's owner allows. sent_to: the option beside it with
    the URL that the secret is sent to; empty: only a secret fits that may be sent anywhere. The process has the
    variable where the recipe's `secrets` of the plugin name it: read it with `read_secret`.
    `key_variable: Annotated[str | None, secret_variable("url")] = None`, or without `| None` where it has to be given.
    """
    return Field(description=description, json_schema_extra={"x-simmer-secret": sent_to})


def read_secret(variable: str) -> str:
    """The secret in an environment variable that an option names. Raises UserError `secret_missing`."""
    value = os.environ.get(variable, "")
    if value == "":
        raise UserError(
            "secret_missing",
            f"The plugin has no environment variable {variable}.",
            f"Set it where Simmer is started, and list it under `secrets` of the plugin in the recipe: {variable}.",
        )
    return value


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
