"""How long the trainer lives without a core."""

import threading
import time


class Lease:
    """A deadline that is pushed back by whoever needs this process; monotonic, so that no change of clocks ends it."""

    def __init__(self, seconds: float) -> None:
        self.default_seconds = seconds
        self._lock = threading.Lock()
        self._ends = time.monotonic() + seconds

    def renew(self, seconds: float | None) -> float:
        """Grants so many seconds from now (none: as at start-up). Returns when the lease ends, as time.time()."""
        granted = self.default_seconds if seconds is None else seconds
        with self._lock:
            self._ends = time.monotonic() + granted
        return time.time() + granted

    def seconds_left(self) -> float:
        with self._lock:
            return self._ends - time.monotonic()
