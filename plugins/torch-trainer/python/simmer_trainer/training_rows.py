"""The rows of a training, checked, and their order."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simmer_trainer.data import DataOrder, TokenizedRow, check_masks, read_rows, tokenize
from simmer_trainer.errors import TrainingError, shorten
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import Extensions
from simmer_trainer.markers import check_markers, check_template
from simmer_trainer.models import context_length_of
from simmer_trainer.training_control import TrainingControl, stop_where_asked


@dataclass(frozen=True)
class TrainingRows:
    """What is trained on, and in which order; what it is evaluated on, which may be nothing."""

    trained: list[TokenizedRow]
    evaluated: list[TokenizedRow]
    order: DataOrder
    total_steps: int

    def longest(self) -> int:
        """Tokens of the longest row that is trained on."""
        return max(len(row.token_ids) for row in self.trained)


def load_rows(
    request: pb.StartTrainingRequest, extensions: Extensions, tokenizer: Any, control: TrainingControl
) -> TrainingRows:
    """Reads, tokenizes and checks all rows of a request. Raises TrainingError data_invalid."""
    parameters = request.hyperparameters
    trained = _load_file(Path(request.training_data), tokenizer, parameters, control)
    evaluated = (
        _load_file(Path(request.evaluation_data), tokenizer, parameters, control)
        if request.HasField("evaluation_data")
        else []
    )
    order = DataOrder(
        [len(row.token_ids) for row in trained],
        batch=parameters.global_batch_size,
        seed=parameters.seed,
        group_by_length=not parameters.packing if extensions.group_by_length is None else extensions.group_by_length,
    )
    total_steps = (
        parameters.max_steps
        if parameters.HasField("max_steps")
        else max(1, math.ceil(parameters.epochs * order.steps_per_epoch))
    )
    return TrainingRows(trained, evaluated, order, total_steps)


def check_context(rows: TrainingRows, request: pb.StartTrainingRequest, model: Any) -> None:
    """Raises TrainingError where rows have positions or tokens that the model has not."""
    limit, vocabulary = context_length_of(model), model.get_input_embeddings().num_embeddings
    for some, file in ((rows.trained, request.training_data), (rows.evaluated, request.evaluation_data)):
        _check_lengths(some, Path(file), limit)
        _check_tokens(some, Path(file), vocabulary)


def _load_file(
    file: Path, tokenizer: Any, parameters: pb.Hyperparameters, control: TrainingControl
) -> list[TokenizedRow]:
    raw = read_rows(file)
    if not raw:
        raise TrainingError("data_invalid", f"{file} has no rows.")
    check_template(raw, tokenizer)
    rows = tokenize(raw, tokenizer, parameters.max_sequence_length)
    check_masks(rows, parameters.max_sequence_length)
    endless = check_markers(raw, rows, tokenizer)
    if endless:
        warn(
            control,
            f"{len(endless)} of {len(rows)} rows of {file.name} have a reply without a token that ends it: "
            f"from these the model does not learn to stop ({shorten(endless)}).",
        )
    losing = [row.id for row in rows if row.loses_calls]
    if losing:
        warn(
            control,
            f"{len(losing)} of {len(rows)} rows of {file.name} have calls of tools in their prompt that the chat "
            f"template leaves out: the model sees what came of them, and not that it asked ({shorten(losing)}).",
        )
    cut = [row.id for row in rows if row.truncated]
    if cut:
        message = (
            f"{len(cut)} of {len(rows)} rows of {file.name} are longer than max_sequence_length "
            f"({parameters.max_sequence_length}) and lose their end."
        )
        if parameters.HasField("max_truncated_share") and len(cut) > parameters.max_truncated_share * len(rows):
            raise TrainingError(
                "data_invalid",
                f"{message} At most a share of {parameters.max_truncated_share:g} may: raise max_sequence_length, drop "
                f"long rows before training, or raise max_truncated_share.",
                row_ids=cut[:100],
            )
        warn(control, message)
    stop_where_asked(control)
    return rows


def _check_lengths(rows: list[TokenizedRow], file: Path, limit: int) -> None:
    too_long = [row.id for row in rows if len(row.token_ids) > limit]
    if too_long:
        raise TrainingError(
            "data_invalid",
            f"{len(too_long)} of {len(rows)} rows of {file.name} are longer than the {limit} tokens of the model's "
            "context; lower max_sequence_length.",
            row_ids=too_long[:100],
        )


def _check_tokens(rows: list[TokenizedRow], file: Path, vocabulary: int) -> None:
    beyond = [row.id for row in rows if max(row.token_ids) >= vocabulary]
    if beyond:
        raise TrainingError(
            "data_invalid",
            f"{len(beyond)} of {len(rows)} rows of {file.name} have tokens that the model's tokenizer knows and its "
            f"weights do not: they have {vocabulary}. Enlarge the model (resize_token_embeddings) and save it again.",
            row_ids=beyond[:100],
        )


def warn(control: TrainingControl, message: str) -> None:
    """Tells people."""
    control.emit(pb.TrainerEvent(log_written=pb.LogWritten(level=pb.LOG_LEVEL_WARNING, message=message)))
