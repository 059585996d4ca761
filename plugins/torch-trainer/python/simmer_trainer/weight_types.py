"""The types in which a model's weights are written."""

import re
from collections.abc import Callable
from itertools import chain
from typing import Any


def types_of(model: Any, dtype: Any) -> Callable[[str, Any], Any]:
    """
    The type of each weight, by its name and itself, in a model of this type, as where transformers loads it: some keep
    a few weights in float32, such as what DeepSeek-V3's routers correct their choice of experts by.
    """
    plan = model._get_dtype_plan(dtype)

    def type_of(name: str, weight: Any) -> Any:
        if not weight.is_floating_point():
            return weight.dtype
        kept = (kind for pattern, kind in plan.items() if re.search(pattern.replace("*", ".*"), name))
        return next(kept, dtype)

    return type_of


def cast(model: Any, dtype: Any) -> Any:
    """The same model, with its weights in a type."""
    type_of = types_of(model, dtype)
    for name, weight in chain(model.named_parameters(), model.named_buffers()):
        weight.data = weight.data.to(type_of(name, weight))
    return model
