"""What calls are refused with."""

import grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Refusal(Exception):
    """A call that cannot be served: a status, a stable code for programs, a message for people."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
