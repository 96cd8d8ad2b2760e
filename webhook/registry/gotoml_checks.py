"""What go-toml checks beside the grammar: keys that stand twice, numbers and dates.

Rules: ``internal/tracker/seen.go`` and ``decode.go`` of go-toml 2.4.3.
"""

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from webhook.registry.gotoml import Expression, Header, Inline, Key, Kind, Scalar, TomlError, Value

JANUARY, DECEMBER = 1, 12


class _Is(Enum):
    VALUE = auto()
    KEYS = auto()
    """A table that dotted keys made: only dotted keys add to it."""
    TABLE = auto()
    ARRAY = auto()


class _Entry:
    __slots__ = ("children", "explicit", "kind")

    def __init__(self, kind: _Is, *, explicit: bool = False) -> None:
        self.kind = kind
        self.explicit = explicit
        self.children: dict[str, _Entry] = {}


def check_keys(found: Iterable[Expression]) -> None:
    """Raise TomlError where a key or table of the document stands twice.

    By the letter: go-toml takes a field's name in any case, but ``ca`` and ``CA`` for two keys.
    """
    seen = _Seen()
    for expression in found:
        seen.check(expression)


class _Seen:
    """Which keys stood before."""

    def __init__(self) -> None:
        self._root = _Entry(_Is.TABLE)
        self._table = self._root

    def check(self, expression: Expression) -> None:
        """Take a top-level expression in. Raises TomlError where it was there before."""
        if isinstance(expression.of, Header):
            self._check_header(expression.key, expression.of)
        else:
            _check_value(self._table, expression.key, expression.of)

    def _check_header(self, key: Key, header: Header) -> None:
        parent = self._root
        for name in key[:-1]:
            parent = parent.children.setdefault(name, _Entry(_Is.TABLE))
            if parent.kind is _Is.VALUE:
                raise TomlError
        kind = _Is.TABLE if header is Header.TABLE else _Is.ARRAY
        entry = parent.children.setdefault(key[-1], _Entry(kind))
        if entry.kind is not kind or (kind is _Is.TABLE and entry.explicit):
            raise TomlError
        if kind is _Is.ARRAY:
            entry.children.clear()
        entry.explicit = True
        self._table = entry


def _check_value(table: _Entry, key: Key, value: Value) -> None:
    waiting = [(table, key, value)]
    while waiting:
        parent, names, value = waiting.pop()
        for name in names[:-1]:
            parent = parent.children.setdefault(name, _Entry(_Is.KEYS))
            if parent.kind is not _Is.KEYS:
                raise TomlError
        leaf = _Entry(_Is.VALUE)
        if parent.children.setdefault(names[-1], leaf) is not leaf:
            raise TomlError
        for inline, entry in _inline_tables(value, leaf):
            waiting.extend((entry, of, inner) for of, inner in inline.items)


def _inline_tables(value: Value, entry: _Entry) -> Iterator[tuple[Inline, _Entry]]:
    """Yield the inline tables that ``value`` is or that stand in its arrays."""
    if isinstance(value, Inline):
        yield value, entry
    arrays = [value] if isinstance(value, list) else []
    while arrays:
        for element in arrays.pop():
            if isinstance(element, Inline):
                yield element, _Entry(_Is.VALUE)
            elif isinstance(element, list):
                arrays.append(element)


_INT64 = range(-(1 << 63), 1 << 63)
_MOST_DIGITS = 20
_DAY = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
_OFFSET = r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_DATES = {
    Kind.LOCAL_TIME: re.compile(_TIME),
    Kind.LOCAL_DATE: re.compile(_DAY),
    Kind.LOCAL_DATE_TIME: re.compile(f"{_DAY}[Tt ]{_TIME}"),
    Kind.DATE_TIME: re.compile(f"{_DAY}[Tt ]{_TIME}{_OFFSET}"),
}


def decodes(value: Value) -> bool:
    """Tell whether go-toml gets a Go value out of ``value``: its numbers fit, its dates exist."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, Inline):
            waiting.extend(inner for _, inner in value.items)
        elif isinstance(value, Scalar) and not _decodes(value):
            return False
    return True


def _decodes(scalar: Scalar) -> bool:
    plain = scalar.text.replace("_", "")
    match scalar.kind:
        case Kind.INTEGER if plain[1:2] in ("x", "o", "b"):
            return int(plain, 0) in _INT64
        case Kind.INTEGER:
            # Beyond a few thousand digits Python refuses to make a number of them.
            return len(plain) <= _MOST_DIGITS and int(plain) in _INT64
        case Kind.FLOAT:
            return "inf" in plain or abs(float(plain)) != float("inf")
    found = _DATES[scalar.kind].fullmatch(scalar.text)
    if found is None or scalar.kind is Kind.LOCAL_TIME:
        return found is not None
    year, month, day = (int(digits) for digits in found.groups()[:3])
    return day in _days_of(month, year)


def _days_of(month: int, year: int) -> range:
    if not JANUARY <= month <= DECEMBER:
        return range(0)
    # The calendar begins with the year 1, go-toml with 0; 4 centuries on it is the same.
    return range(1, monthrange(year or 400, month)[1] + 1)
