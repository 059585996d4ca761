"""GGUF files that the trainer writes, as another reader of them sees them."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from real_tokenizers import llama3_folder, qwen2_5_folder
from tokenizers import Regex, pre_tokenizers
from trainer_process import TrainerProcess, random_model
from transformers import AutoTokenizer

from simmer_trainer.byte_tokenizer import make_byte_tokenizer
from simmer_trainer.errors import RequestError
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_config import add_end, end_ids
from simmer_trainer.gguf_file import splitting_of, write_gguf
from simmer_trainer.models import load_model, load_tokenizer


def tokenizer_with_a_merge(folder: Path) -> Path:
    """The byte tokenizer, which has none, with one: readers of such files expect some."""
    tokenizer = make_byte_tokenizer(512)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    described = json.loads(file.read_text())
    described["model"]["vocab"]["er"] = len(tokenizer)
    described["model"]["merges"] = [["e", "r"]]
    file.write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({}, pb.PRECISION_FLOAT32),
        ({"tie_word_embeddings": False}, pb.PRECISION_BFLOAT16),
        ({"model_type": "qwen2"}, pb.PRECISION_FLOAT32),
    ],
)
def test_a_model_read_back_by_transformers_says_the_same(
    shared_trainer: TrainerProcess, tmp_path: Path, config: dict[str, Any], precision: pb.Precision
) -> None:
    source = random_model(attention_dropout=0.0, **config)
    source.random.tokenizer_source = str(tokenizer_with_a_merge(tmp_path / "tokenizer"))
    written_to = tmp_path / "gguf"
    written_to.mkdir()
    exported = shared_trainer.stub.Export(
        pb.ExportRequest(
            model=source, output_folder=str(written_to), precision=precision, format=pb.EXPORT_FORMAT_GGUF
        ),
        timeout=60,
    )
    assert list(exported.files) == ["model.gguf"]
    written = pb.ModelSource(gguf_file=str(written_to / "model.gguf"))
    before, after = load_tokenizer(source), load_tokenizer(written)
    text = "<|im_start|>user\nÄ 2+3?<|im_end|>\n"
    ids = before(text, add_special_tokens=False)["input_ids"]
    assert after(text, add_special_tokens=False)["input_ids"] == ids
    assert after.chat_template == before.chat_template
    dtype = torch.bfloat16 if precision == pb.PRECISION_BFLOAT16 else torch.float32
    first = load_model(source, dtype).float().eval()
    second = load_model(written, torch.float32).eval()
    with torch.no_grad():
        one, other = (network(torch.tensor([ids])).logits for network in (first, second))
    assert type(second).__name__ == type(first).__name__
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("own", "other"), [("<|endoftext|>", "<|im_end|>"), ("<|im_end|>", "<|endoftext|>")])
def test_what_ends_a_reply_beside_the_end_of_a_text_is_in_the_file(tmp_path: Path, own: str, other: str) -> None:
    """As where a base model was fine-tuned on chats: llama.cpp would go on after its replies. Chat models have it."""
    import gguf

    network = load_model(random_model(), torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_with_a_merge(tmp_path / "tokenizer"))
    network.resize_token_embeddings(len(tokenizer))
    tokenizer.eos_token = own
    network.generation_config.eos_token_id = tokenizer.eos_token_id
    add_end(network.generation_config, tokenizer.get_vocab()[other])
    write_gguf(network, tokenizer, tmp_path)
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    names = (f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot"))
    ends = tokenizer.convert_ids_to_tokens([fields[name].contents() for name in names if name in fields])
    expected = ["<|endoftext|>", "<|im_end|>"] if other == "<|im_end|>" else ["<|im_end|>"]
    assert ends == expected
    # Read back, too, it ends generation with both.
    read = load_model(pb.ModelSource(gguf_file=str(tmp_path / "model.gguf")), torch.float32)
    assert tokenizer.convert_ids_to_tokens(end_ids(read.generation_config)) == expected


def test_a_tokenizer_in_the_folder_of_a_file_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """It would have no end of sequence, and rows of text would be trained without one."""
    network = load_model(random_model(), torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_with_a_merge(tmp_path))
    network.resize_token_embeddings(len(tokenizer))
    write_gguf(network, tokenizer, tmp_path)
    read = load_tokenizer(pb.ModelSource(gguf_file=str(tmp_path / "model.gguf")))
    assert (read.eos_token, read.eos_token_id) == (tokenizer.eos_token, tokenizer.eos_token_id)
    read.save_pretrained(tmp_path / "saved")
    assert "/" not in (tmp_path / "saved/tokenizer_config.json").read_text()


def test_how_text_is_cut_before_merges_is_named_as_llama_cpp_names_it() -> None:
    for folder, name in ((qwen2_5_folder(), "qwen2"), (llama3_folder(), "llama-bpe")):
        assert splitting_of(load_tokenizer(pb.ModelSource(folder=str(folder)))) == name


def test_a_tokenizer_that_cuts_by_rules_of_its_own_is_refused_and_not_taken_for_another() -> None:
    """As DeepSeek's of type llama: digits one by one, as in SmolLM, and letters by another rule."""
    tokenizer = make_byte_tokenizer(512)
    digits, bytes_ = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.Split(Regex(r"\s?\p{L}+"), "isolated")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    assert splitting_of(tokenizer) == "smollm"
    for rules in ([letters, digits, bytes_], [letters, bytes_]):
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(rules)
        with pytest.raises(RequestError, match="How this tokenizer cuts text has no name") as raised:
            splitting_of(tokenizer)
        assert raised.value.code == "format_unsupported"


def test_what_has_no_place_in_such_a_file_is_refused_and_leaves_nothing(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    model = random_model(model_type="gpt_neox")
    with pytest.raises(grpc.RpcError, match="gpt_neox cannot be written as GGUF") as refusal:
        shared_trainer.stub.Export(
            pb.ExportRequest(model=model, output_folder=str(tmp_path), format=pb.EXPORT_FORMAT_GGUF), timeout=60
        )
    assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert not list(tmp_path.iterdir())
