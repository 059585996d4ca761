"""`python -m simmer_grader`: serves simmer.grader.v1 as the environment says; see grader.proto."""

from __future__ import annotations

import os
import signal
import sys
import threading


def main() -> int:
    address = os.environ.get("SIMMER_GRADER_ADDRESS")
    token = os.environ.get("SIMMER_GRADER_TOKEN") or None
    if not address:
        print(
            "SIMMER_GRADER_ADDRESS is not set: this program is started by Simmer, or as grader.proto says.",
            file=sys.stderr,
        )
        return 2
    if token is None and not address.startswith("unix:"):
        print("SIMMER_GRADER_TOKEN is not set: over TCP anyone could call.", file=sys.stderr)
        return 2

    # stdout belongs to the handshake alone: whatever a library prints goes to stderr.
    handshake = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    from .pool import WorkerPool
    from .server import serve

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    pool = WorkerPool()
    try:
        server, served = serve(address, token, pool)
        os.write(handshake, f"SIMMER-GRADER|1|1|{served}\n".encode())
        os.close(handshake)
        threading.Thread(target=_wait_for_end_of_stdin, args=(ended,), name="stdin", daemon=True).start()
        ended.wait()
        server.stop(grace=None)
    finally:
        pool.close()
    sys.stderr.flush()
    # Calls that still wait for a worker have nobody to answer to.
    os._exit(0)


def _wait_for_end_of_stdin(ended: threading.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        ended.set()


sys.exit(main())
