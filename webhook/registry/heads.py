"""The head of an HTTP/1 answer, read as Go reads it, which is what containerd goes by.

Rules: ``http.ReadResponse`` and ``readTransfer`` of ``net/http`` and ``ReadMIMEHeader``
of ``net/textproto``, Go 1.26: bare line ends, folded lines, header names with spaces and
any status of three digits are taken; a malformed line ends the conversation.
"""

import re
from dataclasses import dataclass

MOST_HEAD = 1024 * 1024
"""Bytes of one answer's heads that are read; Go itself reads ten times as many."""

_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) +([0-9]{3})(?: .*)?", re.DOTALL)
_NAME = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z ]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_MOST_LENGTH = 2**63 - 1
_INFORMATION = range(100, 200)
_SWITCHING = 101
_BODYLESS = frozenset({204, 304})

Headers = tuple[tuple[str, str], ...]


class MalformedError(Exception):
    """What came is no head that Go would take."""


class TooLargeError(Exception):
    """The head is larger than we read: nothing is known of the answer."""


@dataclass(frozen=True, slots=True)
class Head:
    """One head; names of headers are in lower case.

    ``length`` is how many bytes of body follow, None: as chunked says, else until the
    end of the connection. ``close``: the connection serves no other request.
    """

    status: int
    headers: Headers
    length: int | None
    chunked: bool
    close: bool

    @property
    def plain(self) -> bytes:
        """Return a head of the same framing that any parser reads alike."""
        lines = [b"HTTP/1.1 200 OK"]
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif self.length is not None:
            lines.append(b"Content-Length: %d" % self.length)
        if self.close:
            lines.append(b"Connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"


class HeadReader:
    """Takes bytes as they come until the head of the final answer to ``method`` stands."""

    def __init__(self, method: bytes) -> None:
        self._method = method
        self._buffer = bytearray()
        self._looked = 0
        self._left = MOST_HEAD
        self._started = False

    @property
    def promising(self) -> bool:
        """Tell whether an end here would be one of the connection alone, not of grammar."""
        if not self._started:
            return not self._buffer or bool(_STATUS_LINE.fullmatch(self._buffer))
        # Go takes what came of the last line for a whole one.
        lines = bytes(self._buffer).removesuffix(b"\n").split(b"\n")[1:]
        try:
            _headers(lines)
        except MalformedError:
            return False
        return True

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Return the head and what came behind it, None while more is needed."""
        self._buffer += data
        while True:
            if not self._started:
                self._start()
            end = _END.search(self._buffer, max(0, self._looked - 2))
            self._looked = len(self._buffer)
            if (end.start() if end else self._looked) > self._left:
                raise TooLargeError
            if end is None:
                return None
            head = _head(bytes(self._buffer[: end.start()]), self._method)
            self._left -= end.end()
            rest = bytes(self._buffer[end.end() :])
            if head.status not in _INFORMATION or head.status == _SWITCHING:
                return head, rest
            self._buffer, self._looked, self._started = bytearray(rest), 0, False

    def _start(self) -> None:
        line, end, _ = self._buffer.partition(b"\n")
        if end:
            self._started = True
            _status_line(bytes(line))


def _head(raw: bytes, method: bytes) -> Head:
    lines = raw.split(b"\n")
    major, minor, status = _status_line(lines[0])
    headers = _headers(lines[1:])
    connection = {
        token.strip(" \t").lower()
        for name, value in headers
        if name == "connection"
        for token in value.split(",")
    }
    close = "close" in connection or major < 1
    if (major, minor) == (1, 0):
        close = close or "keep-alive" not in connection
    chunked = (major, minor) >= (1, 1) and _is_chunked(headers)
    headers = [(name, value) for name, value in headers if name != "transfer-encoding"]
    length = _length(headers)
    if method == b"HEAD" or status in _INFORMATION or status in _BODYLESS:
        ends = close or status == _SWITCHING
        return Head(status, tuple(headers), 0, chunked=False, close=ends)
    if chunked:
        headers = [(name, value) for name, value in headers if name != "content-length"]
        length = None
    elif length is None:
        close = True
    return Head(status, tuple(headers), length, chunked=chunked, close=close)


def _status_line(line: bytes) -> tuple[int, int, int]:
    match = _STATUS_LINE.fullmatch(line.removesuffix(b"\r"))
    if match is None:
        raise MalformedError
    return int(match[1]), int(match[2]), int(match[3])


def _headers(lines: list[bytes]) -> list[tuple[str, str]]:
    unfolded: list[bytearray] = []
    for raw in lines:
        line = raw.removesuffix(b"\r")
        if line[:1] not in (b" ", b"\t"):
            if b":" not in line:
                raise MalformedError
            unfolded.append(bytearray(line.strip(b" \t")))
        elif unfolded:
            unfolded[-1] += b" " + line.strip(b" \t")
        else:
            raise MalformedError
    return [_header(bytes(line)) for line in unfolded]


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.partition(b":")
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise MalformedError
    return name.decode("ascii").lower(), _text(value.lstrip(b" \t"))


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_chunked(headers: list[tuple[str, str]]) -> bool:
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if codings and (len(codings) > 1 or codings[0].lower() != "chunked"):
        raise MalformedError
    return bool(codings)


def _length(headers: list[tuple[str, str]]) -> int | None:
    """Return what Content-Length says; the same one said twice is said once."""
    lengths = {value.strip(" \t\r\n") for name, value in headers if name == "content-length"}
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not _DIGITS.fullmatch(length):
        raise MalformedError
    digits = length.lstrip("0") or "0"
    if len(digits) > len(str(_MOST_LENGTH)) or int(digits) > _MOST_LENGTH:
        raise MalformedError
    return int(digits)
