"""Runs a recipe with several seeds at once and follows all of them: python run_many.py RECIPE"""

import asyncio
import sys
from pathlib import Path

from simmer_client import AsyncClient


async def follow(client: AsyncClient, text: str, seed: int) -> None:
    run = await client.create_run(text, overrides={"seed": str(seed)})
    count = 0
    async for event in client.watch(run):
        count += 1
    print(f"seed {seed}: {count} events, {(await client.get_run(run)).status}")


async def main() -> None:
    text = Path(sys.argv[1]).read_text()
    async with AsyncClient() as client:  # SIMMER_SERVER says where
        await asyncio.gather(*(follow(client, text, seed) for seed in (1, 2, 3)))


asyncio.run(main())
