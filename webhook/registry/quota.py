"""What a registry tells of its quota in the headers of an answer.

Rule: "Pull usage and limits" of Docker's manual: ``ratelimit-limit: 100;w=21600`` and
``ratelimit-remaining: 76;w=21600`` come with the answer to HEAD, which does not count
itself. ``w`` is the window in seconds; other registries send the bare number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

LONGEST = 256
"""Characters of a header's value past which it is nonsense."""
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_PARAMETER = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31})=([A-Za-z0-9._-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Quota:
    """How many pulls are left, of how many (None: not told), in how long (seconds).

    ``host`` is who said so: the registry as references name it, or the mirror that answered.
    ``user`` is whose pulls are counted; empty: anonymous ones, by the address that they
    come from.
    """

    remaining: int
    limit: int | None = None
    window_seconds: int | None = None
    host: str = ""
    user: str = ""

    def of(self, host: str, user: str) -> "Quota":
        """Return the same as told by ``host`` to ``user``."""
        return replace(self, host=host, user=user)


def quota_of(remaining: Sequence[str], limit: Sequence[str]) -> Quota | None:
    """Read every value of ``ratelimit-remaining`` and of ``ratelimit-limit``.

    None where it is not told once and plainly: what a registry writes there fails no
    review. A limit that does not fit what is left of it is as if not sent.
    """
    left = _told(remaining)
    if left is None:
        return None
    number, window = left
    most = _told(limit)
    if most is None or most[0] < max(number, 1) or (window and most[1] and window != most[1]):
        return Quota(number, None, window)
    return Quota(number, most[0], window or most[1])


def _told(values: Sequence[str]) -> tuple[int, int | None] | None:
    """Return the number and its window of a header that was sent once and is well formed."""
    if len(values) != 1 or len(values[0]) > LONGEST:
        return None
    number, *parameters = (part.strip(" \t") for part in values[0].split(";"))
    read = [_PARAMETER.fullmatch(parameter) for parameter in parameters]
    if not _NUMBER.fullmatch(number) or None in read:
        return None
    windows = [match[2] for match in read if match is not None and match[1].lower() == "w"]
    if len(windows) > 1 or not all(map(_NUMBER.fullmatch, windows)):
        return None
    return int(number), (int(windows[0]) or None) if windows else None
