"""What the kubelet's and containerd's own code say: the measure of our own rules.

The answers come from `tests/parts/kubernetes/oracle`, a Go program that imports
the kubelet's packages and is asked over its standard input.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.parts import locate

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKERCFG = "kubernetes.io/dockercfg"
_DATA_KEYS = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKERCFG: ".dockercfg"}


@dataclass(frozen=True)
class Reference:
    """How a node reads an image; `error` alone stands where it refuses it.

    `requested` is what the kubelet hands to the runtime, `pulled` what containerd
    makes of that, `host` the one it dials, or `address_error` why it cannot.
    """

    error: str | None
    domain: str
    path: str
    repository: str
    tag: str
    digest: str
    requested: str
    pulled: str
    host: str
    address_error: str | None


@dataclass(frozen=True)
class PullSecret:
    name: str
    type: str
    data: Mapping[str, bytes]

    @classmethod
    def of(cls, name: str, config: object, *, type_: str = DOCKER_CONFIG_JSON) -> PullSecret:
        """Make a secret whose type and key agree; bytes are taken as they are."""
        content = config if isinstance(config, bytes) else json.dumps(config).encode()
        return cls(name, type_, {_DATA_KEYS[type_]: content})


@dataclass(frozen=True)
class Credential:
    username: str
    password: str
    secret: str | None


@dataclass(frozen=True)
class Keyring:
    """The credentials in the order in which they are tried; `error` breaks every pull."""

    error: str | None
    matched: bool
    credentials: tuple[Credential, ...]


@dataclass(frozen=True)
class Auths:
    """The normalised keys of a docker config, in the order of the kubelet's index."""

    error: str | None
    keys: tuple[str, ...]


class Program:
    """A running program of ours that answers line by line; to be used from one thread at a time."""

    part: ClassVar[str]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [locate([self.part])[self.part]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The end of its input is its end.
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def ask(self, question: Mapping[str, object]) -> dict[str, Any]:
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            msg = f"{self.part} has no pipes"
            raise RuntimeError(msg)
        to.write(json.dumps(question) + "\n")
        to.flush()
        line = back.readline()
        if not line:
            msg = f"{self.part} died of {json.dumps(question)[:500]}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer


class Oracle(Program):
    """The kubelet's parser and keyring."""

    part = "oracle"

    def reference(self, image: str) -> Reference:
        got = self.ask({"op": "reference", "image": image})
        return Reference(
            error=got.get("error"),
            domain=got["domain"],
            path=got["path"],
            repository=got["repository"],
            tag=got["tag"],
            digest=got["digest"],
            requested=got["requested"],
            pulled=got["pulled"],
            host=got["host"],
            address_error=got.get("address_error"),
        )

    def keyring(self, secrets: Sequence[PullSecret], image: str) -> Keyring:
        """Tell what the kubelet would try for an image, from these secrets of its pod."""
        return self._keyring(secrets, {"image": image})

    def lookup(self, secrets: Sequence[PullSecret], repository: str) -> Keyring:
        """Tell what the keyring holds for a fully qualified name, whatever the grammar says."""
        return self._keyring(secrets, {"repository": repository})

    def auths(self, config: bytes, *, type_: str = DOCKER_CONFIG_JSON) -> Auths:
        got = self.ask({"op": "auths", "type": type_, "data": _base64(config)})
        return Auths(error=got.get("error"), keys=tuple(got["keys"]))

    def _keyring(self, secrets: Sequence[PullSecret], target: dict[str, str]) -> Keyring:
        passed = [
            {
                "name": secret.name,
                "type": secret.type,
                "data": {key: _base64(value) for key, value in secret.data.items()},
            }
            for secret in secrets
        ]
        got = self.ask({"op": "keyring", "secrets": passed, **target})
        return Keyring(
            error=got.get("error"),
            matched=got["matched"],
            credentials=tuple(
                Credential(one["username"], one["password"], one["secret"])
                for one in got["credentials"]
            ),
        )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
