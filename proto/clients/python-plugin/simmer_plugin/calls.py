"""What all calls of Simmer's have in common: options, and errors for users."""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import json_format
from pydantic import BaseModel, ValidationError

from simmer_plugin.errors import UserError

CallT = TypeVar("CallT", bound=Callable[..., Any])
EntryT = TypeVar("EntryT")


def entry_of(entries: Mapping[str, EntryT], kind: str, name: str, context: grpc.ServicerContext) -> EntryT:
    """A contribution of the plugin by its name. kind: what such a one is called, e.g. "stage"."""
    entry = entries.get(name)
    if entry is None:
        abort(context, grpc.StatusCode.NOT_FOUND, f"unknown_{kind}", f"There is no {kind} {name!r}.")
    return entry


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
    hints = () if hint is None else (("simmer-error-hint-bin", sendable(hint).encode()),)
    context.set_trailing_metadata((("simmer-error-code", code), *hints))
    end(context, status, sendable(message))


class Ended(Exception):
    """The call was ended with an error, which Simmer has. Let it pass."""


def end(context: grpc.ServicerContext, status: grpc.StatusCode, message: str) -> NoReturn:
    """Ends a call with an error that needs no code."""
    # What grpc raises here can not be told from what a plugin raises.
    with contextlib.suppress(Exception):
        context.abort(status, message)
    raise Ended(message)


def answering(call: CallT) -> CallT:
    """A call whose UserError ends it with the error's code and hint, any other with what and where it was.

    The traceback of such a one goes to stderr.
    """

    @functools.wraps(call)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(self, request, context)
        except UserError as error:
            abort(context, grpc.StatusCode.FAILED_PRECONDITION, error.code, error.message, error.hint)
        except Ended:
            raise
        except BaseException as error:
            # sys.exit, too, would end no more than this thread, and leave the call without an answer.
            traceback.print_exc()
            abort(context, grpc.StatusCode.UNKNOWN, "plugin_raised", described(error))

    return answer  # type: ignore[return-value]


def sendable(text: object) -> str:
    """Text that a message can hold. Half a character, as of a file's name that is no UTF-8, is escaped."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def said_by(error: BaseException) -> str:
    """What was raised, in words: "ValueError: boom"."""
    if isinstance(error, SystemExit):
        return sendable(f"it called sys.exit({error.code!r}): return when all is done, raise an error when it is not")
    try:
        return sendable(f"{type(error).__name__}: {error}")
    except Exception:
        return f"{type(error).__name__}, which cannot say what it is"


def described(error: BaseException) -> str:
    """What was raised, and where in the plugin's own code: "ValueError: boom (logger.py:22)"."""
    own = Path(__file__).parent
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent != own]
    # The last one of the program that was started: what it calls is mostly a library's.
    program = [frame for frame in frames if frame.filename == getattr(sys.modules["__main__"], "__file__", None)]
    said = said_by(error)
    where = (program or frames)[-1:]
    return f"{said} ({Path(where[0].filename).name}:{where[0].lineno})" if where else said
