"""python -m unittest, with a Python that has requirements.txt and simmer-plugin; see README.md."""

import tempfile
import unittest
from pathlib import Path

from plugin import plugin
from simmer_plugin.testing import run_sink

EVENTS = [
    {"type": "stage.reused", "stage": "problems", "data": {"uses": "curation/generate-problems"}},
    {"type": "stage.completed", "stage": "tuned", "data": {"uses": "sft/train", "seconds": 61.54}},
    {"type": "run.completed", "data": {"metrics": {}}},
]


class StageTimes(unittest.TestCase):
    def test_it_writes_of_each_stage_how_long_it_took(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_sink(plugin, "stage-times", EVENTS, options={"file": "times.txt"}, run_folder=Path(folder))
            written = (Path(folder) / "times.txt").read_text()
        self.assertEqual(written, "problems: made before\ntuned: 61.5 s\n")


if __name__ == "__main__":
    unittest.main()
