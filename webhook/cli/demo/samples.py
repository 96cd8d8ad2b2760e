"""The sample manifests: what each shows, what is declared of it, and where its registry is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from webhook.policy.action import Action
from webhook.registry.outcome import Cause

FOLDER = Path(__file__).parent / "samples"
"""The samples as they are shipped; the cluster's own objects stand in ``cluster/``."""

WRITTEN_HOST = "localhost:5000"
"""The registry that the shipped samples name."""

CAUSES: Mapping[str, Cause] = {cause.value: cause for cause in Cause}
"""The causes by the names that samples and audit annotations use."""

_EXPECT = re.compile(r"# expect: (?:(?P<allow>allow)|(?P<action>deny|warn) (?P<cause>[a-z-]+))")


@dataclass(frozen=True, slots=True, order=True)
class Expected:
    """One finding that a sample declares."""

    action: Action
    cause: Cause

    def __str__(self) -> str:
        return f"{self.action} {self.cause}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of manifests; ``expects`` is empty where all is well."""

    path: Path
    title: str
    expects: frozenset[Expected]
    documents: Sequence[Mapping[str, Any]]

    @property
    def refused(self) -> bool:
        """Tell whether something in it is to be denied."""
        return any(expected.action is Action.DENY for expected in self.expects)


def render(target: Path, host: str) -> Path:
    """Write the samples into ``target``/samples, their registry being ``host``; return that folder.

    They stand there as ``samples/NAME`` and ``samples/cluster/NAME``, so that a
    ``kubectl apply -f samples/NAME`` from ``target`` prints what the demo prints.
    """
    folder = target / FOLDER.name
    for source in sorted(FOLDER.rglob("*.yaml")):
        copy = folder / source.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        copy.write_text(text.replace(WRITTEN_HOST, host), encoding="utf-8")
    return folder


def load(folder: Path) -> list[Sample]:
    """Return the samples of a folder in their order; ValueError names one that declares nothing."""
    return [_sample(path) for path in sorted(folder.glob("*.yaml"))]


def cluster_documents(folder: Path) -> list[Mapping[str, Any]]:
    """Return the cluster's own objects: namespace, secrets, service accounts."""
    return [
        document for path in sorted((folder / "cluster").glob("*.yaml")) for document in _all(path)
    ]


def _sample(path: Path) -> Sample:
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comments.append(line)
    matches = [_EXPECT.fullmatch(line) for line in comments]
    declared = [match for match in matches if match is not None]
    if not declared:
        raise ValueError(f"{path.name} does not say what is expected of it")
    expects = frozenset(
        Expected(Action(match["action"]), CAUSES[match["cause"]])
        for match in declared
        if match["allow"] is None
    )
    return Sample(path, comments[0].lstrip("# "), expects, _all(path))


def _all(path: Path) -> list[Mapping[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text) if document is not None]
