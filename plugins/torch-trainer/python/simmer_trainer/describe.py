"""What this trainer is and runs on, told without importing torch where it can be: Describe must be quick."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb
from simmer_trainer.libraries import load_libraries

_PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "grpcio",
)


@dataclass(frozen=True)
class DeviceFacts:
    name: str
    model: str
    memory_bytes: int | None
    is_fast_at_bfloat16: bool


def versions() -> dict[str, str]:
    """Versions of what the trainer is built on, from the environment's metadata."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def device() -> DeviceFacts:
    """The device that is trained and generated on."""
    if _may_have_accelerator():
        load_libraries()
        import torch

        if torch.cuda.is_available():
            # One of several ranks on this machine has the device of its number.
            index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if index >= count:
                raise RuntimeError(f"Rank {index} of this machine has no GPU: start at most {count} processes on it.")
            properties = torch.cuda.get_device_properties(index)
            is_fast = torch.cuda.is_bf16_supported(False)
            return DeviceFacts(f"cuda:{index}", properties.name, properties.total_memory, is_fast)
        if torch.backends.mps.is_available():
            return DeviceFacts("mps", platform.processor() or "Apple GPU", None, False)
    return DeviceFacts("cpu", _cpu_model(), _memory_bytes(), _is_cpu_fast_at_bfloat16())


def _may_have_accelerator() -> bool:
    if os.environ.get("SIMMER_DEVICE") == "cpu":
        return False
    return platform.system() == "Darwin" or any(Path("/dev").glob("nvidia[0-9]*"))


def _cpu_facts() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    facts: dict[str, str] = {}
    for key, _, value in pairs:
        facts.setdefault(key.strip(), value.strip())
    return facts


def _cpu_model() -> str:
    return _cpu_facts().get("model name") or platform.processor() or platform.machine()


def _is_cpu_fast_at_bfloat16() -> bool:
    facts = _cpu_facts()
    flags = set(facts.get("flags", "").split()) | set(facts.get("Features", "").split())
    return bool(flags & {"amx_bf16", "avx512_bf16", "bf16"})


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def device_message(facts: DeviceFacts) -> pb.Device:
    return pb.Device(
        name=facts.name,
        model=facts.model,
        memory_bytes=facts.memory_bytes,
        supports_bfloat16=facts.is_fast_at_bfloat16,
    )


def choose_precision(asked: pb.Precision) -> pb.Precision:
    """The precision asked for, or the faster one of the device."""
    if asked != pb.PRECISION_UNSPECIFIED:
        return asked
    return pb.PRECISION_BFLOAT16 if device().is_fast_at_bfloat16 else pb.PRECISION_FLOAT32


def peak_memory_bytes() -> int:
    """Largest memory so far: allocated on the GPU, or resident in this process."""
    if device().name.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated())
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
