"""What the folder of a trained model says of how it generates."""

import json
from pathlib import Path
from typing import Any

import pytest
from trainer_process import TrainerProcess, hyperparameters, random_model, training_request
from transformers import GenerationConfig

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_config import make_writable


def exported(trainer: TrainerProcess, source: pb.ModelSource, folder: Path) -> Path:
    folder.mkdir()
    trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(folder)), timeout=60)
    return folder


def base_model(trainer: TrainerProcess, folder: Path, **generation: Any) -> pb.ModelSource:
    """A folder with this as its generation config."""
    exported(trainer, random_model(attention_dropout=0.0), folder)
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return pb.ModelSource(folder=str(folder))


def trained(trainer: TrainerProcess, request: pb.StartTrainingRequest) -> Path:
    """The folder of the model that is left."""
    events = trainer.train(request)
    assert events[-1].HasField("training_completed"), events[-1]
    return Path(events[-1].training_completed.model_folder)


def config_in(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "generation_config.json").read_text())
    return config


@pytest.mark.parametrize(
    ("published", "written"),
    [
        ({"temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_p": 0.9, "do_sample": True}),
        ({"temperature": 0.6, "top_p": 0.9, "do_sample": False}, {"do_sample": False}),
    ],
    ids=["unsaid", "greedy"],
)
def test_a_model_with_settings_to_sample_by_is_trained_and_samples_unless_it_says_no(
    shared_trainer: TrainerProcess, tmp_path: Path, published: dict[str, Any], written: dict[str, Any]
) -> None:
    """As some are published: transformers reads such a config, and refuses to write it."""
    model = base_model(shared_trainer, tmp_path / "base", eos_token_id=[2, 7], **published)
    parameters = hyperparameters(max_steps=2, checkpoint_every_steps=1)
    config = config_in(trained(shared_trainer, training_request(tmp_path, model=model, hyperparameters=parameters)))
    told = {name: config[name] for name in ("eos_token_id", "temperature", "top_p", "do_sample") if name in config}
    assert told == {"eos_token_id": [2, 7], **written}


def test_a_model_that_says_nothing_of_sampling_is_not_made_to_sample() -> None:
    """What else transformers refuses to write is no wish to sample; nor are its defaults."""
    config = GenerationConfig(temperature=1.0, top_k=50, pad_token_id=-1)
    make_writable(config)
    assert config.do_sample is None


def test_a_base_model_that_is_taught_to_chat_ends_generation_where_its_replies_end(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    """Its own end of sequence is another token, and it would go on after each reply."""
    model = base_model(shared_trainer, tmp_path / "base", eos_token_id=0)
    described = tmp_path / "base/tokenizer_config.json"
    described.write_text(json.dumps({**json.loads(described.read_text()), "eos_token": "<|endoftext|>"}))
    # All rows of `sums` end with <|im_end|>, which is token 2.
    whole = training_request(tmp_path / "whole", model=model, hyperparameters=hyperparameters(max_steps=1))
    assert config_in(trained(shared_trainer, whole))["eos_token_id"] == [0, 2]

    parameters = hyperparameters(max_steps=1, method=pb.METHOD_LORA, lora=pb.Lora(rank=4, alpha=8))
    request = training_request(tmp_path / "lora", model=model, hyperparameters=parameters)
    adapter = trained(shared_trainer, request)
    checkpoint = tmp_path / "lora/output/checkpoints/step-00000001"
    for name, source in {
        "merged": pb.ModelSource(folder=model.folder, adapter_folder=str(adapter)),
        "of-checkpoint": pb.ModelSource(checkpoint=str(checkpoint)),
    }.items():
        assert config_in(exported(shared_trainer, source, tmp_path / name))["eos_token_id"] == [0, 2]
