"""The files behind a registry's hosts, and whether they still are what they were.

Whatever is looked at is remembered with how it stood, so that a later look needs
no more than a ``stat`` of each to know that nothing has changed.
"""

import errno
import os
import stat
from dataclasses import dataclass, field

MOST_BYTES = 1 << 20
"""Only so much of a file is read; containerd reads on, into memory."""

_INVALID = OSError(errno.EINVAL, os.strerror(errno.EINVAL))
"""What Go says of a path with a NUL in it; Python raises ValueError."""
Stamp = tuple[int, ...]
"""What of a file changes when it does, or the number of the error of looking at it."""


@dataclass(slots=True)
class Disk:
    """Looks at files and remembers at which, and how they stood."""

    stamps: dict[str, Stamp] = field(default_factory=dict)

    def exists(self, path: str) -> bool:
        """Tell whether something is there. Raises OSError where that cannot be told."""
        found = _stat(path)
        self.stamps[path] = _stamp(found)
        if isinstance(found, FileNotFoundError):
            return False
        if isinstance(found, OSError):
            raise found
        return True

    def read(self, path: str) -> bytes:
        """Return the first ``MOST_BYTES`` of a file. Raises OSError.

        Pipes and sockets are errors here: they would keep containerd waiting.
        """
        self.exists(path)
        try:
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except ValueError as error:
            raise _INVALID from error
        try:
            return _read(opened)
        finally:
            os.close(opened)

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder that are no folders, sorted by their bytes.

        Empty where there is no such folder. Raises OSError.
        """
        if not self.exists(folder):
            return []
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        return sorted(found, key=os.fsencode)

    def is_as_it_was(self) -> bool:
        """Tell whether all that was looked at stands as it did."""
        return all(_stamp(_stat(path)) == stamp for path, stamp in self.stamps.items())


def _stat(path: str) -> os.stat_result | OSError:
    try:
        return os.stat(path)  # noqa: PTH116 - pathlib would tidy the path up first
    except OSError as error:
        return error
    except ValueError:
        return _INVALID


def _stamp(found: os.stat_result | OSError) -> Stamp:
    if isinstance(found, OSError):
        return (found.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(opened: int) -> bytes:
    if stat.S_ISFIFO(os.fstat(opened).st_mode):
        raise OSError(errno.EAGAIN, "a pipe, not a file")
    gathered = bytearray()
    while len(gathered) < MOST_BYTES:
        got = os.read(opened, MOST_BYTES - len(gathered))
        if not got:
            break
        gathered += got
    return bytes(gathered)
