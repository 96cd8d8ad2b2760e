"""Ways in which a registry's hosts are configured, each with who may be handed its credentials."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.scripted.values import target
from webhook.registry.exchange import Target
from webhook.registry.settings import Depth, RegistryEntry, RegistrySettings
from webhook.registry.wire import Ask

OF_ONE = "header-of-one"
OF_TWO = "header-of-two"


@dataclass(frozen=True)
class Layout:
    """``may``: scheme, host and port of each who may have the registry's credentials.

    ``of_one`` and ``of_two``: who may have the headers that the file holds for those hosts
    outside of token requests; those may go to whoever may have credentials.
    """

    name: str
    toml: str
    entry: RegistryEntry
    may: frozenset[str]
    of_one: frozenset[str] = frozenset()
    of_two: frozenset[str] = frozenset()
    registry: str = "reg.example"
    settings: RegistrySettings = field(default_factory=RegistrySettings)

    def laid_out(self, folder: Path) -> Layout:
        """Return it with its hosts.toml in place."""
        settings = replace(self.settings, registries=(self.entry,))
        if self.toml:
            root = folder / self.name
            (root / self.registry).mkdir(parents=True)
            (root / self.registry / "hosts.toml").write_text(self.toml, encoding="utf-8")
            settings = replace(settings, hosts_dir=root)
        return replace(self, settings=settings)

    def target(self, rest: str = "acme/app:1", depth: Depth = Depth.EXISTS) -> Target:
        return target(f"{self.registry}/{rest}", depth, self.settings)


def peer(ask: Ask) -> str:
    """Return scheme, host and port of who is asked, the port always spelled out."""
    parts = urlsplit(ask.url)
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname}:{port}"


BARE = RegistryEntry("reg.example")
VOUCHED = RegistryEntry("reg.example", token_services=("auth.example",))
OWN = "https://reg.example:443"
AUTH = "https://auth.example:443"
TWO_MIRRORS = f"""
[host."https://one.example".header]
Authorization = "{OF_ONE}"
[host."https://two.example".header]
X-Key = ["{OF_TWO}", "{OF_TWO}"]
"""

LAYOUTS = (
    Layout("bare", "", BARE, frozenset({OWN})),
    Layout("vouched", "", VOUCHED, frozenset({OWN, AUTH})),
    Layout(
        "plain",
        "",
        RegistryEntry("reg.example", plain_http=True),
        # The scheme is of no matter where plain HTTP may be spoken.
        frozenset({"http://reg.example:80", "https://reg.example:80"}),
    ),
    Layout(
        "mirrors",
        TWO_MIRRORS,
        VOUCHED,
        frozenset({OWN, AUTH, "https://one.example:443", "https://two.example:443"}),
        frozenset({"https://one.example:443"}),
        frozenset({"https://two.example:443"}),
    ),
    Layout(
        "plain-mirror",
        f'[host."http://one.example:5000".header]\nAuthorization = "{OF_ONE}"\n',
        BARE,
        frozenset({OWN, "http://one.example:5000", "https://one.example:5000"}),
        frozenset({"http://one.example:5000"}),
    ),
    Layout(
        "plain-mirror-vouched",
        '[host."http://one.example:5000"]\n',
        VOUCHED,
        # A mirror that is configured for plain HTTP may send to the token service so.
        frozenset(
            {OWN, AUTH, "http://auth.example:80"}
            | {"http://one.example:5000", "https://one.example:5000"}
        ),
    ),
    Layout(
        "falls-back",
        f'[host."http://one.example:5000"]\nskip_verify = true\n'
        f'[host."http://one.example:5000".header]\nX-Key = "{OF_ONE}"\n',
        BARE,
        frozenset({OWN, "http://one.example:5000", "https://one.example:5000"}),
        frozenset({"http://one.example:5000", "https://one.example:5000"}),
    ),
    Layout(
        "falls-back-beside",
        '[host."http://one.example:5000"]\nskip_verify = true\n[host."https://two.example"]\n',
        BARE,
        frozenset({OWN, "http://one.example:5000", "https://one.example:5000"})
        | {"https://two.example:443"},
    ),
    Layout(
        "server",
        'server = "https://two.example"\n[host."https://one.example"]\ncapabilities = ["pull"]\n',
        BARE,
        frozenset({"https://one.example:443", "https://two.example:443"}),
    ),
    Layout(
        "loopback",
        "",
        RegistryEntry("localhost:5000", token_services=("auth.example", "127.0.0.1:5000")),
        frozenset({"http://localhost:5000", "https://localhost:5000", AUTH})
        | {"http://127.0.0.1:5000", "https://127.0.0.1:5000"},
        registry="localhost:5000",
    ),
)
