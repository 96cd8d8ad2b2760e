"""YAML documents with the position of every key and value, within bounds.

Built from the parser's events, so that nesting, aliases and numbers are bounded
before anything recursive sees them: a text that somebody else wrote costs no more
than its own length. Two readings of plain scalars are known:

- ``CORE``, the core schema of YAML 1.2: ``off``, ``yes``, ``2027-06-30`` and
  ``12:30`` are strings; a repeated key is a fault.
- ``KUBERNETES``, what sigs.k8s.io/yaml makes of a manifest: the booleans of YAML
  1.1 and merge keys, but neither sexagesimals nor dates; the last of repeated keys
  counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import yaml

MAX_DEPTH = 100
"""Collections within collections."""
MAX_ALIASED = 10_000
"""Values that the aliases of one document may expand to."""

_MAX_DIGITS = 40
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


class Flavour(StrEnum):
    """Which reading of plain scalars and repeated keys holds."""

    CORE = "core"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, slots=True)
class YamlFault:
    """What is wrong with a text, and where: 1-based line and column (in characters).

    ``path`` holds keys and indices, where the fault is about a value.
    """

    line: int
    column: int
    text: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it starts, 1-based.

    ``value`` is a scalar, a list of nodes, or entries by key. ``size`` counts the
    values beneath it and itself, ``depth`` the levels, both with aliases written out.
    """

    line: int
    column: int
    value: "str | bool | int | float | list[Node] | dict[str, Entry] | None"
    size: int = 1
    depth: int = 1

    def plain(self) -> Any:
        """Return the value as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: entry.value.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def child(self, step: str | int) -> "Node | None":
        """Return what stands under a key or an index, None where nothing does."""
        if isinstance(self.value, dict) and isinstance(step, str):
            entry = self.value.get(step)
            return entry.value if entry is not None else None
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's position and its value."""

    line: int
    column: int
    value: Node


@dataclass(slots=True)
class _Open:
    """A collection whose end was not seen yet."""

    line: int
    column: int
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    key: tuple[str, Node, bool] | None = None
    size: int = 1
    depth: int = 0


class _Stop(Exception):  # noqa: N818 - ends the reading of one text, is no error of ours
    """The text cannot be read any further."""

    def __init__(self, fault: YamlFault) -> None:
        super().__init__(fault.text)
        self.fault = fault


def parse(text: str, flavour: Flavour) -> tuple[list[Node], list[YamlFault]]:
    """Read every document of ``text``; the documents before a syntax error stand.

    An empty document is a node whose value is None. Never raises for what the
    text holds.
    """
    composer = _Composer(flavour)
    try:
        for event in _events(text):
            composer.take(event)
    except _Stop as stop:
        composer.faults.append(stop.fault)
    return composer.documents, composer.faults


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        words = ", ".join(part for part in (error.problem, error.context) if part)
        raise _Stop(YamlFault(line, column, f"is not YAML: {words}")) from None
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="replace")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        raise _Stop(YamlFault(line, column, f"is not YAML: {error.reason}")) from None


class _Composer:
    """Turns events into documents, one event at a time, without recursion."""

    def __init__(self, flavour: Flavour) -> None:
        self.documents: list[Node] = []
        self.faults: list[YamlFault] = []
        self._flavour = flavour
        self._resolve = _core if flavour is Flavour.CORE else _kubernetes
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._aliased = 0

    def take(self, event: yaml.Event) -> None:
        """Move on by one event; raises _Stop where nothing more can be read."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
            self._aliased = 0
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        line, column = _position(event)
        if len(self._stack) >= MAX_DEPTH:
            raise _Stop(YamlFault(line, column, f"is nested deeper than {MAX_DEPTH} levels"))
        if self._stack and self._stack[-1].is_mapping and self._stack[-1].key is None:
            raise _Stop(YamlFault(line, column, "a key must be a scalar"))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open(line, column, event.anchor, is_mapping))

    def _close(self) -> None:
        done = self._stack.pop()
        for mapping in done.merged:
            if isinstance(mapping.value, dict):
                for key, entry in mapping.value.items():
                    done.entries.setdefault(key, entry)
        value = done.entries if done.is_mapping else done.items
        node = Node(done.line, done.column, value, done.size, done.depth + 1)
        self._add(node, done.anchor)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line, column = _position(event)
        target = self._anchors.get(event.anchor or "")
        if target is None:
            raise _Stop(YamlFault(line, column, "an alias of what was not anchored before it"))
        if len(self._stack) + target.depth > MAX_DEPTH + 1:
            text = f"the aliases are nested deeper than {MAX_DEPTH} levels"
            raise _Stop(YamlFault(line, column, text))
        self._aliased += target.size
        if self._aliased > MAX_ALIASED:
            text = f"the aliases expand to more than {MAX_ALIASED} values"
            raise _Stop(YamlFault(line, column, text))
        self._add(target, None, at=(line, column))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line, column = _position(event)
        plain = event.implicit[0]
        value: str | bool | int | float | None = event.value
        if plain and event.tag is None:
            value = self._resolve(event.value)
        elif event.tag not in (None, "!", f"{_TAG}str"):
            value = self._tagged(event)
        text = event.value
        if isinstance(value, bool) and self._flavour is Flavour.KUBERNETES:
            text = str(value).lower()
        self._add(Node(line, column, value), event.anchor, key=text, is_merge=plain)

    def _tagged(self, event: yaml.ScalarEvent) -> str | bool | int | float | None:
        value = self._resolve(event.value)
        wanted: dict[str, tuple[type, ...]] = {
            "int": (int,),
            "float": (float, int),
            "bool": (bool,),
            "null": (type(None),),
        }
        name = str(event.tag).removeprefix(_TAG)
        if not isinstance(value, wanted.get(name, ())):
            raise _Stop(YamlFault(*_position(event), f"cannot be read as {event.tag}"))
        return value

    def _add(
        self,
        node: Node,
        anchor: str | None,
        *,
        key: str | None = None,
        is_merge: bool = False,
        at: tuple[int, int] | None = None,
    ) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self.documents.append(node)
            return
        top = self._stack[-1]
        top.size += node.size
        top.depth = max(top.depth, node.depth)
        if not top.is_mapping:
            top.items.append(node)
        elif top.key is None:
            top.key = self._key(node, key, is_merge=is_merge, at=at)
        else:
            self._entry(top, top.key, node)
            top.key = None

    def _key(
        self, node: Node, text: str | None, *, is_merge: bool, at: tuple[int, int] | None
    ) -> tuple[str, Node, bool]:
        line, column = at or (node.line, node.column)
        if text is None:
            if not isinstance(node.value, str):
                raise _Stop(YamlFault(line, column, "a key must be a scalar"))
            text = node.value
        merges = is_merge and text == "<<" and self._flavour is Flavour.KUBERNETES
        return text, Node(line, column, text), merges

    def _entry(self, top: _Open, key: tuple[str, Node, bool], node: Node) -> None:
        text, where, merges = key
        if merges:
            top.merged += node.value if isinstance(node.value, list) else [node]
            return
        if text in top.entries and self._flavour is Flavour.CORE:
            words = f"this key stands on line {top.entries[text].line} too"
            fault = YamlFault(where.line, where.column, words, self._path())
            self.faults.append(fault)
            return
        top.entries[text] = Entry(where.line, where.column, node)

    def _path(self) -> tuple[str | int, ...]:
        return tuple(
            open_.key[0] if open_.key is not None else len(open_.items) for open_ in self._stack
        )


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def quoted(text: str, limit: int = 60) -> str:
    """Return ``text`` for a message: quoted, on one line, cut at ``limit`` characters."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    inner = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return f'"{inner}"'


_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
_TRUE_1_1 = _TRUE | frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE_1_1 = _FALSE | frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF"))

_DECIMAL = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_CORE_BASES = ((re.compile(r"0o([0-7]+)"), 8), (re.compile(r"0x([0-9a-fA-F]+)"), 16))
_GO_BASES = (
    (re.compile(r"[-+]?0[xX]([0-9a-fA-F]+)"), 16),
    (re.compile(r"[-+]?0[bB]([01]+)"), 2),
    (re.compile(r"[-+]?0[oO]?([0-7]+)"), 8),
)


def _core(text: str) -> str | bool | int | float | None:
    return _scalar_value(text, text, (_TRUE, _FALSE), _CORE_BASES)


def _kubernetes(text: str) -> str | bool | int | float | None:
    number = text.replace("_", "") if text[:1] in "+-.0123456789" else text
    return _scalar_value(text, number, (_TRUE_1_1, _FALSE_1_1), _GO_BASES)


def _scalar_value(
    text: str,
    number: str,
    booleans: tuple[frozenset[str], frozenset[str]],
    bases: tuple[tuple[re.Pattern[str], int], ...],
) -> str | bool | int | float | None:
    if text in _NULLS:
        return None
    if text in booleans[0] or text in booleans[1]:
        return text in booleans[0]
    for pattern, base in bases:
        if (match := pattern.fullmatch(number)) and len(number) <= _MAX_DIGITS:
            return int(match[1], base) * (-1 if number.startswith("-") else 1)
    if _DECIMAL.fullmatch(number) and len(number) <= _MAX_DIGITS:
        return int(number)

    if _FLOAT.fullmatch(number):
        return float(number)
    if _SPECIAL_FLOAT.fullmatch(number):
        return float(number.replace(".", "").lower())
    return text
