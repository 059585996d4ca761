"""What trainings leave behind."""

from pathlib import Path
from typing import Any


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def assert_same_weights(one: Path, other: Path) -> None:
    """Bit for bit."""
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys() and first
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        assert tensor.equal(second[name]), name
