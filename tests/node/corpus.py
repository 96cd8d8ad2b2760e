"""Reads the manifests: YAML files of entries, each a case or, with `each`, a family of cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tests.differential.corpus import CorpusError, expanded
from tests.node.model import Case, World

FOLDER = Path(__file__).resolve().parent / "manifests"
WORLD = Path(__file__).resolve().parent / "world.yaml"

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?)\}")


def load(folder: Path = FOLDER) -> list[Case]:
    """Return every case, in the files' order. Raises CorpusError for the first fault."""
    cases: dict[str, Case] = {}
    for path in sorted(folder.glob("*.yaml")):
        for entry in _read(path) or []:
            if set(entry) == {"shared"}:
                continue  # anchors for the entries below
            for given in expanded(entry):
                case = _case(path, given)
                if case.id in cases:
                    msg = f"{path.name}: there is a {case.id} already"
                    raise CorpusError(msg)
                cases[case.id] = case
    return list(cases.values())


def load_world(path: Path = WORLD) -> World:
    try:
        return World.model_validate(_read(path))
    except ValidationError as error:
        msg = f"{path.name}: {error}"
        raise CorpusError(msg) from error


def chosen(cases: Iterable[Case], globs: Iterable[str]) -> list[Case]:
    wanted = list(globs)
    return [
        case for case in cases if not wanted or any(fnmatchcase(case.id, glob) for glob in wanted)
    ]


def filled(node: Any, known: Mapping[str, str]) -> Any:
    """Put values in the place of placeholders; what nothing is called so stays as it is."""
    if isinstance(node, str):
        return _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), node)
    if isinstance(node, dict):
        return {filled(key, known): filled(value, known) for key, value in node.items()}
    if isinstance(node, list):
        return [filled(value, known) for value in node]
    return node


def _read(path: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader)


def _case(path: Path, given: Mapping[str, Any]) -> Case:
    try:
        return Case.model_validate(given)
    except ValidationError as error:
        msg = f"{path.name}: {given.get('id')}: {error}"
        raise CorpusError(msg) from error
