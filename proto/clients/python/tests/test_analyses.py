"""What analyses off the wire become, without a server. Calls against one: test/integration/python-client.test.ts."""

import json

from simmer_client.analyses import GradedAnswer, RowAttempt, RowDecision, history_of, points_of


def test_a_history_has_the_decisions_and_attempts_of_each_step() -> None:
    decision = {"kept": False, "rule": "too_easy", "evidence": "small was right in 4 of 4"}
    attempt = {"model": "small", "policy": None, "sample": 0, "extracted": "4", "verdict": "right"}
    step = {
        "stage": "hard",
        "uses": "curation/difficulty",
        "outcome": "dropped",
        "decisions": [decision],
        "attempts": [attempt],
        "outputs": [],
    }
    facts = {"runId": "r", "id": "aaaa1111", "question": "2 + 2?", "source": None}
    history = history_of(json.dumps({**facts, "steps": [step], "stagesLeft": ["tuned"]}))
    assert (history.run_id, history.id, history.source, history.stages_left) == ("r", "aaaa1111", None, ("tuned",))
    assert history.steps[0].decisions == (RowDecision(False, "too_easy", "small was right in 4 of 4"),)
    assert history.steps[0].attempts == (RowAttempt("small", None, 0, "4", "right"),)


def test_rows_that_share_an_id_have_their_places() -> None:
    decisions = [{"kept": True, "rule": None, "evidence": None, "row": 4}]
    step = {"stage": "clean", "uses": "curation/deduplicate", "outcome": "kept", "decisions": decisions}
    steps = [{**step, "attempts": [], "outputs": ["dataset"], "rows": {"dataset": [4, 5]}}]
    facts = {"runId": "r", "id": "aaaa1111", "question": None, "source": None}
    (told,) = history_of(json.dumps({**facts, "steps": steps, "stagesLeft": []})).steps
    assert (told.decisions[0].row, told.rows) == (4, {"dataset": (4, 5)})


def test_what_a_newer_server_adds_to_an_analysis_is_passed_over() -> None:
    facts = {"runId": "r", "id": "aaaa1111", "question": None, "source": "pool", "language": "en"}
    assert history_of(json.dumps({**facts, "steps": [], "stagesLeft": []})).source == "pool"


def test_a_difference_has_both_answers_of_an_item() -> None:
    before = {"verdict": "right", "extracted": "4", "answer": "It is 4."}
    after = {"verdict": "unparsed", "extracted": None, "answer": None}
    item = {"promptId": "a", "sample": 1, "question": "2 + 2?", "gold": "4", "before": before, "after": after}
    counts = {"items": 9, "onlyBefore": 1, "onlyAfter": 2, "rightToWrong": 1, "wrongToRight": 0}
    (point,) = points_of(json.dumps([{"model": "tuned", "policy": "128", **counts, "changed": [item]}]).encode())
    assert (point.model, point.policy, point.items) == ("tuned", "128", 9)
    assert (point.only_before, point.only_after, point.right_to_wrong, point.wrong_to_right) == (1, 2, 1, 0)
    assert (point.changed[0].prompt_id, point.changed[0].sample) == ("a", 1)
    assert point.changed[0].before == GradedAnswer("right", "4", "It is 4.")
    assert point.changed[0].after == GradedAnswer("unparsed", None, None)
