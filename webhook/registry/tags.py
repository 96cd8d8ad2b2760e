"""A repository's tags: only asked for once an image was not found, to say why."""

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any

TAGS_LIMIT = 256 * 1024
"""Bytes of a tags list that are read."""
TAGS_ASKED = 1000
NEAR = 3
CLOSE = 20
"""How many tags are looked at for the nearest."""
MOST_EFFORT = 1_000_000
"""Pairs of characters that are compared: long tags, chosen well, cost a second otherwise."""

_NUMBER = re.compile(r"[0-9]{1,18}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


def read_tags(body: bytes) -> tuple[str, ...] | None:
    """Return the tags of a ``tags/list`` answer, None where it is none.

    What is no tag by the grammar is left out: it would end in a message.
    """
    document = _object(body)
    if document is None:
        return None
    tags = document.get("tags")
    if tags is None:
        return ()
    if not isinstance(tags, list):
        return None
    return tuple(tag for tag in tags if isinstance(tag, str) and _TAG.fullmatch(tag))


def repository_unknown(body: bytes) -> bool:
    """Tell whether an error body says that the repository is not known (``NAME_UNKNOWN``)."""
    document = _object(body)
    errors = document.get("errors") if document is not None else None
    if not isinstance(errors, list):
        return False
    return any(isinstance(e, dict) and e.get("code") == "NAME_UNKNOWN" for e in errors)


def near_tags(wanted: str, tags: Sequence[str]) -> tuple[str, ...]:
    """Return the few tags that somebody who wrote ``wanted`` may have meant."""
    compared: list[str] = []
    effort = 0
    for tag in tags[:TAGS_ASKED]:
        effort += len(wanted) * len(tag)
        if effort > MOST_EFFORT:
            break
        compared.append(tag)
    near = get_close_matches(wanted, compared, CLOSE, 0.5)
    return tuple(sorted(near, key=lambda tag: _apart(wanted, tag))[:NEAR])


def _apart(wanted: str, tag: str) -> tuple[float, list[int]]:
    """Order by likeness of the text, then by how far the numbers in it lie apart."""
    likeness = SequenceMatcher(None, wanted, tag).ratio()
    numbers = zip(_NUMBER.findall(wanted), _NUMBER.findall(tag), strict=False)
    return -likeness, [abs(int(one) - int(other)) for one, other in numbers]


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
