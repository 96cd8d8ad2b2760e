"""Reads the corpus: YAML files of entries, each a case or, with `each`, a family of cases."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tests.differential.model import Case

FOLDER = Path(__file__).resolve().parent / "corpus"

_PARAMETER = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class CorpusError(Exception):
    """A case that cannot be read; says where it stands."""


def load(folder: Path = FOLDER) -> list[Case]:
    """Return every case, in the files' order; `folder` may be one file.

    Raises CorpusError for the first fault.
    """
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else [folder]:
        for case in _file(path):
            if case.id in seen:
                msg = f"{path.name}: {case.id} stands in {seen[case.id]} already"
                raise CorpusError(msg)
            seen[case.id] = path.name
            cases.append(case)
    return cases


def chosen(cases: Iterable[Case], globs: Iterable[str]) -> list[Case]:
    wanted = list(globs)
    return [
        case for case in cases if not wanted or any(fnmatchcase(case.id, glob) for glob in wanted)
    ]


def _file(path: Path) -> Iterator[Case]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(path.read_text(encoding="utf-8"), loader) or []
    for entry in entries:
        if set(entry) == {"shared"}:
            continue  # anchors for the entries below
        for given in expanded(entry):
            try:
                yield Case.model_validate(given)
            except ValidationError as error:
                msg = f"{path.name}: {given.get('id')}: {error}"
                raise CorpusError(msg) from error


def expanded(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Put each row of `each` into the entry: a list of rows, or values by name (all pairs)."""
    rest = {key: value for key, value in entry.items() if key not in ("each", "defaults")}
    each = entry.get("each")
    if each is None:
        yield rest
        return
    if isinstance(each, dict):
        rows = [dict(zip(each, row, strict=True)) for row in itertools.product(*each.values())]
    else:
        rows = each
    for row in rows:
        defaults = entry.get("defaults", {})
        # A row may name what the defaults hold.
        filled = _filled(rest, {**defaults, **_filled(row, defaults)})
        filled["id"] = filled["id"].lower()
        yield filled


def _filled(node: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(node, str):
        alone = _PARAMETER.fullmatch(node)
        if alone and alone[1] in row:
            return row[alone[1]]
        return _PARAMETER.sub(lambda m: str(row.get(m[1], m[0])), node)
    if isinstance(node, dict):
        return {_filled(key, row): _filled(value, row) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, row) for value in node]
    return node
