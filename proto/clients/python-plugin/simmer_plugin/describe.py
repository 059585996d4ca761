"""A plugin as Describe tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2
from pydantic import BaseModel

from simmer_plugin.generated.simmer.plugin.v1 import artifact_pb2, hook_pb2, launcher_pb2, trainer_pb2
from simmer_plugin.generated.simmer.plugin.v1 import plugin_pb2 as pb
from simmer_plugin.planning import resources_message
from simmer_plugin.plugin import Plugin, Port, StageEntry
from simmer_plugin.structs import struct_of
from simmer_plugin.trainers import TrainerEntry

_HOOKS = {
    "before_plan": hook_pb2.HOOK_BEFORE_PLAN,
    "after_plan": hook_pb2.HOOK_AFTER_PLAN,
    "around_stage": hook_pb2.HOOK_AROUND_STAGE,
    "on_event": hook_pb2.HOOK_ON_EVENT,
}


def description_of(plugin: Plugin) -> pb.DescribeResponse:
    """What the plugin contributes."""
    return pb.DescribeResponse(
        name=plugin.name,
        version=plugin.version,
        stages=[_stage(name, entry) for name, entry in plugin.stages.items()],
        trainers=[_trainer(name, entry) for name, entry in plugin.trainers.items()],
        launchers=[
            launcher_pb2.LauncherDescription(
                name=name,
                description=entry.description,
                options_schema=_schema(entry.options),
                has_resolve=entry.reach is not None or entry.processes is not None,
            )
            for name, entry in plugin.launchers.items()
        ],
        graders=[
            pb.GraderDescription(
                name=name,
                description=entry.description,
                options_schema=_schema(entry.options),
                has_estimate=entry.estimate is not None,
                grades_without_gold=not entry.needs_gold,
            )
            for name, entry in plugin.graders.items()
        ],
        sinks=[
            pb.SinkDescription(name=name, description=entry.description, options_schema=_schema(entry.options))
            for name, entry in plugin.sinks.items()
        ],
        hooks=[code for name, code in _HOOKS.items() if getattr(plugin.hooks, name) is not None],
    )


def _stage(name: str, entry: StageEntry) -> pb.StageDescription:
    needed = entry.resources
    return pb.StageDescription(
        name=name,
        description=entry.description,
        options_schema=_schema(entry.options),
        inputs=[
            pb.InputDescription(
                name=port_name,
                description=port.description,
                types=[_type(kind) for kind in port.types],
                optional=port.is_optional,
                many=port.is_many,
            )
            for port_name, port in entry.inputs.items()
        ],
        outputs=[_output(port_name, port) for port_name, port in entry.outputs.items()],
        resources=None if callable(needed) else resources_message(needed),
        # What the model's own validators find is not in its schema.
        has_check=entry.check is not None or bool(entry.options.model_fields),
        resolves_resources=callable(needed),
        has_estimate=entry.estimate is not None,
    )


def _trainer(name: str, entry: TrainerEntry) -> trainer_pb2.TrainerDescription:
    needed = entry.resources
    return trainer_pb2.TrainerDescription(
        name=name,
        description=entry.description,
        options_schema=_schema(entry.options),
        resources=None if callable(needed) else resources_message(needed),
        resolves_resources=callable(needed),
        has_estimate=entry.estimate is not None,
        gpus_per_process=entry.gpus_per_process,
        extensions_schema=None if entry.extensions is None else _extensions(entry.extensions),
        calibration=[
            trainer_pb2.CalibrationRun(
                run=each.run,
                source=each.source,
                is_fit=each.is_fit,
                unit=each.unit,
                predicted=each.predicted,
                published=each.published,
            )
            for each in entry.calibration
        ],
    )


def _output(name: str, port: Port) -> pb.OutputDescription:
    return pb.OutputDescription(name=name, description=port.description, type=_type(port.types[0]))


def _type(kind: str) -> Any:
    return artifact_pb2.ArtifactType.Value(f"ARTIFACT_TYPE_{kind.upper()}")


def _extensions(extensions: type[BaseModel]) -> struct_pb2.Struct:
    """Keys that pydantic would pass over are wrong in a recipe."""
    schema = _schema(extensions)
    if "additionalProperties" not in schema.fields:
        schema.update({"additionalProperties": False})
    return schema


def _schema(options: type[BaseModel]) -> struct_pb2.Struct:
    schema = options.model_json_schema()
    properties: Mapping[str, Any] = schema.get("properties", {})
    return struct_of({**schema, "properties": {name: _property(each) for name, each in properties.items()}})


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    """A grader's choice is Simmer's own; titles are pydantic's, and say nothing that the name does not."""
    if "x-simmer-grader" in schema:
        return {key: schema[key] for key in ("description", "x-simmer-grader") if key in schema}
    return {key: value for key, value in schema.items() if key != "title"}
