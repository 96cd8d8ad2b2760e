"""The lab's name service: what the open cases say, and "no such name" for all else."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from ipaddress import ip_address

ADDRESS = "127.0.0.53"
PORT = 53

Answer = str | list[str]

_CODES = {"empty": 0, "servfail": 2, "nxdomain": 3, "refused": 5}
_TYPES = {1: 4, 28: 6}


class NameServer:
    """Answers A and AAAA over UDP from a table that cases write to while they run."""

    def __init__(self) -> None:
        self._table: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((ADDRESS, PORT))
        threading.Thread(target=self._serve, daemon=True, name="names").start()

    def add(self, names: dict[str, Answer]) -> None:
        with self._lock:
            self._table.update({name.lower().rstrip("."): told for name, told in names.items()})

    def remove(self, names: dict[str, Answer]) -> None:
        with self._lock:
            for name in names:
                self._table.pop(name.lower().rstrip("."), None)

    def _serve(self) -> None:
        while True:
            query, peer = self._sock.recvfrom(4096)
            with suppress(ValueError, IndexError, struct.error):
                answer = self._answer(query)
                if answer is not None:
                    self._sock.sendto(answer, peer)

    def _answer(self, query: bytes) -> bytes | None:
        number, flags, _, _, _, _ = struct.unpack("!6H", query[:12])
        name, end = _name(query)
        kind = struct.unpack("!H", query[end : end + 2])[0]
        question = query[12 : end + 4]
        with self._lock:
            told = self._table.get(name, "nxdomain")
        if told == "silent":
            return None
        code = _CODES[told] if isinstance(told, str) else 0
        records = b""
        count = 0
        for text in told if isinstance(told, list) else []:
            address = ip_address(text)
            if _TYPES.get(kind) == address.version:
                packed = address.packed
                records += struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed
                count += 1
        head = struct.pack("!6H", number, 0x8080 | (flags & 0x0100) | code, 1, count, 0, 0)
        return head + question + records


def _name(query: bytes) -> tuple[str, int]:
    at = 12
    labels = []
    while (length := query[at]) != 0:
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1"))
        at += length + 1
    return ".".join(labels).lower(), at + 1
