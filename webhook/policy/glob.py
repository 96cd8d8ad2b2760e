"""Globs over normalised image names: host, path, tag and digest apart.

Matched by following all positions of a pattern at once, in time proportional to
pattern times name: the names come from whoever may create a Pod, and no pattern
makes one of them slow to judge.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

EVERYTHING = "**"

_HOST = re.compile(r"[A-Za-z0-9._*-]+(:[0-9*]+)?|\[[0-9A-Fa-f:*]+\](:[0-9*]+)?", re.ASCII)
_PATH = re.compile(r"[a-z0-9._*-]+(/[a-z0-9._*-]+)*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_.*-]+", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z0-9_.+:*-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parts:
    """A normalised name, or a pattern for one, taken apart. None is "not said"."""

    host: str
    path: str | None
    tag: str | None
    digest: str | None


@lru_cache(maxsize=4096)
def split(text: str) -> Parts:
    """Take ``ghcr.io/acme/app:1.2@sha256:…`` apart; judges nothing."""
    rest, at, digest = text.partition("@")
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    tag = rest[colon + 1 :] if colon >= 0 else None
    name = rest[:colon] if colon >= 0 else rest
    host, slashed, path = name.partition("/")
    return Parts(host, path if slashed else None, tag, digest if at else None)


def image_matches(pattern: str, name: str) -> bool:
    """Tell whether an image glob matches a normalised name, in full and case-sensitively.

    ``name`` has a host and a path, such as ``docker.io/library/nginx:1.27``.
    """
    if pattern == EVERYTHING:
        return True
    wanted, given = split(pattern), split(name)
    return (
        _name_matches(wanted, given)
        and _optional_matches(wanted.tag, given.tag)
        and _optional_matches(wanted.digest, given.digest)
    )


def _name_matches(wanted: Parts, given: Parts) -> bool:
    if wanted.path is None:
        return wanted.host == EVERYTHING
    return host_glob_matches(wanted.host, given.host) and path_matches(
        wanted.path, given.path or ""
    )


def _optional_matches(pattern: str | None, text: str | None) -> bool:
    if pattern is None:
        return True
    return text is not None and text_matches(pattern, text)


def host_glob_matches(pattern: str, host: str) -> bool:
    """Tell whether a host glob matches ``host``, its port included.

    ``*`` stays within a label, ``**`` crosses labels; without a port only a host
    without one matches. IPv6 addresses in brackets are one label.
    """
    pattern_name, pattern_port = _split_port(pattern)
    name, port = _split_port(host)
    if (pattern_port is None) != (port is None):
        return False
    return _matches(pattern_name, name, ".") and _matches(pattern_port or "", port or "", None)


def _split_port(host: str) -> tuple[str, str | None]:
    if host.endswith("]") or ":" not in host:
        return host, None
    name, _, port = host.rpartition(":")
    return name, port


def path_matches(pattern: str, path: str) -> bool:
    """Tell whether a glob over a repository's path matches: ``*`` stays within a segment."""
    return _matches(pattern, path, "/")


def text_matches(pattern: str, text: str) -> bool:
    """Tell whether a glob in which ``*`` matches anything matches the whole of ``text``."""
    return _matches(pattern, text, None)


def _matches(pattern: str, text: str, separator: str | None) -> bool:
    pieces = _pieces(pattern, crosses_all=separator is None)
    positions = _skip_stars(pieces, {0})
    for character in text:
        following = set()
        for position in positions:
            if position == len(pieces):
                continue
            piece = pieces[position]
            if piece == "**" or (piece == "*" and character != separator):
                following.add(position)
            elif piece == character:
                following.add(position + 1)
        positions = _skip_stars(pieces, following)
        if not positions:
            return False
    return len(pieces) in positions


def _skip_stars(pieces: tuple[str, ...], positions: set[int]) -> set[int]:
    reached = set()
    for start in positions:
        position = start
        reached.add(position)
        while position < len(pieces) and pieces[position].startswith("*"):
            position += 1
            reached.add(position)
    return reached


@lru_cache(maxsize=4096)
def _pieces(pattern: str, *, crosses_all: bool) -> tuple[str, ...]:
    pieces = re.findall(r"\*\*+|.", pattern, re.DOTALL)
    return tuple(
        "**" if piece.startswith("**") or (crosses_all and piece == "*") else piece
        for piece in pieces
    )


def image_glob_fault(pattern: str) -> str | None:
    """Say why a pattern can match no normalised name at all, None where one may match."""
    parts = split(pattern)
    if pattern == EVERYTHING or (parts.path is None and parts.host == EVERYTHING):
        return _written_wrongly(_TAG, parts.tag, "tag") or _digest_fault(parts)
    if parts.path is None:
        return (
            "matches nothing: a name has a host and a path, "
            'such as "docker.io/library/nginx" or "ghcr.io/acme/**"'
        )
    return (
        host_glob_fault(parts.host)
        or docker_hub_fault(parts.host)
        or _host_of_no_name(parts.host)
        or _path_fault(parts.host, parts.path)
        or _written_wrongly(_TAG, parts.tag, "tag")
        or _digest_fault(parts)
    )


def host_glob_fault(pattern: str) -> str | None:
    """Say why a pattern can match no host at all, None where one may match."""
    if "/" in pattern:
        return "matches nothing: a host is expected, without scheme and path"
    if not _HOST.fullmatch(pattern):
        return "matches nothing: a host has letters, digits, dots, dashes and perhaps a port"
    return None


def docker_hub_fault(host: str) -> str | None:
    """Say that a host is one that references call ``docker.io``, None for any other."""
    if host in {"index.docker.io", "registry-1.docker.io"}:
        return 'matches nothing: Docker Hub is called "docker.io" in a normalised name'
    return None


def _host_of_no_name(host: str) -> str | None:
    if any(sign in host for sign in ".:*[") or host == "localhost" or host != host.lower():
        return None
    return (
        f'matches nothing: "{host}" has no dot and no port, so that a name takes it for a path; '
        f'write "docker.io/{host}/…"'
    )


def _path_fault(host: str, path: str) -> str | None:
    if path != path.lower():
        return "matches nothing: a repository's path has no capital letters"
    if not _PATH.fullmatch(path):
        return 'matches nothing: of special characters a path may hold only "*" and "**"'
    if host == "docker.io" and "/" not in path and "**" not in path:
        return f'matches nothing: on Docker Hub "{path}" is called "docker.io/library/{path}"'
    return None


def _written_wrongly(grammar: re.Pattern[str], text: str | None, what: str) -> str | None:
    if text is None or grammar.fullmatch(text):
        return None
    return f'matches nothing: no {what} is written so; of wildcards there are "*" and "**"'


def _digest_fault(parts: Parts) -> str | None:
    return _written_wrongly(_DIGEST, parts.digest, "digest")
