"""What all calls of Simmer's have in common: options, and errors for users."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import json_format
from pydantic import BaseModel, ValidationError

from simmer_plugin.errors import UserError

CallT = TypeVar("CallT", bound=Callable[..., Any])


def options_of(model: type[BaseModel], given: Any, context: grpc.ServicerContext) -> BaseModel:
    """The options of a request as the contribution's own model; refuses those that do not fit."""
    values: Mapping[str, Any] = json_format.MessageToDict(given)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        abort(context, grpc.StatusCode.INVALID_ARGUMENT, "invalid_options", str(error))


def abort(
    context: grpc.ServicerContext, status: grpc.StatusCode, code: str, message: str, hint: str | None = None
) -> NoReturn:
    """Ends a call with an error. code: stable, snake_case."""
    hints = () if hint is None else (("simmer-error-hint-bin", hint.encode()),)
    context.set_trailing_metadata((("simmer-error-code", code), *hints))
    context.abort(status, message)
    raise AssertionError


def answering(call: CallT) -> CallT:
    """A call whose UserError ends it with the error's code and hint."""

    @functools.wraps(call)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(self, request, context)
        except UserError as error:
            abort(context, grpc.StatusCode.FAILED_PRECONDITION, error.code, error.message, error.hint)

    return answer  # type: ignore[return-value]
