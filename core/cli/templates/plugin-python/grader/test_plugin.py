"""python -m unittest, with a Python that has requirements.txt and simmer-plugin; see README.md."""

import unittest

from plugin import plugin
from simmer_plugin import GradeItem
from simmer_plugin.testing import grade_answers


class CloseEnough(unittest.TestCase):
    def test_it_takes_what_is_close_for_right_and_nothing_that_is_no_number(self) -> None:
        answers = {"Everest": ("8848.86", "8850"), "Moon": ("384400", "350000"), "gallon": ("3.785", "nan")}
        items = [GradeItem(id, gold, answer) for id, (gold, answer) in answers.items()]
        grades = grade_answers(plugin, "close-enough", items, options={"tolerance": 0.01}).grades
        self.assertEqual([grade.verdict for grade in grades], ["right", "wrong", "unparsed"])


if __name__ == "__main__":
    unittest.main()
