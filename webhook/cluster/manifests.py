"""A cluster as a folder of manifests describes it."""

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from webhook.cluster import jsontext
from webhook.cluster.node import Node as ClusterNode
from webhook.cluster.node import node_of
from webhook.cluster.nodes import Nodes
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.cluster.yamltext import Flavour, Node, parse, quoted
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline

SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 32 * 1024 * 1024
NAME_LABEL = "kubernetes.io/metadata.name"
OPAQUE = "Opaque"
DEFAULT_ACCOUNT = "default"


class ManifestError(Exception):
    """A manifest that cannot be read: ``file:line: reason``, with nothing secret in it."""

    def __init__(self, file: Path, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class ManifestView:
    """Secrets, ServiceAccounts and Namespaces of a folder, read once at construction.

    Recursive over ``*.yaml``, ``*.yml`` and ``*.json``; several documents and Lists;
    an object without a namespace belongs to ``namespace``. Where an object stands
    twice, the last one holds, as it would after ``kubectl apply``. Raises
    :class:`ManifestError` for what the API server or a YAML parser would refuse.
    """

    def __init__(self, folder: Path, namespace: str = "default") -> None:
        self._namespace = namespace
        self._secrets: dict[tuple[str, str], Secret] = {}
        self._accounts: dict[tuple[str, str], ServiceAccount] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._node_objects: dict[str, ClusterNode] = {}
        for file in files(folder):
            for manifest in documents(file):
                self._take(manifest)
        self._nodes = Nodes(self._node_objects.values())

    def secret(
        self,
        namespace: str,
        name: str,
        deadline: Deadline,  # noqa: ARG002 - the protocol's
        *,
        fresh: bool = False,  # noqa: ARG002
    ) -> Secret | Absent | Unreadable:
        return self._secrets.get((namespace, name), Absent())

    def service_account(
        self,
        namespace: str,
        name: str,
        deadline: Deadline,  # noqa: ARG002
        *,
        fresh: bool = False,  # noqa: ARG002
    ) -> ServiceAccount | Absent | Unreadable:
        """Return an account; every namespace has an account ``default``, empty unless given."""
        found = self._accounts.get((namespace, name))
        if found is None and name == DEFAULT_ACCOUNT:
            return ServiceAccount(namespace, name, ())
        return found if found is not None else Absent()

    def namespace_labels(
        self,
        namespace: str,
        deadline: Deadline,  # noqa: ARG002
    ) -> Mapping[str, str] | Unreadable:
        """Return a namespace's labels, none for one that no manifest describes."""
        return self._labels.get(namespace, {})

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable:  # noqa: ARG002
        """Return the nodes that the manifests describe."""
        return self._nodes

    def secrets(self) -> tuple[Secret, ...]:
        """Return every Secret that was read."""
        return tuple(self._secrets.values())

    def service_accounts(self) -> tuple[ServiceAccount, ...]:
        """Return every ServiceAccount that was read."""
        return tuple(self._accounts.values())

    def _take(self, found: "Manifest") -> None:
        if found.api_version != "v1":
            return
        if found.kind == "Secret":
            secret = found.secret(self._namespace)
            self._secrets[secret.namespace, secret.name] = secret
        elif found.kind == "ServiceAccount":
            account = found.service_account(self._namespace)
            self._accounts[account.namespace, account.name] = account
        elif found.kind == "Node":
            self._node_objects[found.name] = found.node()
        elif found.kind == "Namespace":
            # The API server sets this label on every namespace.
            self._labels[found.name] = found.labels() | {NAME_LABEL: found.name}


class Manifest:
    """One object of a manifest, read field by field."""

    def __init__(self, file: Path, node: Node, kind: str = "", api_version: str = "") -> None:
        self.file = file
        self.root = node
        self.kind = self._text("kind") or kind
        self.api_version = self._text("apiVersion") or api_version

    def items(self) -> Iterator["Manifest"]:
        """Return what a List holds; the items of a typed list need not repeat their kind."""
        node = self.root.child("items")
        kind = self.kind.removesuffix("List")
        for item in node.value if node is not None and isinstance(node.value, list) else ():
            yield Manifest(self.file, item, kind, self.api_version)

    @property
    def given_name(self) -> str:
        """The object's name, empty where it has none."""
        return self._text("metadata", "name")

    @property
    def generate_name(self) -> str:
        """What the API server makes the object's name of, where it has none."""
        return self._text("metadata", "generateName")

    @property
    def name(self) -> str:
        """The object's name; empty where the API server would make one up."""
        name = self.given_name
        if not name and not self.generate_name:
            raise self._error(self.root, f"the {self.kind} has no metadata.name")
        return name

    def namespace(self, default: str) -> str:
        return self._text("metadata", "namespace") or default

    def labels(self) -> dict[str, str]:
        return dict(self._strings("metadata", "labels"))

    def node(self) -> ClusterNode:
        return node_of(self.root.plain())

    def secret(self, namespace: str) -> Secret:
        data = {key: self._decoded(key) for key, _ in self._strings("data")}
        data |= {key: text.encode() for key, text in self._strings("stringData")}
        return Secret(
            namespace=self.namespace(namespace),
            name=self.name,
            type=self._text("type") or OPAQUE,
            data=data,
            uid=self._text("metadata", "uid"),
        )

    def service_account(self, namespace: str) -> ServiceAccount:
        node = self.root.child("imagePullSecrets")
        items = node.value if node is not None and isinstance(node.value, list) else []
        names = (item.child("name") for item in items)
        return ServiceAccount(
            namespace=self.namespace(namespace),
            name=self.name,
            image_pull_secrets=tuple(
                name.value for name in names if name is not None and isinstance(name.value, str)
            ),
        )

    def _decoded(self, key: str) -> bytes:
        node = self._at("data", key) or self.root
        text = node.value if isinstance(node.value, str) else ""
        try:
            # Go's decoder, which the API server uses, skips line breaks and nothing else.
            return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
        except ValueError:
            where = f"Secret {quoted(self.name)}: data[{quoted(key)}]"
            raise self._error(node, f"{where} is not base64: the API server refuses it") from None

    def _strings(self, *path: str) -> Iterator[tuple[str, str]]:
        node = self._at(*path)
        for key, entry in node.value.items() if node and isinstance(node.value, dict) else ():
            value = entry.value.value
            if value is not None and not isinstance(value, str):
                where = f"{self.kind} {quoted(self.name)}: {'.'.join(path)}[{quoted(key)}]"
                raise self._error(entry.value, f"{where} is no string: the API server refuses it")
            yield key, value or ""

    def _text(self, *path: str) -> str:
        node = self._at(*path)
        return node.value if node is not None and isinstance(node.value, str) else ""

    def _at(self, *path: str) -> Node | None:
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node is not None else None
        return node

    def _error(self, node: Node, reason: str) -> ManifestError:
        return ManifestError(self.file, node.line, reason)


def files(path: Path) -> Iterator[Path]:
    """Yield the manifests of a folder, by name, or the file itself (a pipe too)."""
    if not path.exists():
        raise ManifestError(path, 1, "no such file or folder")
    if not path.is_dir():
        yield path
        return
    found = (root / name for root, names in _walk(path) for name in names)
    yield from sorted(file for file in found if file.suffix in SUFFIXES and _is_readable(file))


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Walk a folder; one that cannot be listed is told, not passed over."""

    def refuse(error: OSError) -> None:
        raise ManifestError(Path(error.filename), 1, f"cannot be read: {error.strerror}") from None

    for root, _, names in os.walk(folder, onerror=refuse):
        yield Path(root), names


def _is_readable(file: Path) -> bool:
    """Tell whether to open a file; a link that leads nowhere is opened too, so that it is told."""
    return file.is_file() or (file.is_symlink() and not file.exists())


def documents(file: Path) -> Iterator[Manifest]:
    """Read every object of a file. Raises ManifestError."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ManifestError(file, 1, f"cannot be read: {error.strerror}") from None
    yield from read(content, file)


def read(content: bytes, file: Path) -> Iterator[Manifest]:
    """Read every object of a text; ``file`` is where it came from. Raises ManifestError."""
    text = _text(content, file)
    nodes, faults = parse(text, Flavour.KUBERNETES)
    if faults:
        from_json = jsontext.parse(text) if text.lstrip()[:1] == "{" else None
        if from_json is None:
            raise ManifestError(file, faults[0].line, faults[0].text)
        nodes = from_json
    for node in nodes:
        if node.value is not None:
            yield from _flat(Manifest(file, node))


def _flat(manifest: Manifest) -> Iterator[Manifest]:
    """Yield the objects within a List, or the object itself."""
    if not manifest.kind.endswith("List"):
        yield manifest
        return
    for item in manifest.items():
        yield from _flat(item)


def _text(content: bytes, file: Path) -> str:
    if len(content) > MAX_BYTES:
        raise ManifestError(file, 1, f"is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ManifestError(file, line, "is not UTF-8") from None
