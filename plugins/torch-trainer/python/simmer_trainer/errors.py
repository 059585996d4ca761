"""What can go wrong, in two families: a request that cannot be served, and a training attempt that failed."""

from collections.abc import Sequence

import grpc


class RequestError(Exception):
    """A call is refused: `status` and `message` for the caller, `code` stable for programs."""

    def __init__(self, status: grpc.StatusCode, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def invalid(code: str, message: str) -> RequestError:
    """The request can never succeed as it is."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, code, message)


def refused(code: str, message: str) -> RequestError:
    """The request cannot succeed as things stand."""
    return RequestError(grpc.StatusCode.FAILED_PRECONDITION, code, message)


class TrainingError(Exception):
    """Ends an attempt as TrainingFailed."""

    def __init__(
        self, code: str, message: str, *, row_ids: Sequence[str] = (), retryable: bool = False, batch_file: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.row_ids = tuple(row_ids)
        self.retryable = retryable
        # What was saved about the step that failed.
        self.batch_file = batch_file


class AttemptStopped(Exception):
    """Unwinds a training job that was told to stop at once."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch, or of Python itself, means that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorOutOfMemoryError"):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


def shorten(names: Sequence[str], limit: int = 5) -> str:
    """The first few of a list of names, and how many more there are."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def cause_of(error: BaseException) -> BaseException:
    """Of a checkpoint that failed on some ranks, what failed on the first of them."""
    failures = getattr(error, "failures", None)
    if type(error).__name__ != "CheckpointException" or not failures:
        return error
    first: BaseException = failures[min(failures)][0]
    return first
