"""Makes calls of a server with and without `await`, and prints what came: every_call.py RECIPE STAGE BEFORE AFTER ROW

RECIPE: a file. BEFORE, AFTER: ids of runs that have ended. ROW: id of a row of AFTER. SIMMER_SERVER says where.
Prints one JSON object: {"Client": {CALL: what came}, "AsyncClient": ...}; of a call that failed {"code": ...} came.
"""

import asyncio
import dataclasses
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from simmer_client import AsyncClient, Client, SimmerError


def calls(recipe: str, stage: str, before: str, after: str, row: str) -> dict[str, Callable[[Any], Any]]:
    """What is called of either client, by what it is called in the output; a run up to a stage is made first."""
    return {
        "plan": lambda client: client.plan(recipe, until=stage),
        "validate": lambda client: client.validate(recipe, until="nowhere"),
        "create_run": lambda client: client.create_run(recipe, until=stage, request_id="up to a stage"),
        "create_another_run": lambda client: client.create_run(recipe, request_id="up to a stage"),
        "explain_row": lambda client: client.explain_row(after, row[:8]),
        "explain_missing_row": lambda client: client.explain_row(after, "nowhere"),
        "diff_evaluations": lambda client: client.diff_evaluations(before, after),
        "diff_missing_run": lambda client: client.diff_evaluations(before, "nowhere"),
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
    is_answer = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return dataclasses.asdict(value) if is_answer else str(value)


async def main() -> None:
    recipe, stage, before, after, row = sys.argv[1:]
    named = calls(Path(recipe).read_text(), stage, before, after, row)
    with Client() as client:
        list(client.watch(client.create_run(Path(recipe).read_text(), until=stage, request_id="up to a stage")))
        came = {name: await outcome(call, client) for name, call in named.items()}
    async with AsyncClient() as async_client:
        awaited = {name: await outcome(call, async_client) for name, call in named.items()}
    print(json.dumps({"Client": came, "AsyncClient": awaited}, default=plain))


asyncio.run(main())
