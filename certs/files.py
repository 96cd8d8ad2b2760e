"""Identities on disk, under the names that a Kubernetes Secret of type TLS gives them."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from certs.authority import Pair
from certs.identity import Identity, fault_of, new_identity

# One that ends within a day would leave no time to notice.
RENEWED_AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Paths:
    """Where an identity lies."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def within(cls, directory: Path) -> "Paths":
        """Return the paths inside ``directory``."""
        return cls(directory / "ca.crt", directory / "tls.crt", directory / "tls.key")


def write_identity(directory: Path, ca: bytes, pair: Pair) -> Paths:
    """Write the authority's certificate and the pair into ``directory``, made when absent.

    Each file appears whole or not at all, the key with mode 0600. Between the key
    and the certificate is a moment in which they do not match: who reloads keeps
    what it had. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = Paths.within(directory)
    _write(paths.ca, ca, 0o644)
    _write(paths.key, pair.key, 0o600)
    _write(paths.certificate, pair.certificate, 0o644)
    return paths


def ensure_self_signed(
    directory: Path, names: Sequence[str], *, now: datetime | None = None
) -> Paths:
    """Return an identity for ``names`` in ``directory``: the one that is there, or a new one.

    What is there stays when it holds for another day, covers the names, was
    signed by the ``ca.crt`` beside it and has its key. A new one has a new
    authority, whose key is thrown away: caBundle has to be set anew. Two
    processes do not write at once. Raises OSError, and ValueError for a bad name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        paths = Paths.within(directory)
        if _usable(paths, names, now):
            return paths
        identity = new_identity(names, now=now)
        return write_identity(directory, identity.ca, identity.pair)


def read_identity(directory: Path) -> Identity:
    """Return the identity in ``directory`` as it lies there, whole or not. Raises OSError."""
    paths = Paths.within(directory)
    pair = Pair(paths.certificate.read_bytes(), paths.key.read_bytes())
    return Identity(paths.ca.read_bytes(), pair)


def _usable(paths: Paths, names: Sequence[str], now: datetime | None) -> bool:
    try:
        identity = read_identity(paths.ca.parent)
    except OSError:
        return False
    return fault_of(identity, names, now=now, ahead=RENEWED_AHEAD) is None


def _write(path: Path, content: bytes, mode: int) -> None:
    # mkstemp makes the file with 0600: the key is never readable by others, not for a moment.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
