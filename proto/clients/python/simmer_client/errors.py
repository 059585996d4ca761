"""What goes wrong, with the server's stable codes."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from simmer_client.generated.simmer.control.v1 import control_pb2 as pb

_DETAILS_KEY = "grpc-status-details-bin"
_DETAIL_TYPE = b"type.googleapis.com/simmer.control.v1.ErrorDetail"
#: More problems than this are counted, not listed, in an error's text.
_PROBLEMS_SHOWN = 10
#: What to do about an error that is not a server's own.
_HINTS = {
    "unauthenticated": "give the token of the server: token=..., or SIMMER_SERVER_TOKEN",
    "unavailable": "is `simmer serve` running there? With TLS, give the authority of its certificate: tls=..., "
    "or SIMMER_SERVER_CA",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a recipe."""

    code: str
    message: str
    #: From 1; None where it is nowhere in the text.
    line: int | None
    column: int | None
    path: str | None
    hint: str | None
    #: The recipe's; None where `line` is.
    file: str | None = None

    def __str__(self) -> str:
        """As the command line prints it: its place, or the key where it has none, and what to do about it."""
        place = self.path if self.line is None else f"{self.file}:{self.line}:{self.column}"
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class SimmerError(Exception):
    """A call that failed. `code` is stable: "invalid_recipe", "run_not_found", "unauthenticated".

    Its text has the first ten of the problems, `problems` has all.
    """

    def __init__(self, code: str, message: str, hint: str | None = None, problems: tuple[Problem, ...] = ()) -> None:
        listed = [str(problem) for problem in problems[:_PROBLEMS_SHOWN]]
        left = len(problems) - len(listed)
        more = [f"… and {left} more"] if left else []
        super().__init__("\n".join([f"{message} (hint: {hint})" if hint else message, *listed, *more]))
        self.code = code
        self.message = message
        self.hint = hint
        self.problems = problems


def problem_of(message: pb.Problem) -> Problem:
    """A problem off the wire."""
    place = message.position if message.HasField("position") else None
    return Problem(
        code=message.code,
        message=message.message,
        line=place.line if place else None,
        column=place.column if place else None,
        path=message.path if message.HasField("path") else None,
        hint=message.hint if message.HasField("hint") else None,
        file=place.file if place else None,
    )


def is_lost(error: grpc.RpcError) -> bool:
    """Whether the connection broke, or the server is being started: the call may be made again."""
    return bool(error.code() == grpc.StatusCode.UNAVAILABLE)


def error_of(error: grpc.RpcError) -> SimmerError:
    """A failed call as our own error; google.rpc.Status is read for the detail that is ours."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            detail = _detail_in(value)
            if detail is not None:
                hint = detail.hint if detail.HasField("hint") else None
                problems = tuple(problem_of(problem) for problem in detail.problems)
                return SimmerError(detail.code, detail.message, hint, problems)
    code = error.code().name.lower()
    return SimmerError(code, error.details() or "the call failed", _HINTS.get(code))


def _detail_in(status: bytes) -> pb.ErrorDetail | None:
    """google.rpc.Status: details = 3 (google.protobuf.Any: type_url = 1, value = 2)."""
    for field, value in _fields(status):
        if field == 3:
            found = dict(_fields(value))
            if found.get(1) == _DETAIL_TYPE:
                return pb.ErrorDetail.FromString(found.get(2, b""))
    return None


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a message; numbers are passed over."""
    fields = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 2:
            length = varint()
            fields.append((tag >> 3, message[at : at + length]))
            at += length
        else:
            varint()
    return fields
