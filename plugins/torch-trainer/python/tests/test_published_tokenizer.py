"""Texts are cut as a model's tokenizer.json says, whatever class its tokenizer is said to be of."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from real_tokenizers import llama3_folder, qwen2_5_folder

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import load_tokenizer

TEXT = "x  y\n\n<|im_end|>12345 it's 日本\n    end"


def folder_of(published: Path, folder: Path, model_type: str, tokenizer_class: str) -> Path:
    folder.mkdir()
    shutil.copy(published / "tokenizer.json", folder)
    described = json.loads((published / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**described, "tokenizer_class": tokenizer_class}))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def encoded(tokenizer: Any) -> list[int]:
    ids: list[int] = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    return ids


@pytest.mark.parametrize(
    ("published", "model_type"),
    # As DeepSeek-R1-Distill-Llama and DeepSeek-R1-0528-Qwen3 are published.
    [(llama3_folder(), "llama"), (qwen2_5_folder(), "qwen3")],
    ids=["Llama 3", "Qwen"],
)
def test_a_tokenizer_that_names_the_class_of_another_model_cuts_text_by_its_own_rules(
    published: Path, model_type: str, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    folder = folder_of(published, tmp_path / "model", model_type, "LlamaTokenizerFast")
    expected = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT, add_special_tokens=False).ids
    tokenizer = load_tokenizer(pb.ModelSource(folder=str(folder)))
    assert encoded(tokenizer) == expected
    # Written with a fine-tuned model, plain transformers reads it so, too.
    written = tmp_path / "written"
    tokenizer.save_pretrained(written)
    shutil.copy(folder / "config.json", written)
    again = AutoTokenizer.from_pretrained(written)
    assert encoded(again) == expected
    question = [{"role": "user", "content": "2+3?"}]
    assert again.apply_chat_template(question, tokenize=False) == tokenizer.apply_chat_template(
        question, tokenize=False
    )
    own = load_tokenizer(pb.ModelSource(folder=str(published)))
    assert (again.eos_token, again.bos_token) == (own.eos_token, own.bos_token)


def test_lengths_that_a_file_was_saved_with_leave_its_tokenizer_as_it_is(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = folder_of(qwen2_5_folder(), tmp_path / "model", "qwen2", "Qwen2Tokenizer")
    saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
    saved.enable_truncation(8)
    saved.enable_padding(length=512)
    saved.save(str(folder / "tokenizer.json"))
    own = load_tokenizer(pb.ModelSource(folder=str(qwen2_5_folder())))
    tokenizer = load_tokenizer(pb.ModelSource(folder=str(folder)))
    assert type(tokenizer) is type(own)
    assert encoded(tokenizer) == encoded(own)
