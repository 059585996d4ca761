"""`python -m simmer_grader.worker FD`: compares what a socket asks for, until it closes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .comparison import Comparison

#: How many times its limit of processor time a comparison may take: what else the machine does decides no verdict.
PATIENCE = 4

#: A comparison that needs more would take the machine's memory, not only its own.
_MEMORY_BYTES = 4 * 2**30


def main(descriptor: int) -> int:
    connection = Connection(descriptor)
    # Ctrl-C is the server's to handle; it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Not every system knows the limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    # Its warning says that somebody else must keep the time limit: the pool does.
    logging.getLogger("math_verify").setLevel(logging.ERROR)

    from .comparison import warm_up

    warm_up()
    # The pool may be gone at any time: then there is nothing left to do.
    with contextlib.suppress(EOFError, ConnectionError):
        connection.send_bytes(b"ready")
        while True:
            request = json.loads(connection.recv_bytes())
            answer = json.dumps(asdict(_answer(request["gold"], request["answer"], request["seconds"])))
            connection.send_bytes(answer.encode())
    return 0


def _answer(gold: str, answer: str, seconds: float) -> Comparison:
    from .comparison import Comparison, compare

    # The kernel ends this process at the limit, and a little after the pool would have, where that is gone: the default
    # action of these signals needs no Python to run, so that not even one long multiplication outlives it.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds + 2)
    try:
        return compare(gold, answer)
    except MemoryError:
        return Comparison("UNPARSED", "The comparison needs too much memory.")
    except RecursionError:
        return Comparison("UNPARSED", "The expressions are nested too deeply.")
    except Exception as error:
        return Comparison("UNPARSED", f"math-verify failed: {type(error).__name__}.")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    code = main(int(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)
