"""
One side of a comparison, in a process of its own: TRL's SFTTrainer as a plain script has it, or Simmer's trainer. It
waits before each step until it is told to go on, so that the sides take turns. Commands come on stdin, answers go to
stdout:

    go           runs one step              {"seconds", "tokens", "peakMemoryBytes"}, padding left out
    profile      the same, and tells of it  and {"kernels": [[name, milliseconds, calls]]}, the longest first
    held-out     measures the loss          {"loss"}
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bare_control import BareControl
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from simmer_trainer import describe
from simmer_trainer.data import read_rows, tokenize
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.models import load_tokenizer
from simmer_trainer.rank_group import RankGroup

BATCH = 8
LEARNING_RATE = 2e-5
# Told of a step that is profiled.
_KERNELS = 16


class Turns:
    """Steps begin when the other end says so, and are timed from there."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self._began = 0.0
        self._tokens = 0
        self._profiler: Any = None
        self._held_out = lambda: 0.0

    def measure_held_out_with(self, measure: Any) -> None:
        self._held_out = measure

    def before_step(self) -> None:
        """Returns when a step may begin."""
        for line in sys.stdin:
            if line.strip() in ("go", "profile"):
                if line.strip() == "profile":
                    self._profiler = start_profiler()
                self._began = time.perf_counter()
                return
            if line.strip() == "held-out":
                self._answer(loss=self._held_out())
        # Whoever compares has seen enough.
        os._exit(0)

    def after_step(self, tokens_seen: int) -> None:
        """@param tokens_seen since the first step, padding left out"""
        import torch

        # What a step leaves on a GPU's queue is part of it.
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._began
        told: dict[str, Any] = {"seconds": seconds, "tokens": tokens_seen - self._tokens}
        if self._profiler is not None:
            self._profiler.stop()
            told["kernels"] = longest_kernels(self._profiler)
            self._profiler = None
        self._answer(**told, peakMemoryBytes=describe.peak_memory_bytes())
        self._tokens = tokens_seen

    def _answer(self, **values: Any) -> None:
        print(json.dumps(values), file=self._answers, flush=True)


def start_profiler() -> Any:
    import torch
    from torch.profiler import ProfilerActivity, profile

    profiler = profile(activities=[ProfilerActivity.CUDA if torch.cuda.is_available() else ProfilerActivity.CPU])
    profiler.start()
    return profiler


def longest_kernels(profiler: Any) -> list[list[Any]]:
    """Name, milliseconds in all and calls of what ran on the device, and of all of it together."""
    import torch

    kind = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    found = [(one.key[:120], getattr(one, kind) / 1e3, one.count) for one in profiler.key_averages()]
    found.append(("all", sum(spent for _, spent, _ in found), sum(calls for *_, calls in found)))
    found.sort(key=lambda one: -one[1])
    return [[name, round(spent, 2), calls] for name, spent, calls in found[:_KERNELS]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=["trl", "simmer"], required=True)
    parser.add_argument("--model", help="folder")
    parser.add_argument("--config", help="JSON file: random weights of such a model, and a tokenizer of bytes")
    parser.add_argument("--weights", default="float32", help="their type while they are trained")
    parser.add_argument("--data", required=True, help="Parquet of prompts and completions, in the order of training")
    parser.add_argument("--held-out", help="Parquet of the same columns")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=BATCH, help="rows of a step")
    parser.add_argument("--device-batch", type=int, help="rows of a forward pass; else all of a step")
    parser.add_argument("--keep-activations", action="store_true", help="computes none of them again")
    parser.add_argument("--max-length", type=int, default=1024, help="of a row, in tokens")
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--in-order", action="store_true", help="rows as they lie in the file")
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    options.device_batch = options.device_batch or options.batch
    # Whatever else writes to stdout, writes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    turns = Turns(answers)
    run_trl(options, turns) if options.side == "trl" else run_simmer(options, turns)


def run_trl(options: argparse.Namespace, turns: Turns) -> None:
    """The script that TRL's documentation begins with; what is not said is TRL's default."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class TakeTurns(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.before_step()

        def on_step_end(self, arguments: Any, state: Any, control: Any, **__: Any) -> None:
            # What TRL logs as num_tokens: it leaves padding out.
            turns.after_step(int(trainer._total_train_tokens))

    if options.model:
        tokenizer = AutoTokenizer.from_pretrained(options.model)
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=options.weights)
    else:
        tokenizer = load_tokenizer(source_of(options))
        model = made_on_device(options, getattr(torch, options.weights))
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_parquet(options.data, cache_dir=options.output).select_columns(
            ["prompt", "completion"]
        ),
        args=SFTConfig(
            output_dir=options.output,
            max_steps=options.steps,
            per_device_train_batch_size=options.device_batch,
            gradient_accumulation_steps=options.batch // options.device_batch,
            gradient_checkpointing=not options.keep_activations,
            max_length=options.max_length,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            # Without it, its default precision is refused where there is no GPU.
            use_cpu=not torch.cuda.is_available(),
            # The rows of each step are those of the other side, where the settings are to be equal.
            **({"train_sampling_strategy": "sequential"} if options.in_order else {}),
        ),
        callbacks=[TakeTurns()],
    )
    rows = held_out_rows(options, tokenizer)
    turns.measure_held_out_with(lambda: mean_loss(trainer.model, trainer.accelerator, rows))
    trainer.train()
    turns.before_step()


def run_simmer(options: argparse.Namespace, turns: Turns) -> None:
    """The job as a request to the trainer has it, with TRL's default settings."""
    from simmer_trainer.data import DataOrder
    from simmer_trainer.libraries import load_libraries
    from simmer_trainer.memory import keep_freed_memory

    keep_freed_memory()
    load_libraries()
    from simmer_trainer import sft, training

    if options.in_order:
        DataOrder.epoch = lambda order, _: list(range(len(order._lengths)))  # type: ignore[method-assign]

    class TakeTurns(sft.SimmerSFTTrainer):
        """Only to wait before a step, as the script does by its callback."""

        def __init__(self, **values: Any) -> None:
            super().__init__(**values)
            turns.measure_held_out_with(lambda: mean_loss(self.model, self.accelerator, rows))

    def take_turns(event: pb.TrainerEvent) -> None:
        if event.HasField("training_started"):
            turns.before_step()
        if event.HasField("step_logged"):
            turns.after_step(event.step_logged.tokens_seen)
            turns.before_step()

    sft.SimmerSFTTrainer = TakeTurns  # type: ignore[misc]
    if options.config:
        training.load_model = lambda _, dtype, attention, **__: made_on_device(options, dtype, attention)
    source = source_of(options)
    extensions = Struct()
    json_format.ParseDict({"groupByLength": False, "weights": options.weights}, extensions)
    request = pb.StartTrainingRequest(
        attempt_id="bench",
        job_id="bench",
        attempt=1,
        model=source,
        training_data=options.data,
        output_folder=options.output,
        extensions=extensions,
        hyperparameters=pb.Hyperparameters(
            method=pb.METHOD_FULL,
            learning_rate=LEARNING_RATE,
            max_steps=options.steps,
            global_batch_size=options.batch,
            device_batch_size=options.device_batch,
            schedule=pb.LEARNING_RATE_SCHEDULE_LINEAR,
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-8,
            max_gradient_norm=1.0,
            precision=pb.PRECISION_BFLOAT16,
            gradient_checkpointing=not options.keep_activations,
            packing=options.packing,
            max_sequence_length=options.max_length,
            log_every_steps=1,
            seed=42,
        ),
    )
    rows = held_out_rows(options, load_tokenizer(source))
    training.train(request, BareControl(take_turns), RankGroup.alone())  # type: ignore[arg-type]


def source_of(options: argparse.Namespace) -> pb.ModelSource:
    if options.model:
        return pb.ModelSource(folder=options.model)
    config = Struct()
    json_format.ParseDict(json.loads(Path(options.config).read_text()), config)
    return pb.ModelSource(random=pb.RandomModel(config=config, seed=1))


def made_on_device(options: argparse.Namespace, dtype: Any, attention: str | None = None) -> Any:
    """Random weights of --config, drawn where they are trained: drawing those of 7B takes a CPU minutes."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = json.loads(Path(options.config).read_text())
    tokenizer = load_tokenizer(source_of(options))
    tokens = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = AutoConfig.for_model(settings.pop("model_type"), **{**tokens, **settings})
    torch.manual_seed(1)
    with torch.device(describe.device().name):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def held_out_rows(options: argparse.Namespace, tokenizer: Any) -> list[Any]:
    return tokenize(read_rows(Path(options.held_out)), tokenizer, options.max_length) if options.held_out else []


def mean_loss(model: Any, accelerator: Any, rows: list[Any]) -> float:
    """Nats a trained token, row by row, by the same code for both sides."""
    import torch

    network = accelerator.unwrap_model(model)
    was_training = network.training
    network.eval()
    total, count = 0.0, 0
    with torch.no_grad(), torch.autocast(accelerator.device.type, torch.bfloat16):
        for row in rows:
            ids = torch.tensor([row.token_ids], device=accelerator.device)
            labels = torch.tensor([row.labels], device=accelerator.device)
            places = torch.arange(ids.shape[1], device=accelerator.device)[None]
            borders = torch.tensor([0, ids.shape[1]], dtype=torch.int32, device=accelerator.device)
            outputs = network(
                input_ids=ids,
                labels=labels,
                position_ids=places,
                cu_seq_lens_q=borders,
                cu_seq_lens_k=borders,
                max_length_q=ids.shape[1],
                max_length_k=ids.shape[1],
            )
            total += float(outputs.loss) * row.trained_tokens
            count += row.trained_tokens
    network.train(was_training)
    return total / count


if __name__ == "__main__":
    main()
