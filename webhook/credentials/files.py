"""Files of a node, read within bounds: no device and no pipe, and no more than so many bytes."""

import os
import stat
from pathlib import Path
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int, int]


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file does, also behind a link. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 - one call, for a file that is looked at at every pull
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_file(path: Path, most: int) -> bytes:
    """Return all that a file holds. Raises OSError, also for more than ``most`` bytes."""
    # Opening a pipe that nobody writes to would wait for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, "Is a directory" if stat.S_ISDIR(mode) else "Is not a regular file")
        raw = stream.read(most + 1)
    if len(raw) > most:
        raise OSError(0, f"Has more than {most} bytes")
    return raw
