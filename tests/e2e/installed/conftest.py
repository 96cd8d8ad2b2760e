from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.harness import Cluster
from tests.e2e.harness.manifests import pull_secret, service_account
from tests.e2e.installation import Installation
from tests.e2e.stage import Registries

NAMESPACE = "globex"


@pytest.fixture(scope="package")
def installation(
    cluster: Cluster, registries: Registries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """deploy/base, asked about every namespace: it ends with the tests of this folder."""
    config = registries.config(tmp_path_factory.mktemp("nodes"), "node")
    with Installation(cluster, [config]) as running:
        yield running


@pytest.fixture(scope="package")
def globex(installation: Installation, registries: Registries) -> Iterator[str]:
    """A namespace with pull secrets, right and wrong, and an account that has the right one."""
    cluster = installation.cluster
    cluster.create_namespace(NAMESPACE)
    host = registries.basic.host
    for document in (
        pull_secret(NAMESPACE, "regcred", {host: ("bot", "right")}),
        pull_secret(NAMESPACE, "regcred-old", {host: ("bot", "wrong")}),
        service_account(NAMESPACE, "builder", "regcred"),
    ):
        cluster.kubectl("create", "-f-", stdin=json.dumps(document), check=True)
    yield NAMESPACE
    cluster.delete_namespace(NAMESPACE)
