"""Reads a dataset of a run as a pandas table: python read_dataset.py RUN STAGE.OUTPUT"""

import sys
import tempfile
from pathlib import Path

import pandas
from simmer_client import Client

run, output = sys.argv[1:]
with Client() as client, tempfile.TemporaryDirectory() as folder:  # SIMMER_SERVER says where
    made = {f"{artifact.stage}.{artifact.output}": artifact for artifact in client.list_artifacts(run)}
    table = Path(folder, "data.parquet")
    with table.open("wb") as file:
        for part in client.read_artifact(made[output], table.name):
            file.write(part)
    rows = pandas.read_parquet(table)  # by pyarrow
print(rows[["id", "question"]].to_string(index=False))
print(f"{len(rows)} rows with {', '.join(rows.columns)}")
