"""Makes a server's calls with and without `await`, and prints what came: every_call.py RECIPE STAGE BEFORE AFTER ROW

RECIPE: a file; with its param `model` set to "silent" it does not end. BEFORE, AFTER: ids of runs that have ended.
ROW: id of a row of AFTER. SIMMER_SERVER says where. Prints one JSON object: {"Client": {CALL: what came},
"AsyncClient": ...}; of a call that failed {"code": ...} came.
"""

import asyncio
import dataclasses
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from simmer_client import AsyncClient, Client, Run, SimmerError

Calls = Mapping[str, Callable[[Any], Any]]


def calls_of_recipe(recipe: str, stage: str) -> Calls:
    """What is called of either client. A run up to the stage is there already."""
    return {
        "describe_server": lambda client: client.describe_server(),
        "list_plugins": lambda client: client.list_plugins(),
        "get_recipe_schema": lambda client: client.get_recipe_schema(),
        "plan": lambda client: client.plan(recipe, until=stage),
        "validate": lambda client: client.validate(recipe, until="nowhere"),
        "validate_named": lambda client: client.validate(name="tiny", overrides={"seed": "x"}),
        "create_run": lambda client: client.create_run(recipe, until=stage, request_id="up to a stage"),
        "create_another_run": lambda client: client.create_run(recipe, request_id="up to a stage"),
    }


def calls_of_runs(before: Run, after: str, row: str) -> Calls:
    """As the former."""
    return {
        "get_run": lambda client: client.get_run(after),
        "get_plan": lambda client: client.get_plan(after),
        "list_runs": lambda client: client.list_runs(recipe="attempted", statuses=["completed"]),
        "list_failed_runs": lambda client: client.list_runs(statuses=["failed", "crashed"]),
        "list_later_runs": lambda client: client.list_runs(created_after=before.created_at),
        "resume_run": lambda client: client.resume_run(after),
        "write_report": lambda client: client.write_report(after),
        "explain_row": lambda client: client.explain_row(after, row[:8]),
        "explain_missing_row": lambda client: client.explain_row(after, "nowhere"),
        "diff_evaluations": lambda client: client.diff_evaluations(before, after),
        "diff_missing_run": lambda client: client.diff_evaluations(before, "nowhere"),
    }


def calls_of_artifacts(client: Client, run: str) -> Calls:
    """As the former; what is read was made by the run."""
    report = client.write_report(run)
    table = next(artifact for artifact in client.list_artifacts(run) if artifact.type == "dataset")
    path, size = table.files[0].path, table.files[0].size
    return {
        "list_artifacts": lambda client: client.list_artifacts(run),
        "read_beginning": lambda client: client.read_artifact(table, path, length=4),
        "read_end": lambda client: client.read_artifact(table.id, path, size - 4),
        "read_beyond": lambda client: client.read_artifact(table, path, size + 1),
        "read_report": lambda client: client.read_artifact(report.artifact_id, "report.html", length=15),
    }


def calls_of_endless(run: Run) -> Calls:
    """As the former; the run is stopped, and removed."""
    return {
        "cancel_run": lambda client: client.cancel_run(run, "enough of it", drop_replies=True),
        "watch": lambda client: client.watch(run),
        "remove_rehearsed": lambda client: client.remove_runs([run], dry_run=True),
        "remove_runs": lambda client: client.remove_runs([run, "nobody"]),
        "remove_again": lambda client: client.remove_runs([run.id]),
        "get_removed_run": lambda client: client.get_run(run),
    }


async def outcome(call: Callable[[Any], Any], client: Client | AsyncClient) -> object:
    """What a call gives, in either client's way."""
    try:
        answer = call(client)
        if inspect.isawaitable(answer):
            return await answer
        if isinstance(answer, AsyncIterator):
            return [item async for item in answer]
        return list(answer) if isinstance(answer, Iterator) else answer
    except SimmerError as error:
        return {"code": error.code}


def plain(value: Any) -> object:
    """What JSON has no form for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


async def main() -> None:
    file, stage, before, after, row = sys.argv[1:]
    recipe = Path(file).read_text()
    came: dict[str, dict[str, object]] = {}
    with Client() as client:
        list(client.watch(client.create_run(recipe, until=stage, request_id="up to a stage")))
        calls = {
            **calls_of_recipe(recipe, stage),
            **calls_of_runs(client.get_run(before), after, row),
            **calls_of_artifacts(client, after),
        }
        async with AsyncClient() as async_client:
            for each in (client, async_client):
                endless = calls_of_endless(client.create_run(recipe, params={"model": "silent"}))
                named = {**calls, **endless}
                came[type(each).__name__] = {name: await outcome(call, each) for name, call in named.items()}
    print(json.dumps(came, default=plain))


asyncio.run(main())
