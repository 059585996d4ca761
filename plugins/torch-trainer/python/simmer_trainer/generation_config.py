"""What a model's folder says of how it generates."""

from typing import Any

GENERATION_CONFIG = "generation_config.json"


def make_writable(config: Any) -> None:
    """
    Models are published with a temperature, or a top_p, and without do_sample. transformers reads that and refuses to
    write it: whoever sets these means to sample.
    """
    try:
        config.validate(strict=True)
    except ValueError:
        config.do_sample = True


def end_ids(config: Any) -> list[int]:
    """The tokens that end generation."""
    ids = config.eos_token_id
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def add_end(config: Any, token: int) -> None:
    """Has a token end generation, beside those that do already."""
    ends = end_ids(config)
    if token not in ends:
        config.eos_token_id = [*ends, token]
