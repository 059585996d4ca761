"""
Points of a save at which a test may hold the trainer still, to kill it just there. Without SIMMER_TRAINER_PAUSE_AT, as
everywhere but in tests, a point does nothing.

SIMMER_TRAINER_PAUSE_AT     POINT, or POINT#N for the Nth time that the process comes by it
SIMMER_TRAINER_PAUSE_FILE   a file that is made where the trainer stands still; it goes on when the file is removed
"""

import os
import time
from collections import Counter
from pathlib import Path

_POLL_SECONDS = 0.01
_passed: Counter[str] = Counter()


def pause_point(name: str) -> None:
    """Stands still here where a test asked for it."""
    asked, _, ordinal = os.environ.get("SIMMER_TRAINER_PAUSE_AT", "").partition("#")
    if asked != name:
        return
    _passed[name] += 1
    if _passed[name] != int(ordinal or 1):
        return
    file = Path(os.environ["SIMMER_TRAINER_PAUSE_FILE"])
    file.touch()
    while file.exists():
        time.sleep(_POLL_SECONDS)
