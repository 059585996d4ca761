"""Runs a recipe on a server, follows it, and fetches what it made: python run_recipe.py RECIPE [PARAM=VALUE ...]"""

import sys
from pathlib import Path

from simmer_client import Client, SimmerError

params = dict(given.split("=", 1) for given in sys.argv[2:])
with Client() as client:  # SIMMER_SERVER says where
    try:
        run = client.create_run(Path(sys.argv[1]).read_text(), params=params)
    except SimmerError as error:
        print(error, file=sys.stderr)  # a recipe's problems with their places, and what to do about them
        raise SystemExit(2) from error
    for event in client.watch(run):
        print(event.sequence, event.type, event.stage or "")
    for artifact in client.list_artifacts(run):
        for file in artifact.files:
            size = sum(len(part) for part in client.read_artifact(artifact, file.path))
            print(f"{artifact.stage}.{artifact.output} {file.path}: {size} bytes")
    print(client.get_run(run).status)
