"""What a model's folder says of how it generates."""

from typing import Any


def make_writable(config: Any) -> None:
    """
    Models are published with a temperature, or a top_p, and without do_sample. transformers reads that and refuses to
    write it: whoever sets these means to sample.
    """
    try:
        config.validate(strict=True)
    except ValueError:
        config.do_sample = True
