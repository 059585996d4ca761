"""Opens models: Hugging Face folders, GGUF files, checkpoints, adapters, and models made from a config."""

import json
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import json_format

from simmer_trainer import describe
from simmer_trainer.adapted_modules import check_is_read
from simmer_trainer.byte_tokenizer import make_byte_tokenizer
from simmer_trainer.checkpoints import check_files, read_marker
from simmer_trainer.durable import sync_tree
from simmer_trainer.errors import RequestError, TrainingError, invalid, refused, shorten
from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.generation_config import GENERATION_CONFIG, add_end, make_writable
from simmer_trainer.gguf_file import write_gguf
from simmer_trainer.published_tokenizer import load_published
from simmer_trainer.quantization import keep_layout
from simmer_trainer.random_config import settings_of
from simmer_trainer.rank_group import RankGroup
from simmer_trainer.reply_ends import written_end
from simmer_trainer.shards import adapter_of_shards, is_sharded, model_of_shards

_ADAPTER_CONFIG = "adapter_config.json"
_DEFAULT_CONTEXT = 2048


@dataclass(frozen=True)
class OpenModel:
    """A causal language model in evaluation mode, and its tokenizer."""

    model: Any
    tokenizer: Any
    context_length: int


def check_source(source: pb.ModelSource) -> None:
    """What can be said without loading anything. Raises RequestError INVALID_ARGUMENT."""
    kind = source.WhichOneof("source")
    if kind is None:
        raise invalid("model_missing", "model names no source: give a folder, a GGUF file, a checkpoint or a config.")
    if kind == "folder":
        _check_folder(Path(source.folder))
    elif kind == "checkpoint":
        try:
            read_marker(Path(source.checkpoint))
        except TrainingError as error:
            raise invalid(error.code, error.message) from error
    elif kind == "gguf_file":
        path = Path(source.gguf_file)
        if not path.is_file():
            raise invalid("model_not_found", f"There is no file {path}.")
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise invalid("model_invalid", f"{path} is no GGUF file: it does not begin with GGUF.")
    elif "model_type" not in source.random.config:
        raise invalid("model_invalid", 'The config of a random model needs a "model_type", e.g. "llama".')
    if source.HasField("adapter_folder") and not (Path(source.adapter_folder) / _ADAPTER_CONFIG).is_file():
        raise invalid("adapter_invalid", f"{source.adapter_folder} is no adapter: it has no {_ADAPTER_CONFIG}.")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise invalid("model_not_found", f"There is no folder {folder}.")
    if (folder / _ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file():
        raise invalid(
            "model_invalid", f"{folder} holds an adapter, not a model: name it as adapter_folder of its base."
        )
    if not (folder / "config.json").is_file():
        raise invalid("model_invalid", f"{folder} is no model: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        raise invalid("model_invalid", f"{folder} has no .safetensors file, the only kind of weights that is loaded.")


def torch_type(precision: pb.Precision) -> Any:
    import torch

    return torch.bfloat16 if precision == pb.PRECISION_BFLOAT16 else torch.float32


def load_tokenizer(source: pb.ModelSource) -> Any:
    """The tokenizer of a model. Loads no weights."""
    try:
        match source.WhichOneof("source"):
            case "folder":
                return load_published(source.folder)
            case "checkpoint":
                return load_published(source.checkpoint)
            case "gguf_file":
                return _tokenizer_of_gguf(Path(source.gguf_file))
            case _:
                if not source.random.HasField("tokenizer_source"):
                    config = json_format.MessageToDict(source.random.config)
                    return make_byte_tokenizer(int(config.get("max_position_embeddings", _DEFAULT_CONTEXT)))
                path = Path(source.random.tokenizer_source)
                return _tokenizer_of_gguf(path) if path.is_file() else load_published(path)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise invalid("tokenizer_invalid", f"The model's tokenizer cannot be loaded: {_first_line(error)}") from error


def load_model(
    source: pb.ModelSource,
    dtype: Any,
    *,
    attention: str | None = None,
    quantization: Any = None,
) -> Any:
    """
    Loads weights. @param dtype a torch type, or "auto" for the one that they are stored in @param attention None: SDPA,
    or eager where that cannot compute the model's @param quantization how linear layers are kept smaller; only for
    folders
    """
    if quantization is not None and source.WhichOneof("source") != "folder":
        raise invalid(
            "method_unsupported", "Only the weights of a Hugging Face folder can be quantized: export it first."
        )
    from huggingface_hub.errors import StrictDataclassError

    try:
        model = _load_base(source, dtype, attention, quantization)
        if quantization is not None:
            keep_layout(model)
        if attention is None and caps_scores(model):
            model.set_attn_implementation("eager")
        if source.HasField("adapter_folder"):
            model = _apply_adapter(model, Path(source.adapter_folder))
        make_writable(model.generation_config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        if attention == "sdpa" and "scaled_dot_product_attention" in str(error):
            raise sdpa_unavailable("transformers has none for this model") from error
        raise invalid("model_invalid", f"The model cannot be loaded: {_first_line(error)}") from error
    except StrictDataclassError as error:
        # It only names the check that its cause comes from.
        why = _first_line(error.__cause__ or error)
        raise invalid("model_invalid", f"The model's config cannot be used: {why}") from error
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise invalid("model_invalid", f"The model's weights do not fit its config: {_first_line(error)}") from error
    return model


def sdpa_unavailable(why: str) -> RequestError:
    """It was asked for by name."""
    return refused("kernel_unavailable", f'extensions.attention "sdpa" is not available: {why}. Use "auto".')


def caps_scores(model: Any) -> bool:
    """Whether attention bends its scores, as Gemma 2's. transformers' SDPA leaves that out without a word."""
    return getattr(model.config.get_text_config(), "attn_logit_softcapping", None) is not None


def _load_base(source: pb.ModelSource, dtype: Any, attention: str | None, quantization: Any) -> Any:
    from transformers import AutoModelForCausalLM

    match source.WhichOneof("source"):
        case "folder":
            return _from_folder(Path(source.folder), dtype, attention, quantization)
        case "checkpoint":
            folder = Path(source.checkpoint)
            marker = read_marker(folder)
            try:
                check_files(folder, marker, RankGroup.alone())
            except TrainingError as error:
                raise invalid(error.code, error.message) from error
            if (folder / _ADAPTER_CONFIG).is_file():
                base = json_format.ParseDict(marker["model"], pb.ModelSource())
                return _apply_adapter(load_model(base, dtype, attention=attention), folder)
            if is_sharded(folder):
                return model_of_shards(folder, dtype, attention)
            return _from_folder(folder, dtype, attention)
        case "gguf_file":
            path = Path(source.gguf_file)
            model = AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                dtype="float32" if dtype == "auto" else dtype,
                attn_implementation=attention,
                local_files_only=True,
            )
            _forget_quantization(model)
            end = written_end(_tokenizer_of_gguf(path))
            if end is not None:
                # Such files have no generation config, and the end of a text need not be that of a reply.
                add_end(model.generation_config, end)
            return model
        case _:
            return _make_random(source.random, dtype, attention)


def _from_folder(folder: Path, dtype: Any, attention: str | None, quantization: Any = None) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=attention,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        # Quantized weights are made where they stay.
        **(
            {}
            if quantization is None
            else {"quantization_config": quantization, "device_map": {"": describe.device().name}}
        ),
    )


def saved_weights(checkpoint: Path) -> dict[str, Any]:
    """
    The weights of a whole checkpoint by the names that they have in the model, in main memory. In the files they have
    those of published models, which transformers has for a few layers of its own only: GPT-NeoX's head is one. Raises
    TrainingError checkpoint_invalid where some are not there.
    """
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    model, found = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype="auto", local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if found["missing_keys"]:
        raise TrainingError(
            "checkpoint_invalid",
            f"{checkpoint} has no {shorten(sorted(found['missing_keys']), 2)}, which the model has: use another one.",
        )
    weights: dict[str, Any] = model.state_dict()
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, "pt") as saved:
            # As they are there: transformers sets the padding's row to 0 as it loads Youtu.
            for name in weights.keys() & set(saved.keys()):
                weights[name].copy_(saved.get_tensor(name))
    return weights


def _forget_quantization(model: Any) -> None:
    """The weights are dequantized, and transformers still takes the model for a quantized one that it cannot save."""
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _apply_adapter(model: Any, folder: Path) -> Any:
    from peft import PeftModel
    from transformers import GenerationConfig

    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    if is_sharded(folder):
        adapted = adapter_of_shards(model, folder)
    else:
        adapted = PeftModel.from_pretrained(model, folder)
        check_is_read(adapted, folder)
    if (folder / GENERATION_CONFIG).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    merged = adapted.merge_and_unload()
    # PEFT has frozen the whole base, and leaves it so.
    for name, weight in merged.named_parameters():
        weight.requires_grad_(name not in frozen)
    return merged


def _tokenizer_of_gguf(path: Path) -> Any:
    from transformers import AutoTokenizer

    with TemporaryDirectory() as alone:
        # Of a tokenizer.json beside the file transformers would make one that has no end of sequence.
        (Path(alone) / path.name).symlink_to(path.resolve())
        return AutoTokenizer.from_pretrained(alone, gguf_file=path.name, local_files_only=True)


def _make_random(source: pb.RandomModel, dtype: Any, attention: str | None) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = settings_of(source.config)
    tokenizer = load_tokenizer(pb.ModelSource(random=source))
    settings.setdefault("vocab_size", len(tokenizer))
    if settings["vocab_size"] < len(tokenizer):
        raise ValueError(f"vocab_size {settings['vocab_size']} is below the tokenizer's {len(tokenizer)} tokens")
    for name in ("bos", "eos", "pad"):
        settings.setdefault(f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    # The generator is put back: what a caller drew before and draws after is not our business.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=attention)
    return model if dtype == "auto" else model.to(dtype)


def context_length_of(model: Any) -> int:
    """Longest sequence that the model takes, in tokens."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", _DEFAULT_CONTEXT))


def export_model(
    source: pb.ModelSource, folder: Path, precision: pb.Precision, file_format: pb.ExportFormat
) -> pb.ExportResponse:
    """Writes a model, its tokenizer and its configs as a Hugging Face folder, or as one GGUF file, durably."""
    model = load_model(source, "auto" if precision == pb.PRECISION_UNSPECIFIED else torch_type(precision))
    try:
        if file_format == pb.EXPORT_FORMAT_GGUF:
            write_gguf(model, load_tokenizer(source), folder)
        else:
            save_model(model, load_tokenizer(source), folder)
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    return pb.ExportResponse(
        files=sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
        parameters=model.num_parameters(),
        architecture=type(model).__name__,
        context_length=context_length_of(model),
    )


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Every file synced."""
    # A path of the machine that made it has no place in a model.
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    # PEFT writes none.
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sync_tree(folder)


class ModelCache:
    """Keeps the last model that was opened for generation: the next request is mostly for the same one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key = ""
        self._open: OpenModel | None = None

    def open(self, source: pb.ModelSource, precision: pb.Precision) -> OpenModel:
        key = _cache_key(source, precision)
        with self._lock:
            if self._open is None or key != self._key:
                # First the old one goes, or two lie in memory.
                self._open = None
                tokenizer = load_tokenizer(source)
                from simmer_trainer import grouped_attention

                grouped_attention.register()
                model = load_model(source, torch_type(precision), attention=grouped_attention.NAME)
                model = model.to(describe.device().name).eval()
                self._open = OpenModel(model, tokenizer, context_length_of(model))
                self._key = key
            return self._open

    def clear(self) -> None:
        with self._lock:
            self._open = None
            self._key = ""


def _cache_key(source: pb.ModelSource, precision: pb.Precision) -> str:
    """Names the files too: a folder may be written again."""
    stamps: dict[str, int] = {}
    for folder in (source.folder, source.checkpoint, source.adapter_folder):
        if folder:
            stamps |= {str(path): path.stat().st_mtime_ns for path in sorted(Path(folder).iterdir())}
    if source.gguf_file:
        stamps[source.gguf_file] = Path(source.gguf_file).stat().st_mtime_ns
    return json.dumps([source.SerializeToString(deterministic=True).hex(), int(precision), stamps])


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
