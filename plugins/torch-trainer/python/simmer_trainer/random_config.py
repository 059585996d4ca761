"""The config of a model with random weights, from a protobuf Struct, whose numbers are doubles all."""

import dataclasses
from types import UnionType
from typing import Any, Union, get_args, get_origin

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct


def settings_of(config: Struct) -> dict[str, Any]:
    """Its values: whole numbers as integers, as sizes are, except where the model's config takes floats alone."""
    from transformers import CONFIG_MAPPING

    settings: dict[str, Any] = _whole_numbers(json_format.MessageToDict(config))
    model_type = settings["model_type"]
    return _with_floats(settings, CONFIG_MAPPING[model_type]) if model_type in CONFIG_MAPPING else settings


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_floats(settings: dict[str, Any], config_class: Any) -> dict[str, Any]:
    types = {field.name: field.type for field in dataclasses.fields(config_class)}

    def declared(name: str, value: Any) -> Any:
        part = config_class.sub_configs.get(name)
        if isinstance(value, dict) and dataclasses.is_dataclass(part):
            return _with_floats(value, part)
        return _as_declared(value, types.get(name))

    return {name: declared(name, value) for name, value in settings.items()}


def _as_declared(value: Any, kind: Any) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, list):
        item = next((get_args(each)[0] for each in kinds if get_origin(each) is list), None)
        return [_as_declared(each, item) for each in value]
    return float(value) if type(value) is int and float in kinds and int not in kinds else value
