"""Reads policy files and folders into the set that is in force, or every fault they have."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from webhook.cluster.yamltext import Flavour, Node, parse
from webhook.policy.document import Model, read_document
from webhook.policy.fault import ROOT, Fault, Refused, Severity, path_text
from webhook.policy.model import ImagePolicy, WorkloadKind, WorkloadKinds
from webhook.policy.registry_model import RegistryConfig, settings_of
from webhook.registry.outcome import Rule
from webhook.registry.settings import RegistrySettings

MAX_BYTES = 1024 * 1024
SUFFIXES = (".yaml", ".yml")

POD_KINDS = (
    "Pod",
    "PodTemplate",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
)
"""The built-in kinds that hold images."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One ImagePolicy and where it stands: ``lines`` has the line of each rule it sets."""

    model: ImagePolicy
    file: str
    line: int
    lines: dict[Rule, int] = field(hash=False)
    exempt_lines: tuple[int, ...] = ()

    def source(self, rule: Rule) -> str:
        """Return ``file:line`` of a rule that this policy sets."""
        return f"{self.file}:{self.lines[rule]}"


@dataclass(frozen=True, slots=True)
class PolicySet:
    """What a list of files comes to. ``hash`` is the hex SHA-256 of its canonical content.

    Formatting, comments, file names and defaults written out do not change the
    hash; the order of documents does.
    """

    policies: tuple[Policy, ...] = ()
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    registry_config: RegistryConfig | None = None
    workload_kinds: tuple[WorkloadKind, ...] = ()
    warnings: tuple[Fault, ...] = ()
    hash: str = hashlib.sha256(b"[]").hexdigest()

    @property
    def needs_namespace_labels(self) -> bool:
        """Tell whether any policy selects namespaces by their labels."""
        return any(policy.model.spec.match.namespace_selector for policy in self.policies)


BUILT_IN = PolicySet()
"""What holds where no file is given."""


def load(paths: Iterable[Path]) -> PolicySet | Refused:
    """Read files and folders, in the order given; a folder's files by name, not recursive.

    Never raises for what is or is not there: either every file holds, or the whole
    set is refused with every fault of every file.
    """
    reading = _Reading()
    for path in paths:
        for file in _files(path, reading.faults):
            reading.read(file)
    if any(fault.severity is Severity.ERROR for fault in reading.faults):
        return Refused(tuple(reading.faults))
    return _together(reading.documents, tuple(reading.faults))


def listing(path: Path) -> list[Path]:
    """Return the policy files of a folder, by name, or the file itself; raises OSError."""
    if not path.is_dir():
        return [path]
    return sorted(
        (child for child in path.iterdir() if _is_policy_file(child)), key=lambda child: child.name
    )


def _is_policy_file(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _files(path: Path, faults: list[Fault]) -> list[Path]:
    try:
        found = listing(path)
    except OSError as error:
        faults.append(_about_file(path, f"cannot be read: {error.strerror}"))
        return []
    if not found:
        text = "holds no *.yaml or *.yml: the built-in defaults are in force"
        faults.append(_about_file(path, text, Severity.WARNING))
    return found


def _about_file(path: Path, text: str, severity: Severity = Severity.ERROR) -> Fault:
    return Fault(str(path), 1, 1, severity, ROOT, text)


class _Reading:
    """What was read so far, in order."""

    def __init__(self) -> None:
        self.documents: list[tuple[str, Node, Model]] = []
        self.faults: list[Fault] = []
        self._registry_config: str | None = None

    def read(self, path: Path) -> None:
        text = _text(path)
        if isinstance(text, Fault):
            self.faults.append(text)
            return
        file = str(path)
        nodes, broken = parse(text, Flavour.CORE)
        found = [
            Fault(file, fault.line, fault.column, Severity.ERROR, path_text(fault.path), fault.text)
            for fault in broken
        ]
        for node in nodes:
            if node.value is not None:
                found += self._document(file, node)
        self.faults += sorted(found, key=lambda fault: (fault.line, fault.column))

    def _document(self, file: str, node: Node) -> Iterator[Fault]:
        model = read_document(file, node)
        if isinstance(model, list):
            yield from model
        else:
            self.documents.append((file, node, model))
        kind = node.child("kind")
        if kind is None or kind.value != "RegistryConfig":
            return
        if self._registry_config is not None:
            text = f"at most one RegistryConfig may be given; the first is {self._registry_config}"
            yield Fault(file, kind.line, kind.column, Severity.ERROR, "kind", text)
        else:
            self._registry_config = f"{file}:{kind.line}"


def _text(path: Path) -> str | Fault:
    try:
        # A pipe would hold the opening for as long as nobody writes.
        if not path.is_file() and path.exists():
            return _about_file(path, "is no regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return _about_file(path, f"cannot be read: {error.strerror}")
    if len(content) > MAX_BYTES:
        return _about_file(path, f"is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return Fault(str(path), line, 1, Severity.ERROR, ROOT, "is not UTF-8")


def _together(documents: list[tuple[str, Node, Model]], warnings: tuple[Fault, ...]) -> PolicySet:
    config = next((model for _, _, model in documents if isinstance(model, RegistryConfig)), None)
    kinds = tuple(
        kind
        for _, _, model in documents
        if isinstance(model, WorkloadKinds)
        for kind in model.spec.kinds
    )
    return PolicySet(
        policies=tuple(
            _policy(file, node, model)
            for file, node, model in documents
            if isinstance(model, ImagePolicy)
        ),
        registry=settings_of(config),
        registry_config=config,
        workload_kinds=kinds,
        warnings=(*warnings, *_misspelt_kinds(documents, kinds)),
        hash=_hash(model for _, _, model in documents),
    )


def _hash(models: Iterable[Model]) -> str:
    content = [model.model_dump(mode="json", by_alias=True) for model in models]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _policy(file: str, node: Node, model: ImagePolicy) -> Policy:
    spec = node.child("spec")
    exempt = spec.child("exempt") if spec is not None else None
    items = exempt.value if exempt is not None and isinstance(exempt.value, list) else []
    return Policy(
        model=model,
        file=file,
        line=node.line,
        lines={Rule(key): line for key, line in _key_lines(spec, "rules").items()},
        exempt_lines=tuple(item.line for item in items),
    )


def _key_lines(spec: Node | None, key: str) -> dict[str, int]:
    node = spec.child(key) if spec is not None else None
    entries = node.value if node is not None and isinstance(node.value, dict) else {}
    return {name: entry.line for name, entry in entries.items()}


def _misspelt_kinds(
    documents: list[tuple[str, Node, Model]], declared: tuple[WorkloadKind, ...]
) -> Iterator[Fault]:
    known = [*POD_KINDS, *(kind.kind for kind in declared)]
    for file, node, model in documents:
        if not isinstance(model, ImagePolicy):
            continue
        for index, kind in enumerate(model.spec.match.kinds or ()):
            if kind in known:
                continue
            where = _at(node, "spec", "match", "kinds", index)
            near = get_close_matches(kind, known, 1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            text = f"no built-in kind with Pods, and no WorkloadKinds declares it{hint}"
            path = f"spec.match.kinds[{index}]"
            yield Fault(file, where.line, where.column, Severity.WARNING, path, text)


def _at(node: Node, *steps: str | int) -> Node:
    for step in steps:
        node = node.child(step) or node
    return node
