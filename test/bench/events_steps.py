"""What both Python senders send."""

from pathlib import Path

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb


def step_logged(step: int) -> pb.TrainerEvent:
    return pb.TrainerEvent(
        step_logged=pb.StepLogged(
            step=step,
            epoch=step / 1000,
            loss=3 / (1 + step / 1000),
            learning_rate=1e-5,
            gradient_norm=0.73,
            tokens_seen=step * 4096,
            tokens_per_second=10471.5,
            peak_memory_bytes=80_000_000_000,
            rows_seen=step * 16,
        )
    )


def completed(steps: int, output_folder: Path) -> pb.TrainerEvent:
    """Ends the attempt, with a model without weights."""
    folder = output_folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type":"fake"}')
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return pb.TrainerEvent(
        training_completed=pb.TrainingCompleted(
            steps=steps, model_folder=str(folder), seconds=1, final_loss=1, peak_memory_bytes=1
        )
    )
