"""What an API server's answer, or the lack of one, is called."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server sent: ``status`` 0 means that it sent nothing, see ``why``."""

    status: int
    body: Mapping[str, Any] = field(repr=False, default_factory=dict)
    why: str = ""


def failed(error: Exception) -> Answer:
    """Read what the client raised; its own text is not passed on, since it may quote a body."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status > 0:
        return Answer(status, _status_body(getattr(error, "body", None)))
    name = type(error).__name__
    if "Timeout" in name:
        return Answer(0, why="no answer in time")
    if isinstance(error, ValueError | RecursionError):
        return Answer(0, why="the API server's answer cannot be read")
    reason = str(getattr(error, "reason", "") or "")
    if "SSLError" in {name, reason.partition("\n")[0]}:
        return Answer(0, why="the API server's certificate was refused")
    return Answer(0, why=f"the API server cannot be reached ({name})")


def _status_body(body: Any) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except (TypeError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) and parsed.get("kind") == "Status" else {}
