"""
What TensorBoard sees of a folder: for each line on stdin it reads on, as its server does, and writes one line of JSON,
run to tag to [step, value, wall time] of each point.
"""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = Path(sys.argv[1])
runs: dict[str, EventAccumulator] = {}
for _ in sys.stdin:
    for file in folder.rglob("*tfevents*"):
        run = str(file.parent.relative_to(folder))
        if run not in runs:
            runs[run] = EventAccumulator(str(file.parent), size_guidance={"scalars": 0, "tensors": 0})
    seen: dict[str, dict[str, list[object]]] = {}
    for run, reader in runs.items():
        tags = reader.Reload().Tags()
        scalars = {
            tag: [[one.step, one.value, one.wall_time] for one in reader.Scalars(tag)] for tag in tags["scalars"]
        }
        texts = {
            tag: [[one.step, one.tensor_proto.string_val[0].decode(), one.wall_time] for one in reader.Tensors(tag)]
            for tag in tags["tensors"]
        }
        seen[run] = {**scalars, **texts}
    print(json.dumps(seen), flush=True)
