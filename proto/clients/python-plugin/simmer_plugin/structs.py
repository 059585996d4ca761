"""JSON on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2


def struct_of(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """JSON for the wire."""
    return json_format.ParseDict(dict(values), struct_pb2.Struct())
