"""The short version of check_forcing.py: every combination, on a model that is made for it."""

import pytest
from forcing_matrix import CELLS, Tags, compare, generate_all, questions
from plain_generate import PlainGenerate
from trainer_process import random_model

from simmer_trainer.encoding import encode
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import ModelCache


@pytest.mark.parametrize("batch", [1, 8])
def test_every_combination_is_what_plain_generate_says(batch: int) -> None:
    source = random_model(seed=3, tie_word_embeddings=False, initializer_range=0.7, attention_dropout=0.0)
    opened = ModelCache().open(source, pb.PRECISION_FLOAT32)
    tokenizer = opened.tokenizer
    texts = questions(6)
    # A random model writes no marker: two tokens that it does write early become one.
    plain = Tags("tiny", pb.ThinkingFormat(start="<", end="\x00\x01", final_answer_prompt="F:"), "Q", "A")
    thoughts = [sample.thinking_token_ids for sample in generate_all(opened, plain, texts, CELLS[1:2], 8).values()]
    pairs = (tuple(ids[at : at + 2]) for at in range(5, 20) for ids in thoughts)
    decoded = ((tokenizer.decode(pair), pair) for pair in pairs)
    end = next(text for text, pair in decoded if text.strip() == text and encode(tokenizer, text) == pair)
    tags = Tags("tiny", pb.ThinkingFormat(start="<", end=end, final_answer_prompt="F:"), "Q", "A")

    found = generate_all(opened, tags, texts, CELLS, batch)
    results = list(compare(opened, PlainGenerate.with_weights_of(opened.model), tags, found, CELLS, 3))

    assert [one.differences for one in results] == [[]] * len(results)
    assert all(one.equal == one.compared for one in results)
    assert sum(one.extended for one in results) >= len(CELLS)
    assert sum(one.ended for one in results) >= len(CELLS)
