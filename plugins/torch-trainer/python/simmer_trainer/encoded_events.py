"""Watchers are sent events as the journal keeps them: encoded once, when they were written."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from simmer_trainer.generated.simmer.trainer.v1 import trainer_pb2 as pb

_WATCH = "/simmer.trainer.v1.TrainerService/Watch"
# Of a field that is a message, by its number.
_TAG = bytes([pb.WatchResponse.EVENTS_FIELD_NUMBER << 3 | 2])


class EncodedEvents(grpc.ServerInterceptor):  # type: ignore[misc]
    """Takes what Watch yields for responses that are encoded already."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if details.method != _WATCH:
            return handler
        return grpc.unary_stream_rpc_method_handler(handler.unary_stream, handler.request_deserializer)


def watch_response(events: Sequence[bytes]) -> bytes:
    """A WatchResponse, encoded. @param events TrainerEvents, encoded"""
    return b"".join(part for event in events for part in (_head(len(event)), event))


@functools.lru_cache(maxsize=1024)
def _head(size: int) -> bytes:
    """Tag and length of an event of so many bytes; the length in groups of seven bits, the lowest first."""
    head = bytearray(_TAG)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
