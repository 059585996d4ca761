"""python -m unittest, with a Python that has requirements.txt and simmer-plugin; see README.md."""

import unittest

from plugin import plugin
from simmer_plugin.testing import run_stage

ROWS = [
    {"id": "1", "question": "What is 2 + 2?"},
    {"id": "2", "question": "A train leaves at nine, and nobody knows where it goes."},
]


class KeepShort(unittest.TestCase):
    def test_it_keeps_the_short_questions_and_counts_the_others(self) -> None:
        result = run_stage(plugin, "keep-short", options={"words": 6}, inputs={"dataset": ROWS})
        self.assertEqual(result.rows("dataset"), ROWS[:1])
        funnel = {"step": "keep-short", "rowsIn": "2", "rowsOut": "1", "dropped": {"too_long": "1"}}
        self.assertEqual(result.events, [{"funnelCounted": funnel}])


if __name__ == "__main__":
    unittest.main()
