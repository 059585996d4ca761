"""Writing files so that they are there after a crash."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Less than this is none: what does not fit is larger.
_FULL_BYTES = 1 << 20


@contextmanager
def full_disk_as_such(folder: Path) -> Iterator[None]:
    """
    Around libraries that write into the folder: where the disk is full, torch says "unexpected pos", and safetensors
    what the system says. Raises OSError ENOSPC then.
    """
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        says_so = re.search(r"no space left|os error 28\b", str(error), re.IGNORECASE)
        if says_so or shutil.disk_usage(folder).free < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def sync(path: Path) -> None:
    """Makes a file's content durable, or the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> int:
    """Makes every file below a folder durable. Returns their size in bytes."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            sync(path)
            total += path.stat().st_size
        sync(Path(parent))
    return total


def write_file(path: Path, data: str) -> None:
    """Writes a file that is either not there or complete."""
    draft = path.with_name(path.name + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_file(path, json.dumps(value))
