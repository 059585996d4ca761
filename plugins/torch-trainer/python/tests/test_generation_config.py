"""What the folder of a trained model says of how it generates."""

import json
from pathlib import Path
from typing import Any

from trainer_process import TrainerProcess, hyperparameters, random_model, training_request

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


def base_model(trainer: TrainerProcess, folder: Path, **generation: Any) -> pb.ModelSource:
    """A folder with this as its generation config."""
    folder.mkdir()
    source = random_model(attention_dropout=0.0)
    trainer.stub.Export(pb.ExportRequest(model=source, output_folder=str(folder)), timeout=60)
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return pb.ModelSource(folder=str(folder))


def trained(trainer: TrainerProcess, request: pb.StartTrainingRequest) -> dict[str, Any]:
    """The generation config of the model that is left."""
    trainer.stub.StartTraining(request, timeout=30)
    events = trainer.events(request.attempt_id)
    assert events[-1].HasField("training_completed"), events[-1]
    folder = Path(events[-1].training_completed.model_folder)
    config: dict[str, Any] = json.loads((folder / "generation_config.json").read_text())
    return config


def test_a_model_whose_settings_sample_without_saying_so_is_trained_and_keeps_them(
    shared_trainer: TrainerProcess, tmp_path: Path
) -> None:
    """As some base models are published: transformers reads such a config, and refuses to write it."""
    model = base_model(shared_trainer, tmp_path / "base", eos_token_id=[2, 7], temperature=0.6, top_p=0.9)
    parameters = hyperparameters(max_steps=2, checkpoint_every_steps=1)
    config = trained(shared_trainer, training_request(tmp_path, model=model, hyperparameters=parameters))
    assert {name: config[name] for name in ("eos_token_id", "temperature", "top_p", "do_sample")} == {
        "eos_token_id": [2, 7],
        "temperature": 0.6,
        "top_p": 0.9,
        "do_sample": True,
    }
