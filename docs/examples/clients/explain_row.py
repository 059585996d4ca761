"""Runs a recipe up to a stage, and tells what became of a row: python explain_row.py RECIPE STAGE ROW"""

import sys
from pathlib import Path

from simmer_client import Client

recipe, stage, row = sys.argv[1:]
with Client() as client:  # SIMMER_SERVER says where
    run = client.create_run(Path(recipe).read_text(), until=stage)
    for _event in client.watch(run):
        pass  # to its end
    history = client.explain_row(run, row)
    print(history.id, history.question)
    for step in history.steps:
        print(f"{step.stage}: {step.outcome}")
        for decision in step.decisions:
            print(f"  {decision.rule}: {decision.evidence}")
