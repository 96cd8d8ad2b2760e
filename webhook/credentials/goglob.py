"""Go's ``filepath.Match``, for what can stand in one label of a keyring's key."""

import re

_CLASS = re.compile(r"\[((?:[^\]\\-](?:-[^\]\\-])?)++)\]")
_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)


def glob_matches(pattern: str, name: str) -> bool:
    """Match a label of a host, whole, against ``*`` and plain characters.

    ``net/url`` lets no other wildcard through: ``?`` ends a host, an unescaped
    backslash is refused, and ``[`` can only open it. There it begins an IP
    literal: one without a port keeps its brackets and so reads as a class of
    characters (``[::A]`` matches the host ``A``). Both texts are hostile: the
    time is that of ``str.find``, whatever the number of stars.
    """
    if pattern.startswith("["):
        found = _CLASS.match(pattern)
        if found is None or not name or not _in_class(found[1], name[0]):
            return False
        pattern, name = pattern[found.end() :], name[1:]
    first, *chunks = pattern.split("*")
    if not chunks:
        return name == first
    last = chunks.pop()
    end = len(name) - len(last)
    if len(first) > end or not name.startswith(first) or not name.endswith(last):
        return False
    at = len(first)
    for chunk in chunks:
        found_at = name.find(chunk, at, end)
        if found_at < 0:
            return False
        at = found_at + len(chunk)
    return True


def _in_class(ranges: str, character: str) -> bool:
    return any(low <= character <= (high or low) for low, high in _RANGE.findall(ranges))
