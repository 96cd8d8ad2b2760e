"""A case laid out in the lab: its addresses, its bytes, its placeholders filled in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.differential.content import Shelf, stock
from tests.differential.identities import ZONE
from tests.differential.model import Case, Content, Secret, Server
from tests.differential.names import Answer

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?)\}")
# These are filled in for each request, by the server.
_OF_THE_REQUEST = frozenset({"path", "query"})

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKERCFG = "kubernetes.io/dockercfg"
ALONE = "*"


@dataclass(frozen=True)
class PullSecret:
    """A secret as the API server holds it; `data` is None for one that is not there."""

    name: str
    type: str
    data: Mapping[str, bytes] | None

    @property
    def plain(self) -> bytes | None:
        """The docker config inside, where type and key agree and nothing else is in there."""
        keys = {DOCKER_CONFIG_JSON: ".dockerconfigjson", DOCKERCFG: ".dockercfg"}
        key = keys.get(self.type)
        if self.data is None or key is None or set(self.data) != {key}:
            return None
        return self.data[key]

    def as_json(self) -> dict[str, Any]:
        data = {key: base64.b64encode(value).decode() for key, value in (self.data or {}).items()}
        return {"name": self.name, "type": self.type, "data": data}


@dataclass(frozen=True)
class Site:
    """One server of a laid-out case. `host` is what stands in a reference."""

    server: Server
    name: str
    address: str
    port: int
    shelf: Shelf

    @property
    def host(self) -> str:
        shown = f"[{self.name}]" if ":" in self.name else self.name
        return shown if self.port == 443 else f"{shown}:{self.port}"

    @property
    def url(self) -> str:
        scheme = "https" if self.server.transport == "https" else "http"
        shown = f"[{self.name}]" if ":" in self.name else self.name
        return f"{scheme}://{shown}" + ("" if self.port == 443 else f":{self.port}")

    @property
    def placeholders(self) -> dict[str, str]:
        mine = {
            "host": self.host, "name": self.name, "address": self.address, "port": str(self.port),
            "url": self.url, **self.shelf.placeholders,
        }  # fmt: skip
        return {self.server.as_: self.host} | {
            f"{self.server.as_}.{key}": value for key, value in mine.items()
        }


@dataclass(frozen=True)
class Plot:
    case: Case
    sites: tuple[Site, ...]

    @cached_property
    def names(self) -> dict[str, Answer]:
        """What the name service tells while the case runs."""
        told: dict[str, Answer] = {}
        for site in self.sites:
            if site.server.resolves and site.server.distribution is None:
                for name in (site.name, *site.server.names):
                    if not _is_address(name):
                        told.setdefault(name, [site.address])
        told.update(self.case.dns)
        return told

    @cached_property
    def claims(self) -> frozenset[str]:
        """What no other case may use at the same time; ALONE is the whole lab."""
        held = {f"name {name.lower()}" for name in self.names}
        for site in self.sites:
            if site.server.distribution is None:
                held.add(f"socket {site.address}:{site.port}")
        for folder in self.case.hosts:
            held.add(ALONE if folder == "_default" else f"certs.d {folder}")
        return frozenset(held)

    @property
    def counts(self) -> bool:
        """Tell whether a server goes by how often it was asked."""
        return any(r.when.nth is not None for site in self.sites for r in site.server.routes)

    @cached_property
    def secrets(self) -> tuple[PullSecret, ...]:
        return tuple(
            _secret(secret, f"secret-{number}")
            for number, secret in enumerate(self.case.secrets, start=1)
        )

    @cached_property
    def hosts_files(self) -> dict[str, str]:
        """The files of certs.d by their path in it."""
        files = {}
        for folder, given in self.case.hosts.items():
            texts = {"hosts.toml": given} if isinstance(given, str) else given
            files.update({f"{folder}/{name}": text for name, text in texts.items()})
        return files


class Surveyor:
    """Lays cases out: every server gets an address of its own unless the case names one."""

    def __init__(
        self,
        common: Mapping[str, str],
        distributions: Mapping[str, str],
        tokens: Mapping[str, str],
    ) -> None:
        self._common = common
        self._tokens = tokens
        # Where each real registry is (name and port), by its kind.
        self._distributions = distributions
        self._count = 0

    def lay_out(self, case: Case) -> Plot:
        """Lay out one case. Raises ValueError where it cannot be."""
        try:
            return self._laid_out(case)
        except ValueError as error:
            msg = f"{case.id}: {error}"
            raise ValueError(msg) from error

    def _laid_out(self, case: Case) -> Plot:
        named = self._named(case)
        hosts = {"id": case.id}
        for server, name, _, port in named:
            shown = f"[{name}]" if ":" in name else name
            hosts[server.as_] = shown if port == 443 else f"{shown}:{port}"
        sites: list[Site] = []
        for server, name, address, port in named:
            contents = self._contents(server, sites, hosts)
            if contents is None:
                shelf = sites[0].shelf
            else:
                shelf = stock(contents, f"{case.id} {server.as_}")
            sites.append(Site(server, name, address, port, shelf))
        return self._filled(case, sites)

    def _named(self, case: Case) -> list[tuple[Server, str, str, int]]:
        found = []
        for number, server in enumerate(case.servers):
            if server.distribution is not None:
                kind = f"{server.distribution}-{server.transport}"
                name, _, port = self._distributions[kind].rpartition(":")
                found.append((server, name, "127.0.0.1", int(port)))
                continue
            own = case.id if number == 0 else f"{case.id[:40]}-{server.as_}".replace("_", "-")
            name = _fill(server.name, {"id": case.id}) if server.name else f"{own}.{ZONE}"
            address = server.address or (name if _is_address(name) else self._address(server))
            found.append((server, name, address, server.port))
        return found

    def _address(self, server: Server) -> str:
        self._count += 1
        network = {"blackhole": 8, "unreachable": 7}.get(server.transport, 9)
        return f"10.{network}.{self._count >> 8}.{self._count & 255}"

    def _contents(
        self, server: Server, before: list[Site], known: Mapping[str, str]
    ) -> list[Content] | None:
        if server.content is None:
            return None if before else [Content()]
        return [
            Content.model_validate(_walk(content.model_dump(), known, strict=False))
            for content in server.content
        ]

    def _filled(self, case: Case, sites: list[Site]) -> Plot:
        known = dict(self._common) | {"id": case.id}
        for site in sites:
            known.update(site.placeholders)
            tokens = self._tokens.get(f"{site.server.distribution}-{site.server.transport}")
            if tokens is not None:
                known[f"{site.server.as_}.tokens"] = tokens
        if sites:
            known.update(sites[0].shelf.placeholders)
        given = case.model_dump(by_alias=True)
        image = _fill(given.pop("image"), known)
        # Made already: its bytes must not change.
        contents = [server.pop("content") for server in given["servers"]]
        filled = _walk(given, known, strict=True)
        for server, content in zip(filled["servers"], contents, strict=True):
            server["content"] = content
        done = Case.model_validate({**filled, "image": image})
        return Plot(
            done,
            tuple(
                Site(server, site.name, site.address, site.port, site.shelf)
                for server, site in zip(done.servers, sites, strict=True)
            ),
        )


def _secret(given: Secret, name: str) -> PullSecret:
    name = given.name or name
    if given.missing:
        return PullSecret(name, given.type, None)
    if given.data is not None:
        data = {key: _octets(text) for key, text in given.data.items()}
        return PullSecret(name, given.type, data)
    if given.dockercfg is not None:
        text = json.dumps(given.dockercfg)
        return PullSecret(name, DOCKERCFG, {".dockercfg": text.encode()})
    key = ".dockercfg" if given.type == DOCKERCFG else ".dockerconfigjson"
    text = given.raw if given.raw is not None else json.dumps({"auths": given.auths or {}})
    return PullSecret(name, given.type, {key: _octets(text)})


def _octets(text: str) -> bytes:
    # YAML's \xff escapes mean that very byte.
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _is_address(name: str) -> bool:
    return ":" in name or re.fullmatch(r"[0-9.]+", name) is not None


def _fill(text: str, known: Mapping[str, str], *, strict: bool = False) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] in known:
            return known[match[1]]
        if strict and match[1] not in _OF_THE_REQUEST:
            msg = f"nothing is called {match[0]}"
            raise ValueError(msg)
        return match[0]

    return _PLACEHOLDER.sub(value, text)


def _walk(node: Any, known: Mapping[str, str], *, strict: bool) -> Any:
    if isinstance(node, str):
        return _fill(node, known, strict=strict)
    if isinstance(node, dict):
        return {
            _fill(key, known, strict=strict) if isinstance(key, str) else key: _walk(
                value, known, strict=strict
            )
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_walk(value, known, strict=strict) for value in node]
    return node
