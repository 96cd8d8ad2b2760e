"""Small texts as Go's standard library reads them: durations, paths, letters in lower case."""

import re

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]*+)(?:\.([0-9]*+))?([^0-9.]*+)")
_MOST = 1 << 63
_MOST_DIGITS = 19
_FLOAT_ENDS = 400
"""Ten to this power is infinite: it does not become more so."""
_SECOND = 1_000_000_000


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration, None where it is none (``time.ParseDuration``)."""
    is_negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    if not rest:
        return None
    total = at = 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            return None
        at = part.end()
        nanoseconds = _nanoseconds(part[1], part[2] or "", part[3])
        if nanoseconds is None:
            return None
        total += nanoseconds
        if total > _MOST:
            return None
    if total == _MOST and not is_negative:
        return None
    return (-total if is_negative else total) / _SECOND


def _nanoseconds(whole: str, fraction: str, unit: str) -> int | None:
    size = _UNITS.get(unit)
    if size is None or not (whole or fraction) or len(whole.lstrip("0")) > _MOST_DIGITS:
        return None
    value = int(whole.lstrip("0") or "0") * size
    # Past 64 bits Go leaves further digits of a fraction out.
    digits = fraction.lstrip("0")
    zeros = len(fraction) - len(digits)
    digits = digits[:_MOST_DIGITS]
    if digits and int(digits) > _MOST:
        digits = digits[:-1]
    if digits:
        scale = 1.0
        for _ in range(min(zeros + len(digits), _FLOAT_ENDS)):
            scale *= 10
        value += int(float(int(digits)) * (size / scale))
    return value if value <= _MOST else None


def cleaned_path(path: str) -> str:
    """Return the shortest path that means the same, by the letter (``path.Clean``)."""
    is_rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part == ".." and is_rooted:
            continue
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if is_rooted else "") + "/".join(parts) or "."


def lowered(text: str) -> str:
    """Return the letters in lower case, one for one (``strings.ToLower``)."""
    return text.replace("\u0130", "i").lower()
