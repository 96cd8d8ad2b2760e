"""Go's ``time.ParseDuration``, in whole nanoseconds."""

import re

_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_MOST = 1 << 63
_DIGITS = 400
"""Digits of one number that are looked at: any longer number overflows, or ends in a fraction."""


def parse_duration(text: str) -> int | None:
    """Return a duration in nanoseconds, None where Go returns an error."""
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = at = 0
    while at < len(rest):
        term = _TERM.match(rest, at)
        if term is None or not (term[1] or term[2]):
            return None
        whole, fraction, unit = term[1].lstrip("0"), (term[2] or "")[:_DIGITS], _UNITS[term[3]]
        if len(whole) > _DIGITS:
            return None
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        at = term.end()
    if not rest or total > _MOST - (not negative):
        return None
    return -total if negative else total
