"""simmer.grader.v1 over gRPC."""

from __future__ import annotations

import hmac
import platform
from concurrent import futures
from importlib import metadata
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from . import __version__
from .generated.simmer.grader.v1 import grader_pb2 as pb
from .generated.simmer.grader.v1 import grader_pb2_grpc
from .pool import Question, WorkerPool, WorkerStartError

SERVICE = "simmer.grader.v1.GraderService"

_MAXIMUM_ITEMS = 1024
_DEFAULT_MILLISECONDS = 10_000
_DISTRIBUTIONS = ("math-verify", "latex2sympy2-extended", "antlr4-python3-runtime", "sympy", "grpcio", "protobuf")


class GraderServicer(grader_pb2_grpc.GraderServiceServicer):  # type: ignore[misc]
    """Grades by math-verify, in the workers of a pool."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeResponse:
        versions = {name: metadata.version(name) for name in _DISTRIBUTIONS}
        return pb.DescribeResponse(
            name="math-verify", version=__version__, versions={"python": platform.python_version(), **versions}
        )

    def Grade(self, request: pb.GradeRequest, context: grpc.ServicerContext) -> pb.GradeResponse:
        if len(request.items) > _MAXIMUM_ITEMS:
            _abort(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "request_invalid",
                f"{len(request.items)} items; a request has at most {_MAXIMUM_ITEMS}.",
            )
        seconds = (request.timeout_milliseconds or _DEFAULT_MILLISECONDS) / 1000
        questions = [Question(item.gold, item.answer) for item in request.items]
        try:
            verdicts = self._pool.compare_all(questions, seconds, lambda: not context.is_active())
        except WorkerStartError as error:
            _abort(context, grpc.StatusCode.UNAVAILABLE, "worker_failed", str(error))
        if len(verdicts) < len(questions):
            _abort(context, grpc.StatusCode.CANCELLED, "canceled", "The call was canceled.")
        return pb.GradeResponse(
            grades=[
                pb.Grade(
                    id=item.id,
                    verdict=f"VERDICT_{found.verdict}",
                    parsed_answer=found.parsed_answer,
                    parsed_gold=found.parsed_gold,
                    explanation=found.explanation,
                )
                for item, found in zip(request.items, verdicts, strict=True)
            ]
        )


def _abort(context: grpc.ServicerContext, status: grpc.StatusCode, code: str, message: str) -> NoReturn:
    context.set_trailing_metadata((("simmer-error-code", code),))
    context.abort(status, message)
    raise AssertionError


class _TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

        def refuse(_: Any, context: grpc.ServicerContext) -> NoReturn:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call carries no valid token.")
            raise AssertionError

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        given = dict(details.invocation_metadata).get("authorization", "")
        if hmac.compare_digest(str(given).encode(), self._expected):
            return continuation(details)
        return self._refusal


def serve(address: str, token: str | None, pool: WorkerPool) -> tuple[grpc.Server, str]:
    """Starts to serve; returns the server, and the address that it listens on. Does not block."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="call"),
        interceptors=[] if token is None else [_TokenCheck(token)],
        options=[
            ("grpc.max_receive_message_length", 64 * 2**20),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    grader_pb2_grpc.add_GraderServiceServicer_to_server(GraderServicer(pool), server)
    checks = health.HealthServicer()
    for name in ("", SERVICE):
        checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, address if address.startswith("unix:") else f"{address.rsplit(':', 1)[0]}:{port}"
