"""The budget program against the reference, over a 'model' that is a table: every token depends on all before it."""

import random
from collections.abc import Sequence

import pytest
from reference_generate import Reference, ReferenceFormat, ReferencePolicy, reference_generate

from simmer_trainer.budget_forcing import (
    FinishReason,
    Generation,
    Outcome,
    Policy,
    ThinkingEnd,
    ThinkingMarkers,
    run_program,
)

EOS, MARK, ANSWER, NEWLINE, FINAL, WAIT, HMM = range(7)
VOCABULARY = 12
PROMPT = [8, 9, 8]
END = frozenset([EOS])


class TableModel:
    """A deterministic next token for every sequence; ends are likely enough to be met at every length."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.calls = 0

    def next_token(self, sequence: Sequence[int], banned: frozenset[int]) -> int:
        self.calls += 1
        generator = random.Random(f"{self.seed}/{list(sequence)}")
        if sequence[-1] == MARK and generator.random() < 0.6 and ANSWER not in banned:
            return ANSWER
        weights = [1, 3, 1, 2] + [2] * (VOCABULARY - 4)
        return next(token for token in generator.choices(range(VOCABULARY), weights, k=99) if token not in banned)


def run(
    model: TableModel, policies: Sequence[Policy], *, context_length: int = 10_000
) -> tuple[dict[str, Outcome], int]:
    """Plays the engine: sees what is fed, forgets what is not kept. Returns the outcomes and tokens decoded."""
    outcomes: list[Outcome] = []
    generation = Generation(
        prompt=PROMPT,
        markers=MARKERS,
        policies=policies,
        end_of_sequence=END,
        max_answer_tokens=4,
        context_length=context_length,
        ends_in_newline=lambda ids: ids[-1] == NEWLINE,
        cut_at_stop=lambda _: None,
        emit=outcomes.append,
    )
    program = run_program(generation)
    cache: list[int] = []
    draws: dict[str, set[tuple[int, int]]] = {}
    decoded = 0
    feed = next(program)
    while True:
        assert feed.tokens, "the model has to see a token to say what follows"
        assert feed.keep <= len(cache)
        cache[feed.keep :] = feed.tokens
        assert len(cache) < context_length
        draws.setdefault(feed.policy_id, set()).add((feed.stream, feed.index))
        decoded += 1
        try:
            feed = program.send(model.next_token(cache, feed.banned))
        except StopIteration:
            return {outcome.policy_id: outcome for outcome in outcomes}, decoded


MARKERS = ThinkingMarkers(
    start=(), end=(MARK, ANSWER, NEWLINE), natural_end=(MARK, ANSWER), newline=(NEWLINE,), final_answer_prompt=(FINAL,)
)
FORM = ReferenceFormat(end=(MARK, ANSWER, NEWLINE), seen_end=(MARK, ANSWER), newline=(NEWLINE,), final=(FINAL,))
NAMES = {ThinkingEnd.NATURAL: "natural", ThinkingEnd.FORCED: "forced", ThinkingEnd.SEQUENCE: "sequence"}

POLICIES = [ReferencePolicy(maximum) for maximum in (1, 2, 3, 5, 8, 13, 40)] + [
    ReferencePolicy(40, ignore=1, word=(WAIT,)),
    ReferencePolicy(40, ignore=2, word=(WAIT,)),
    ReferencePolicy(40, ignore=2, word=(HMM, WAIT)),
    ReferencePolicy(40, ignore=3),
    ReferencePolicy(40, minimum=20, word=(WAIT,)),
    ReferencePolicy(40, minimum=10, ignore=2, word=(HMM,)),
    ReferencePolicy(9, minimum=9),
    ReferencePolicy(12, ignore=4, word=(WAIT,)),
    ReferencePolicy(6, ignore=2, word=(WAIT,), per_round=True),
    ReferencePolicy(15, ignore=3, word=(HMM,), per_round=True),
]


def as_policy(index: int, policy: ReferencePolicy) -> Policy:
    return Policy(str(index), policy.maximum, policy.minimum, policy.ignore, policy.word, policy.per_round)


def as_reference(outcome: Outcome) -> Reference:
    return Reference(
        thinking=outcome.thinking,
        answer=outcome.answer,
        interventions=[
            ("ended" if one.is_end else "extended", one.position, one.token_ids) for one in outcome.interventions
        ],
        thinking_end=NAMES[outcome.thinking_end],
        finish_reason="stop" if outcome.finish_reason is FinishReason.STOP else "length",
    )


def expected(seed: int, policy: ReferencePolicy) -> Reference:
    model = TableModel(seed)
    return reference_generate(model.next_token, PROMPT, FORM, policy, END, 4, lambda ids: ids[-1] == NEWLINE)


@pytest.mark.parametrize("seed", range(60))
def test_all_policies_together_yield_what_each_yields_alone_by_the_reference(seed: int) -> None:
    outcomes, _ = run(TableModel(seed), [as_policy(index, policy) for index, policy in enumerate(POLICIES)])
    for index, policy in enumerate(POLICIES):
        assert as_reference(outcomes[str(index)]) == expected(seed, policy), policy


def test_every_way_to_end_is_met_by_these_policies() -> None:
    ends = {expected(seed, policy).thinking_end for seed in range(60) for policy in POLICIES}
    reasons = {expected(seed, policy).finish_reason for seed in range(60) for policy in POLICIES}
    assert ends == {"natural", "forced", "sequence"}
    assert reasons == {"stop", "length"}


@pytest.mark.parametrize("seed", range(20))
def test_what_policies_share_is_decoded_once(seed: int) -> None:
    longest = as_policy(0, ReferencePolicy(40))
    alone, decoded_alone = run(TableModel(seed), [longest])
    shorter = [as_policy(index, ReferencePolicy(maximum)) for index, maximum in enumerate((2, 4, 8, 16), start=1)]
    outcomes, decoded = run(TableModel(seed), [*shorter, longest])
    assert outcomes["0"].thinking == alone["0"].thinking
    # Of each shorter maximum only the answer is decoded: at most four tokens and an end.
    assert decoded <= decoded_alone + len(shorter) * 5
    for policy in shorter:
        outcome = outcomes[policy.id]
        assert outcome.shared_thinking_tokens == len(outcome.thinking)


def test_forced_tokens_count_and_no_maximum_is_passed() -> None:
    for seed in range(60):
        outcomes, _ = run(TableModel(seed), [Policy("w", 12, 0, 9, (WAIT, WAIT, HMM))])
        assert len(outcomes["w"].thinking) <= 12


def test_an_empty_word_only_suppresses_the_end() -> None:
    for seed in range(60):
        outcome = run(TableModel(seed), [Policy("none", 30, 0, 2, ())])[0]["none"]
        for one in outcome.interventions:
            if not one.is_end:
                assert one.token_ids == ()
                assert outcome.thinking[one.position] not in (EOS, MARK)


def test_no_choice_of_a_policy_shares_its_random_number_with_another() -> None:
    for seed in range(30):
        model = TableModel(seed)
        seen: list[tuple[int, int]] = []
        generation = Generation(
            prompt=PROMPT,
            markers=MARKERS,
            policies=[Policy("w", 30, 0, 3, (WAIT,))],
            end_of_sequence=END,
            max_answer_tokens=4,
            context_length=1000,
            ends_in_newline=lambda ids: ids[-1] == NEWLINE,
            cut_at_stop=lambda _: None,
            emit=lambda _: None,
        )
        program = run_program(generation)
        cache: list[int] = []
        feed = next(program)
        with pytest.raises(StopIteration):
            while True:
                seen.append((feed.stream, feed.index))
                cache[feed.keep :] = feed.tokens
                feed = program.send(model.next_token(cache, feed.banned))
        assert len(seen) == len(set(seen))


def test_without_a_maximum_thinking_ends_where_the_context_leaves_room_for_the_answer() -> None:
    class Endless(TableModel):
        def next_token(self, sequence: Sequence[int], banned: frozenset[int]) -> int:
            return 9

    outcome = run(Endless(0), [Policy("auto")], context_length=30)[0]["auto"]
    assert outcome.thinking_end is ThinkingEnd.FORCED
    forced = outcome.interventions[-1].token_ids
    answer = len(outcome.answer) - len(MARKERS.final_answer_prompt)
    assert len(PROMPT) + len(outcome.thinking) + len(forced) + answer == 30
    assert answer == 4
