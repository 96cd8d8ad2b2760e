"""The stage that the tests of messages share: registries with images, a server, a namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import UPDATE_GOLDENS
from tests.e2e.harness import Authority, Cluster, Registry, Rule, TokenServer, push_image
from tests.e2e.harness.golden import Golden
from tests.e2e.harness.kubectl import Completed
from tests.e2e.harness.manifests import Manifest, pull_secret, service_account
from tests.e2e.harness.webhook import Webhook
from tests.parts.sight import locate_in_sight

DEFAULT_POLICY = Path(__file__).parents[2] / "policies" / "default.yaml"
ACME = "acme"
STRICT = {"network": "strict"}

# A namespace labelled so wants registries to be up; to read its labels is part of the walk.
_STRICT_POLICY = {
    "apiVersion": "pullproof.dev/v1alpha1",
    "kind": "ImagePolicy",
    "metadata": {"name": "strict-network"},
    "spec": {
        "match": {"namespaceSelector": {"matchLabels": STRICT}},
        "rules": {"registry-unavailable": "deny"},
    },
}


@dataclass(frozen=True)
class Registries:
    """One of each kind: open, Basic behind TLS, token service behind TLS, one to be stopped."""

    open: Registry
    basic: Registry
    token: Registry
    shaky: Registry
    names: Mapping[str, str]
    ca: Path

    def policies(self, folder: Path, vantage: str) -> list[Path]:
        """Write the policies of a server that reaches them from `vantage`."""
        strict = folder / "strict.yaml"
        strict.write_text(json.dumps(_STRICT_POLICY), encoding="utf-8")
        return [DEFAULT_POLICY, self.config(folder, vantage), strict]

    def config(self, folder: Path, vantage: str, *more: Manifest) -> Path:
        """Write how nodes see them, and what is given of `more` registries."""
        tokens = self.token.tokens
        assert tokens is not None
        entries = [
            {"match": self.open.host, "plainHTTP": True},
            {"match": self.basic.host, "ca": str(self.ca)},
            {
                "match": self.token.host,
                "ca": str(self.ca),
                "tokenServices": [f"127.0.0.1:{tokens.port}"],
            },
            {"match": self.shaky.host, "plainHTTP": True},
            *more,
        ]
        config = {
            "apiVersion": "pullproof.dev/v1alpha1",
            "kind": "RegistryConfig",
            "metadata": {"name": "test"},
            "spec": {"nodeCredentials": "none", "vantage": vantage, "registries": entries},
        }
        if vantage == "pod":
            # It is the default, which is what the test is about.
            del config["spec"]["vantage"]  # type: ignore[attr-defined]
        path = folder / "registries.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


@pytest.fixture(scope="session")
def registries(pytestconfig: pytest.Config, authority: Authority) -> Iterator[Registries]:
    locate_in_sight(pytestconfig, ["registry"])
    rules = [Rule("public/*"), Rule("*", user="bot")]
    with ExitStack() as stack:
        enter = stack.enter_context
        tokens = enter(TokenServer({"bot": "right"}, rules, tls=authority))
        some = Registries(
            open=(plain := enter(Registry())),
            basic=(basic := enter(Registry(users={"bot": "right"}, tls=authority))),
            token=(token := enter(Registry(tokens=tokens, tls=authority))),
            shaky=(shaky := enter(Registry())),
            names={
                plain.host: "REGISTRY:PORT",
                basic.host: "BASIC-REGISTRY:PORT",
                token.host: "TOKEN-REGISTRY:PORT",
                shaky.host: "SHAKY-REGISTRY:PORT",
            },
            ca=authority.bundle,
        )
        for tag in ("1.27", "1.28", "latest"):
            push_image(plain, "team/web", tag)
        push_image(plain, "team/migrate", "2.1")
        push_image(basic, "team/api", "2.1")
        push_image(token, "public/redis", "7.4")
        push_image(token, "private/billing", "3.0")
        push_image(shaky, "team/cart", "1.0")
        yield some


@pytest.fixture(scope="session")
def webhook(
    cluster: Cluster, registries: Registries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    """The server that most tests ask; it sees registries as a node does."""
    policies = registries.policies(tmp_path_factory.mktemp("node"), "node")
    with Webhook(cluster, policies) as running:
        yield running
        said = running.said()
    assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def acme(webhook: Webhook, registries: Registries) -> str:
    """A namespace with pull secrets, right and wrong, and an account that has the right one."""
    webhook.serve_namespace(ACME)
    hosts = (registries.basic.host, registries.token.host)
    for document in (
        pull_secret(ACME, "regcred", dict.fromkeys(hosts, ("bot", "right"))),
        pull_secret(ACME, "regcred-old", {registries.basic.host: ("bot", "wrong")}),
        pull_secret(ACME, "registries-old", dict.fromkeys(hosts, ("bot", "wrong"))),
        service_account(ACME, "builder", "regcred"),
    ):
        webhook.cluster.kubectl("create", "-f-", stdin=json.dumps(document), check=True)
    return ACME


class Terminal:
    """A developer's terminal: manifests in a folder, kubectl, and the golden text of it all."""

    def __init__(self, cluster: Cluster, folder: Path, golden: Golden) -> None:
        self._cluster = cluster
        self._folder = folder
        self._golden = golden
        self.call = golden.call
        self.remark = golden.remark
        self.compare = golden.compare

    def kubectl(self, *words: str) -> Completed:
        """Run a command in the folder and write it down."""
        done = self._cluster.kubectl(*words, cwd=self._folder)
        self._golden.see(" ".join(["kubectl", *words]), done)
        return done

    def apply(self, *documents: Manifest, options: tuple[str, ...] = ()) -> list[Completed]:
        """Apply each document from a file of its own, named for its kind and name."""
        done = []
        for document in documents:
            file = f"{document['metadata']['name']}-{document['kind'].lower()}.yaml"
            text = json.dumps(document, indent=2)
            (self._folder / file).write_text(text, encoding="utf-8")
            done.append(self.kubectl("apply", "-f", file, *options))
        return done


@pytest.fixture
def terminal(
    request: pytest.FixtureRequest, cluster: Cluster, registries: Registries, tmp_path: Path
) -> Terminal:
    golden = Golden(registries.names, update=request.config.getoption(UPDATE_GOLDENS))
    return Terminal(cluster, tmp_path, golden)
