"""What a model's folder says of how it generates."""

from typing import Any

GENERATION_CONFIG = "generation_config.json"

# What transformers takes for a wish to sample, and as what it says nothing.
_SAMPLING = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}


def make_writable(config: Any) -> None:
    """
    Models are published with a temperature, or a top_p, and without do_sample, or with one that is false. transformers
    reads that and refuses to write it. Who does not say do_sample means to sample; who says no has no use for the rest.
    """
    wishes = [name for name, neutral in _SAMPLING.items() if getattr(config, name, None) not in (None, neutral)]
    if wishes and config.do_sample is None:
        config.do_sample = True
    elif config.do_sample is False:
        for name in wishes:
            setattr(config, name, None)


def end_ids(config: Any) -> list[int]:
    """The tokens that end generation."""
    ids = config.eos_token_id
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def add_end(config: Any, token: int) -> None:
    """Has a token end generation, beside those that do already."""
    ends = end_ids(config)
    if token not in ends:
        config.eos_token_id = [*ends, token]
