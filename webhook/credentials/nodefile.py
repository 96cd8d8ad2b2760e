"""The docker config of the node itself, as the kubelet reads it.

Reproduces ``ReadDockerConfigFile`` of ``pkg/credentialprovider/config.go`` (1.37) for the
one file that is named: a ``.dockercfg`` is the flat map, anything else a ``config.json``.
A file that does not decode holds nothing, and the kubelet says so nowhere. It reads
again after five minutes; here, whenever the file has changed.
"""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from webhook.credentials.dockerconfig import Undecodable, docker_config_json, dockercfg
from webhook.credentials.files import Stamp, read_file, stamp_of
from webhook.credentials.keyring import Keyring, keyring_of_entries

MAX_BYTES = 16 << 20
"""Bytes of the file that are read; the kubelet has no limit."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file is not there, or cannot be read: what the node has is not known here."""

    why: str


class NodeDockerConfig:
    """A node's docker config file; may be used from many threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_dockercfg = path.name.endswith(".dockercfg")
        self.source = "node/.dockercfg" if self._is_dockercfg else "node/config.json"
        self._lock = threading.Lock()
        self._read: tuple[Stamp, Keyring] | None = None
        self._told = ""

    def keyring(self) -> Keyring | Unreadable:
        """Return what the file holds now; never raises."""
        with self._lock:
            try:
                stamp = stamp_of(self._path)
                if self._read is None or self._read[0] != stamp:
                    self._read = stamp, self._decoded()
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "no path"
                return self._unreadable(f"{self._path} cannot be read: {why}")
            self._told = ""
            return self._read[1]

    def _unreadable(self, why: str) -> Unreadable:
        if why != self._told:
            self._told = why
            logger.warning("nodes' credentials are not known: %s", why)
        return Unreadable(why)

    def _decoded(self) -> Keyring:
        raw = read_file(self._path, MAX_BYTES)
        entries = dockercfg(raw) if self._is_dockercfg else docker_config_json(raw)
        if isinstance(entries, Undecodable):
            logger.warning("%s is passed over, as the kubelet does: it does not decode", self._path)
            entries = ()
        return keyring_of_entries([(self.source, entries)])
