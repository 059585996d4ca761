"""One training attempt, from the rows to the model: TRL's SFTTrainer with our data order, events and checkpoints."""

import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

from simmer_trainer import describe, zero
from simmer_trainer.batching import Batching, choose_batching
from simmer_trainer.checkpoints import (
    checkpoint_folder,
    read_marker,
    remove_drafts,
)
from simmer_trainer.data import DataOrder, TokenizedRow, check_masks, read_rows, tokenize
from simmer_trainer.durable import full_disk_as_such, sync_folder, sync_tree
from simmer_trainer.errors import TrainingError, is_out_of_memory, shorten
from simmer_trainer.fence import Fence
from simmer_trainer.flops import count_parameters, peak_flops_per_second
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.hyperparameters import Extensions, is_adapter, parse_extensions
from simmer_trainer.kernels import attention_in_words, choose_attention, choose_liger
from simmer_trainer.markers import check_markers
from simmer_trainer.memory_advice import advise
from simmer_trainer.models import context_length_of, load_model, load_tokenizer, save_model, torch_type
from simmer_trainer.pause_points import pause_point
from simmer_trainer.progress import Progress
from simmer_trainer.quantization import four_bits
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.sharding import gather_model, sharded
from simmer_trainer.training_control import TrainingControl, stop_where_asked
from simmer_trainer.training_loop import Loop

_SCHEDULES = {
    pb.LEARNING_RATE_SCHEDULE_COSINE: "cosine",
    pb.LEARNING_RATE_SCHEDULE_LINEAR: "linear",
    pb.LEARNING_RATE_SCHEDULE_CONSTANT: "constant_with_warmup",
}


def train(request: pb.StartTrainingRequest, control: TrainingControl, group: RankGroup) -> None:
    """
    Runs the attempt to its end and emits its events, TrainingCompleted last. Raises AttemptStopped where it was told to
    stop, TrainingError or RequestError where it cannot go on. Where there are several ranks, each of them runs this.
    """
    with sharded(group, recompute_activations=request.hyperparameters.gradient_checkpointing):
        _train(request, control, group)


def _train(request: pb.StartTrainingRequest, control: TrainingControl, group: RankGroup) -> None:
    import transformers

    parameters = request.hyperparameters
    extensions = parse_extensions(request.extensions)
    precision = describe.choose_precision(parameters.precision)
    output_folder = Path(request.output_folder)
    if group.is_leader:
        remove_drafts(output_folder)
    # Before anything draws: the weights of an adapter come from this, and dropout.
    transformers.set_seed(parameters.seed % 2**32)

    tokenizer = load_tokenizer(request.model)
    rows = _load_rows(Path(request.training_data), tokenizer, parameters, control)
    evaluation_rows = (
        _load_rows(Path(request.evaluation_data), tokenizer, parameters, control)
        if request.HasField("evaluation_data")
        else []
    )
    order = DataOrder(
        [len(row.token_ids) for row in rows],
        batch=parameters.global_batch_size,
        seed=parameters.seed,
        group_by_length=not parameters.packing if extensions.group_by_length is None else extensions.group_by_length,
    )
    total_steps = (
        parameters.max_steps
        if parameters.HasField("max_steps")
        else max(1, math.ceil(parameters.epochs * order.steps_per_epoch))
    )
    stop_where_asked(control)

    attention = choose_attention(extensions, precision=precision, packing=parameters.packing)
    weights_type = _weights_type(parameters, extensions, precision)
    quantization = four_bits(precision) if parameters.method == pb.METHOD_QLORA else None

    def load() -> Any:
        return load_model(request.model, weights_type, attention=attention, quantization=quantization)

    model = load()
    uses_liger = choose_liger(extensions, precision=precision, model_type=model.config.get_text_config().model_type)
    stored_type = _stored_type(request.model)
    _check_context(rows, Path(request.training_data), model)
    _check_context(evaluation_rows, Path(request.evaluation_data), model)
    stop_where_asked(control)

    trainer_class = _trainer_class()
    resumed: dict[str, Any] = read_marker(Path(request.resume_from)) if request.HasField("resume_from") else {"step": 0}
    _check_resumed(resumed, request, rows, group)
    batching = choose_batching(parameters, rows, order, total_steps=total_steps, ranks=group.size)
    progress = Progress.from_json(resumed.get("progress", {}))
    trainer = trainer_class(
        model=model,
        arguments=_arguments(
            parameters, extensions, precision, batching, uses_liger, total_steps, output_folder, group
        ),
        rows=rows,
        order=order,
        batching=batching,
        tokenizer=tokenizer,
        peft_config=_peft_config(parameters),
        loop=Loop(
            request,
            control,
            group,
            progress,
            trainer_rows=rows,
            evaluation_rows=evaluation_rows,
            order=order,
            batching=batching,
        ),
        group=group,
    )
    if group.size > 1:
        # The model is the same everywhere; what dropout draws is not.
        transformers.set_seed((parameters.seed + group.rank) % 2**32)
    model = trainer.model
    control.emit(
        pb.TrainerEvent(
            training_started=pb.TrainingStarted(
                resumed_after_step=resumed["step"],
                total_steps=total_steps,
                rows=len(rows),
                tokens=sum(len(row.token_ids) for row in rows),
                trained_tokens=sum(row.trained_tokens for row in rows),
                truncated_rows=sum(row.truncated for row in rows),
                parameters=count_parameters(model),
                trained_parameters=count_parameters(model, trained_only=True),
                precision=precision,
                attention=attention_in_words(attention, precision),
                kernels="liger" if uses_liger else "torch",
                rows_per_pass=None if parameters.packing else batching.sequences_per_pass,
                tokens_per_pass=batching.tokens_per_pass,
                passes_per_step=batching.accumulated_passes,
                peak_flops_per_second=peak_flops_per_second(precision, devices=group.size),
            )
        )
    )
    started = time.monotonic()
    trainer.loop.begin(trainer, resumed["step"])
    last_step = _run_steps(trainer, request, progress, batching, max(len(row.token_ids) for row in rows))
    seconds = time.monotonic() - started
    final_loss = trainer.loop.final_loss(trainer)
    has_better = parameters.keep_best and 0 < progress.best_step < last_step
    if has_better:
        trainer.load_weights(checkpoint_folder(output_folder, progress.best_step))
    trainer.release_optimizer()
    model_folder = output_folder / "model"
    final_type = stored_type if parameters.method == pb.METHOD_FULL else None
    if zero.is_on():
        zero.forget()
        if group.is_leader:
            from simmer_trainer.zero_trainer import whole_model

            source = checkpoint_folder(output_folder, progress.best_step if has_better else last_step)
            model = whole_model(source, final_type, is_adapter(parameters.method), load)
    elif group.size > 1:
        model = gather_model(trainer.model, group, final_type, load)
    if group.is_leader:
        _write_final_model(model, tokenizer, model_folder, final_type, control.fence)
    control.emit(
        pb.TrainerEvent(
            training_completed=pb.TrainingCompleted(
                steps=last_step,
                model_folder=str(model_folder),
                seconds=seconds,
                final_loss=final_loss,
                peak_memory_bytes=describe.peak_memory_bytes(),
                stopped_early=progress.has_stopped_early,
                best_step=progress.best_step if has_better else None,
                evaluation_loss=progress.best_loss if has_better else progress.last_evaluation,
            )
        )
    )


def _run_steps(
    trainer: Any, request: pb.StartTrainingRequest, progress: Progress, batching: Batching, longest: int
) -> int:
    """From the checkpoint, if there is one, to the last step, whose number is returned."""
    resume_from = request.resume_from if request.HasField("resume_from") else None
    if resume_from is not None and progress.has_stopped_early:
        # It was killed between its end and the model.
        trainer.load_weights(Path(resume_from))
        return int(trainer.loop.resumed_after)
    try:
        trainer.train(resume_from_checkpoint=resume_from)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        message = advise(trainer.model, batching, request.hyperparameters, longest, why)
        raise TrainingError("out_of_memory", message) from error
    trainer.loop.save_last_checkpoint(trainer)
    return int(trainer.state.global_step)


def _load_rows(
    file: Path, tokenizer: Any, parameters: pb.Hyperparameters, control: TrainingControl
) -> list[TokenizedRow]:
    raw = read_rows(file)
    if not raw:
        raise TrainingError("data_invalid", f"{file} has no rows.")
    rows = tokenize(raw, tokenizer, parameters.max_sequence_length)
    check_masks(rows, parameters.max_sequence_length)
    endless = check_markers(raw, rows, tokenizer)
    if endless:
        _warn(
            control,
            f"{len(endless)} of {len(rows)} rows of {file.name} have completions without a token that ends a reply: "
            f"from these the model does not learn to stop ({shorten(endless)}).",
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
        _warn(control, message)
    stop_where_asked(control)
    return rows


def _check_context(rows: list[TokenizedRow], file: Path, model: Any) -> None:
    """Raises TrainingError where rows have positions that the model has not."""
    limit = context_length_of(model)
    too_long = [row.id for row in rows if len(row.token_ids) > limit]
    if too_long:
        raise TrainingError(
            "data_invalid",
            f"{len(too_long)} of {len(rows)} rows of {file.name} are longer than the {limit} tokens of the model's "
            "context; lower max_sequence_length.",
            row_ids=too_long[:100],
        )


def _warn(control: TrainingControl, message: str) -> None:
    control.emit(pb.TrainerEvent(log_written=pb.LogWritten(level=pb.LOG_LEVEL_WARNING, message=message)))


def _trainer_class() -> Any:
    if zero.is_on():
        from simmer_trainer.zero_trainer import ZeroSFTTrainer

        return ZeroSFTTrainer
    from simmer_trainer.sft import SimmerSFTTrainer

    return SimmerSFTTrainer


def _check_resumed(
    marker: dict[str, Any], request: pb.StartTrainingRequest, rows: list[TokenizedRow], group: RankGroup
) -> None:
    if marker["step"] > 0:
        zero.check_checkpoint(Path(request.resume_from), group.size)
    if marker["step"] > 0 and marker["rows"] != len(rows):
        raise TrainingError(
            "checkpoint_invalid",
            f"{request.resume_from} was saved over {marker['rows']} rows, and {request.training_data} has {len(rows)}: "
            "it is a checkpoint of another job.",
        )


def _weights_type(parameters: pb.Hyperparameters, extensions: Extensions, precision: pb.Precision) -> Any:
    # Weights that stay as they are need no room for small updates.
    are_frozen = is_adapter(parameters.method)
    return torch_type(precision if extensions.weights == "bfloat16" or are_frozen else pb.PRECISION_FLOAT32)


def _stored_type(source: pb.ModelSource) -> Any:
    """The type that the model's weights have on disk, and the fine-tuned ones shall have."""
    import torch
    from transformers import AutoConfig

    folder = source.folder or source.checkpoint
    if not folder or not (Path(folder) / "config.json").is_file():
        return torch.float32
    return AutoConfig.from_pretrained(folder, local_files_only=True).dtype or torch.float32


def _arguments(
    parameters: pb.Hyperparameters,
    extensions: Extensions,
    precision: pb.Precision,
    batching: Batching,
    uses_liger: bool,
    total_steps: int,
    output_folder: Path,
    group: RankGroup,
) -> Any:
    from trl import SFTConfig

    is_cpu = describe.device().name == "cpu"
    # Over weights in float32, products in bfloat16 are a matter of autocast.
    uses_autocast = precision == pb.PRECISION_BFLOAT16 and extensions.weights == "float32"
    settings: dict[str, Any] = {
        "output_dir": str(output_folder),
        "per_device_train_batch_size": batching.sequences_per_pass,
        "gradient_accumulation_steps": batching.accumulated_passes,
        "max_steps": total_steps,
        "learning_rate": parameters.learning_rate,
        "lr_scheduler_type": _SCHEDULES[parameters.schedule],
        "warmup_steps": math.ceil(parameters.warmup_ratio * total_steps),
        "adam_beta1": parameters.adam_beta1,
        "adam_beta2": parameters.adam_beta2,
        "adam_epsilon": parameters.adam_epsilon,
        "weight_decay": parameters.weight_decay,
        "max_grad_norm": parameters.max_gradient_norm,
        "optim": "adamw_torch" if describe.device().name == "mps" else "adamw_torch_fused",
        "bf16": uses_autocast,
        "use_cpu": is_cpu,
        "dataloader_pin_memory": not is_cpu,
        # Sharded layers are recomputed by accelerate, around the shards.
        "gradient_checkpointing": parameters.gradient_checkpointing and group.size == 1,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if parameters.gradient_checkpointing else None,
        # Gradients that wait for the rest of a step wait as shards.
        "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": group.size > 1}},
        "use_liger_kernel": uses_liger,
        # Never materializes the logits of a whole batch, as Liger does; see _patch_chunked_ce_lm_head in TRL.
        "loss_type": "nll" if uses_liger else "chunked_nll",
        "max_length": None,
        "packing": False,
        "pad_token": parameters.pad_token if parameters.HasField("pad_token") else None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "seed": parameters.seed % 2**32,
        # A loss that is not finite must be seen, not averaged away.
        "logging_nan_inf_filter": False,
        "logging_strategy": "no",
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }
    if zero.is_on():
        from simmer_trainer import zero_trainer

        settings |= zero_trainer.arguments(
            bfloat16=precision == pb.PRECISION_BFLOAT16, gradient_checkpointing=parameters.gradient_checkpointing
        )
    return SFTConfig(**settings)


def _peft_config(parameters: pb.Hyperparameters) -> Any:
    if not is_adapter(parameters.method):
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=parameters.lora.rank,
        lora_alpha=parameters.lora.alpha,
        lora_dropout=parameters.lora.dropout,
        target_modules=list(parameters.lora.target_modules) or "all-linear",
        task_type="CAUSAL_LM",
    )


def _write_final_model(model: Any, tokenizer: Any, folder: Path, dtype: Any, fence: Fence) -> None:
    draft = folder.with_name(f".model.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    with full_disk_as_such(draft):
        save_model(model if dtype is None else model.to(dtype), tokenizer, draft)
    sync_tree(draft)
    pause_point("model.written")
    with fence.held():
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
        sync_folder(folder.parent)
    pause_point("model.renamed")
