"""One line per event on stderr: time, level, message; no traceback, no control characters."""

import logging
import sys
import time
import traceback
from pathlib import Path

from gunicorn.glogging import Logger

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_ESCAPES[0x2028], _ESCAPES[0x2029] = "\\u2028", "\\u2029"
LONGEST = 1000


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return ``text`` with control characters escaped, cut at ``longest`` characters."""
    safe = text[:longest].translate(_ESCAPES)
    return safe if len(text) <= longest else f"{safe}…"


def fault(error: BaseException) -> str:
    """Return an exception's type and place. Its words stay out: they may hold secrets."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


class OneLine(logging.Formatter):
    """Formats a record as a line: of an exception only what ``fault`` says."""

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatTime(  # noqa: N802  # logging's name
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        second = super().formatTime(record, datefmt)
        return f"{second}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}: {fault(record.exc_info[1])}"
        stamp = self.formatTime(record, self.datefmt)
        return f"{stamp} {record.levelname} {one_line(message)}"


def configure(level: int = logging.INFO) -> None:
    """Send all logs to stderr through ``OneLine``, unless somebody has set handlers before."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    root.addHandler(handler)
    root.setLevel(level)


class GunicornLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own words, from warnings up, in our format."""

    def setup(self, cfg: object) -> None:
        """Replace gunicorn's handlers; ``cfg`` is its configuration."""
        super().setup(cfg)
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(OneLine())
        self.error_log.handlers[:] = [handler]
        self.access_log.handlers.clear()
