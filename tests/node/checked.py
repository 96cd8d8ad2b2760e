"""What `pullproof check` says of the same objects: its view is what the API server holds then."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node.review import Found

# One process judges all of it, some of it against registries that are silent.
_SECONDS = 300
_VIEW = ("secrets", "serviceaccounts", "namespaces", "nodes")
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Checked:
    """One object: for each image by its field whether it would be pulled, and what was found."""

    pulls: Mapping[str, str]
    findings: tuple[Found, ...] = ()


@dataclass
class Check:
    """Writes the view and the objects into `folder`, and runs the command over them."""

    folder: Path
    options: Sequence[str]
    env: Mapping[str, str]
    objects: list[Mapping[str, Any]] = field(default_factory=list)

    def see(self, get: Callable[[str], Mapping[str, Any]]) -> None:
        """Write down what the API server has: what a person would dump with kubectl."""
        view = self.folder / "view"
        view.mkdir(parents=True)
        for plural in _VIEW:
            listed = get(f"/api/v1/{plural}")
            kind = listed["kind"].removesuffix("List")
            items = [{**item, "apiVersion": "v1", "kind": kind} for item in listed["items"]]
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
            (view / f"{plural}.json").write_text(text, encoding="utf-8")

    def run(self) -> dict[Key, Checked]:
        """Return what was said of each object, by namespace, kind and name."""
        manifests = self.folder / "manifests"
        manifests.mkdir()
        for number, one in enumerate(self.objects):
            path = manifests / f"{number:04}.json"
            path.write_text(json.dumps(one), encoding="utf-8")
        run = subprocess.run(
            [
                *(sys.executable, "-W", "error", "-m", "webhook", "check", str(manifests)),
                *("--manifests", str(self.folder / "view"), "--output", "json"),
                *self.options,
            ],
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        (self.folder / "check.log").write_text(run.stderr, encoding="utf-8")
        # What is denied or undecided is the point; anything else is no answer.
        assert run.returncode in (0, 1, 2), (run.returncode, run.stderr[-2000:])
        (self.folder / "check.json").write_text(run.stdout, encoding="utf-8")
        return read(json.loads(run.stdout))


def read(report: Mapping[str, Any]) -> dict[Key, Checked]:
    """Sort the command's one object by what it is about."""
    pulls: dict[Key, dict[str, str]] = {}
    findings: dict[Key, list[Found]] = {}
    for image in report["images"]:
        pulls.setdefault(_key(image), {})[image["field"]] = image["pull"]
    for one in report["findings"]:
        found = Found(one["rule"], one["cause"], one["action"], one["field"])
        findings.setdefault(_key(one), []).append(found)
    return {key: Checked(of, tuple(findings.get(key, ()))) for key, of in pulls.items()}


def _key(one: Mapping[str, Any]) -> Key:
    return one["namespace"], one["kind"], one["name"]
