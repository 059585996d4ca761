"""One training attempt, from the rows to the model: TRL's SFTTrainer with our data order, events and checkpoints."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from simmer_trainer import describe, zero
from simmer_trainer.adapted_modules import check_target_modules, is_head_adapted, without_adapter
from simmer_trainer.batching import Batching, choose_batching
from simmer_trainer.checkpoints import check_files, checkpoint_folder, read_marker, remove_drafts
from simmer_trainer.data import TokenizedRow
from simmer_trainer.errors import TrainingError
from simmer_trainer.final_model import stored_type, write_final_model
from simmer_trainer.flops import count_parameters, peak_flops_per_second
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_config import add_end
from simmer_trainer.hyperparameters import is_adapter, parse_extensions
from simmer_trainer.kernels import attention_in_words, check_attention, choose_attention, choose_liger
from simmer_trainer.markers import end_of_rows
from simmer_trainer.memory_advice import with_advice
from simmer_trainer.models import load_model, load_tokenizer
from simmer_trainer.packed_attention import check_packing
from simmer_trainer.progress import Progress
from simmer_trainer.quantization import four_bits
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.sharding import gather_model, sharded
from simmer_trainer.training_control import TrainingControl, stop_where_asked
from simmer_trainer.training_loop import Loop
from simmer_trainer.training_rows import TrainingRows, check_context, load_rows, warn
from simmer_trainer.training_settings import peft_config, training_arguments, weights_type


def train(request: pb.StartTrainingRequest, control: TrainingControl, group: RankGroup) -> None:
    """
    Runs the attempt to its end and emits its events, TrainingCompleted last. Raises AttemptStopped where it was told to
    stop, TrainingError or RequestError where it cannot go on. Where there are several ranks, each of them runs this.
    """
    with sharded(group, recompute_activations=request.hyperparameters.gradient_checkpointing):
        _train(request, control, group)


def _train(request: pb.StartTrainingRequest, control: TrainingControl, group: RankGroup) -> None:
    import transformers
    from transformers.integrations.liger import apply_liger_kernel

    parameters = request.hyperparameters
    extensions = parse_extensions(request.extensions)
    precision = describe.choose_precision(parameters.precision)
    output_folder = Path(request.output_folder)
    # Libraries may have been loaded meanwhile, and another attempt writes into the folder then.
    stop_where_asked(control)
    if group.is_leader:
        remove_drafts(output_folder)
    # Before anything draws: the weights of an adapter come from this, and dropout.
    transformers.set_seed(parameters.seed % 2**32)

    tokenizer = load_tokenizer(request.model)
    rows = load_rows(request, extensions, tokenizer, control)
    stop_where_asked(control)

    attention = choose_attention(extensions, precision=precision, packing=parameters.packing)
    weights = weights_type(parameters, extensions, precision)
    quantization = four_bits(precision) if parameters.method == pb.METHOD_QLORA else None

    end = end_of_rows(rows.trained, tokenizer)

    def load() -> Any:
        model = load_model(request.model, weights, attention=attention, quantization=quantization)
        if end is not None:
            # That of a base model is another, and it would go on after its replies.
            add_end(model.generation_config, end)
        return model

    model = load()
    check_attention(extensions, model)
    attention = model.config.get_text_config()._attn_implementation
    check_target_modules(parameters, model)
    # Not sooner: the trainer's start does not wait for TRL.
    from simmer_trainer.head_loss import has_plain_head, take_loss_from_head

    if parameters.packing:
        check_packing(model, attention, group)
    has_adapted_head = is_head_adapted(parameters, model)
    model_type = model.config.get_text_config().model_type
    uses_liger = choose_liger(extensions, precision=precision, model_type=model_type, has_adapted_head=has_adapted_head)
    needs_logits = not uses_liger and (has_adapted_head or not has_plain_head(model))
    if uses_liger:
        apply_liger_kernel(model, None)
        # By itself, its loss leaves the logits of a whole pass out in training only.
        model.forward = partial(model.forward, skip_logits=True)
    elif not needs_logits:
        take_loss_from_head(model)
    final_type = stored_type(request.model) if parameters.method == pb.METHOD_FULL else None
    check_context(rows, request, model)
    stop_where_asked(control)

    resumed: dict[str, Any] = read_marker(Path(request.resume_from)) if request.HasField("resume_from") else {"step": 0}
    _check_resumed(resumed, request, rows.trained, group)
    progress = Progress.from_json(resumed.get("progress", {}))
    if resumed["step"] > 0:
        check_files(Path(request.resume_from), resumed, group)
    # At the end it is too late to find out.
    if parameters.keep_best and 0 < progress.best_step < resumed["step"]:
        _check_best(checkpoint_folder(output_folder, progress.best_step), group)
    batching = choose_batching(parameters, rows.trained, rows.order, total_steps=rows.total_steps, ranks=group.size)
    # On a GPU, the weights may not fit already.
    with with_advice(model, batching, parameters, rows.longest(), needs_logits=needs_logits):
        trainer = _trainer_class()(
            model=model,
            arguments=training_arguments(
                parameters,
                extensions,
                precision,
                batching,
                rows.total_steps,
                output_folder,
                group,
            ),
            rows=rows.trained,
            order=rows.order,
            batching=batching,
            tokenizer=tokenizer,
            peft_config=peft_config(parameters, model_type),
            loop=Loop(request, control, group, progress, rows=rows, batching=batching),
            group=group,
        )
    if group.size > 1:
        # The model is the same everywhere; what dropout draws is not.
        transformers.set_seed((parameters.seed + group.rank) % 2**32)
    started = _started(rows, batching, trainer.model, precision, group)
    started.resumed_after_step = resumed["step"]
    started.attention = attention_in_words(attention, precision)
    started.kernels = "liger" if uses_liger else "torch"
    control.emit(pb.TrainerEvent(training_started=started))
    if is_adapter(parameters.method):
        targets = parameters.lora.target_modules
        plain = without_adapter(trainer.model, targets)
        if plain:
            whole = "that lora.target_modules names" if targets else "of the model"
            warn(
                control,
                f"The adapter is not on all {whole}: there is none on {', '.join(plain)}. These stay as they are.",
            )
    if rows.total_steps == 1 and parameters.warmup_ratio > 0:
        warn(
            control,
            "The only step is the first one of the warm-up, whose learning rate is 0: the model stays as it is. Set "
            "warmup_ratio to 0, or lower global_batch_size for more steps.",
        )

    began = time.monotonic()
    trainer.loop.begin(trainer, resumed["step"])
    last_step = _run_steps(trainer, request, progress, batching, rows.longest(), needs_logits=needs_logits)
    seconds = time.monotonic() - began
    final_loss = trainer.loop.final_loss(trainer)
    has_better = parameters.keep_best and 0 < progress.best_step < last_step
    best = checkpoint_folder(output_folder, progress.best_step if has_better else last_step)
    if has_better:
        _check_best(best, group)
        trainer.load_weights(best)
    trainer.release_optimizer()
    model_folder = output_folder / "model"
    model = _whole_model(trainer.model, best, final_type, is_adapter(parameters.method), load, group)
    if group.is_leader:
        write_final_model(model, tokenizer, model_folder, final_type, control.fence)
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


def _check_best(checkpoint: Path, group: RankGroup) -> None:
    """The job cannot end without it, and one that goes on from a checkpoint before it makes it again."""
    try:
        check_files(checkpoint, read_marker(checkpoint), group)
    except TrainingError as error:
        raise TrainingError("checkpoint_damaged", f"The best evaluation's weights are lost: {error.message}") from error


def _started(
    rows: TrainingRows, batching: Batching, model: Any, precision: pb.Precision, group: RankGroup
) -> pb.TrainingStarted:
    """What a training tells of its rows, its model and how they go through it."""
    return pb.TrainingStarted(
        total_steps=rows.total_steps,
        rows=len(rows.trained),
        tokens=sum(len(row.token_ids) for row in rows.trained),
        trained_tokens=sum(row.trained_tokens for row in rows.trained),
        truncated_rows=sum(row.truncated for row in rows.trained),
        parameters=count_parameters(model),
        trained_parameters=count_parameters(model, trained_only=True),
        precision=precision,
        rows_per_pass=None if batching.plan is not None else batching.sequences_per_pass,
        tokens_per_pass=batching.tokens_per_pass,
        passes_per_step=batching.accumulated_passes,
        peak_flops_per_second=peak_flops_per_second(precision, devices=group.size),
    )


def _whole_model(
    model: Any, checkpoint: Path, dtype: Any, is_adapter: bool, load: Callable[[], Any], group: RankGroup
) -> Any:
    """The model with all its weights, on rank 0; of DeepSpeed's they are in the checkpoint alone."""
    if zero.is_on():
        zero.forget()
        if not group.is_leader:
            return model
        from simmer_trainer.zero_trainer import whole_model

        return whole_model(checkpoint, dtype, is_adapter, load)
    return gather_model(model, group, dtype, load) if group.size > 1 else model


def _run_steps(
    trainer: Any,
    request: pb.StartTrainingRequest,
    progress: Progress,
    batching: Batching,
    longest: int,
    *,
    needs_logits: bool,
) -> int:
    """From the checkpoint, if there is one, to the last step, whose number is returned."""
    resume_from = request.resume_from if request.HasField("resume_from") else None
    resumed_after = trainer.loop.resumed_after
    if resume_from is not None and (progress.has_stopped_early or resumed_after >= trainer.args.max_steps):
        # It was killed between its end and the model. Within an epoch, the Trainer would do one step more.
        trainer.load_weights(Path(resume_from))
        return int(resumed_after)
    with with_advice(trainer.model, batching, request.hyperparameters, longest, needs_logits=needs_logits):
        trainer.train(resume_from_checkpoint=resume_from)
    trainer.loop.save_last_checkpoint(trainer)
    return int(trainer.state.global_step)


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
