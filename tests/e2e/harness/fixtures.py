"""Fixtures of real components, for the conftest of every folder that wants some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.harness.cluster import COMPONENTS, Cluster
from tests.e2e.harness.pki import Authority
from tests.e2e.harness.registry import Registry
from tests.e2e.harness.tokens import Rule, TokenServer
from tests.parts.sight import locate_in_sight


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The one control plane of the run; a test takes a `namespace` in it."""
    locate_in_sight(pytestconfig, COMPONENTS)
    with Cluster() as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, its account `default` in place."""
    name = cluster.create_namespace()
    yield name
    cluster.delete_namespace(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of the registries' certificates; nothing trusts it by itself."""
    return Authority(tmp_path_factory.mktemp("pki"), "registry-ca")


@pytest.fixture
def start_registry(pytestconfig: pytest.Config) -> Iterator[Callable[..., Registry]]:
    """Start registries, with the arguments of `Registry`, that end with the test."""
    locate_in_sight(pytestconfig, ["registry"])
    with ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(Registry(**arguments))


@pytest.fixture
def start_tokens() -> Iterator[Callable[..., TokenServer]]:
    """Start token services, with the arguments of `TokenServer`, that end with the test."""
    with ExitStack() as stack:
        yield lambda *positional, **arguments: stack.enter_context(
            TokenServer(*positional, **arguments)
        )


@pytest.fixture(scope="session")
def registry(pytestconfig: pytest.Config) -> Iterator[Registry]:
    """An open registry over plain HTTP."""
    locate_in_sight(pytestconfig, ["registry"])
    with Registry() as running:
        yield running


@pytest.fixture(scope="session")
def basic_registry(pytestconfig: pytest.Config) -> Iterator[Registry]:
    """A registry that wants Basic: the account is `bot`, its password `right`."""
    locate_in_sight(pytestconfig, ["registry"])
    with Registry(users={"bot": "right"}) as running:
        yield running


@pytest.fixture(scope="session")
def token_registry(pytestconfig: pytest.Config) -> Iterator[Registry]:
    """A registry with a token service: `bot`/`right` may pull all, nobody `public/*` only."""
    locate_in_sight(pytestconfig, ["registry"])
    rules = [Rule("public/*"), Rule("*", user="bot")]
    with TokenServer({"bot": "right"}, rules) as tokens, Registry(tokens=tokens) as running:
        yield running
