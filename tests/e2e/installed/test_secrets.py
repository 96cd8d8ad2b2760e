"""What kubectl prints of pull secrets that are wrong in themselves, and of absent accounts."""

from __future__ import annotations

import base64
import json

from tests.e2e.harness import Cluster
from tests.e2e.harness.kubectl import Completed
from tests.e2e.harness.manifests import Manifest, deployment, pod, pull_secret, with_secrets
from tests.e2e.stage import Registries, Terminal

DOCKER_CONFIG = ".dockerconfigjson"


def create(cluster: Cluster, *documents: Manifest) -> None:
    for document in documents:
        cluster.kubectl("create", "-f-", stdin=json.dumps(document), check=True)


def statuses(done: list[Completed]) -> list[int]:
    return [one.returncode for one in done]


def test_a_secret_that_is_in_another_namespace_only_is_called_missing_here(
    cluster: Cluster, globex: str, namespace: str, registries: Registries, terminal: Terminal
) -> None:
    create(
        cluster, pull_secret(namespace, "shared-login", {registries.basic.host: ("bot", "right")})
    )
    mine = with_secrets("shared-login")
    image = f"{registries.basic.host}/team/api:2.1"
    done = terminal.apply(
        deployment(globex, "elsewhere", image, **mine), pod(globex, "elsewhere", image, **mine)
    )
    assert statuses(done) == [0, 0]
    terminal.compare("secret-in-another-namespace")


def test_a_secret_that_does_not_decode_breaks_every_pull_of_the_pod(
    cluster: Cluster, globex: str, registries: Registries, terminal: Terminal
) -> None:
    broken = pull_secret(globex, "undecodable", {})
    config = {"auths": {registries.basic.host: {"auth": "!no base64!"}}}
    broken["data"] = {DOCKER_CONFIG: base64.b64encode(json.dumps(config).encode()).decode()}
    create(cluster, broken)
    mine = with_secrets("undecodable")
    done = terminal.apply(
        deployment(globex, "garbled", f"{registries.basic.host}/team/api:2.1", **mine),
        pod(globex, "garbled", f"{registries.open.host}/team/web:1.27", **mine),
    )
    assert statuses(done) == [1, 1]
    terminal.compare("secret-undecodable")


def test_a_secret_of_the_wrong_type_is_none_whether_it_is_needed_or_not(
    cluster: Cluster, globex: str, registries: Registries, terminal: Terminal
) -> None:
    opaque = pull_secret(globex, "opaque", {registries.basic.host: ("bot", "right")})
    opaque["type"] = "Opaque"
    create(cluster, opaque)
    mine = with_secrets("opaque")
    private, public = f"{registries.basic.host}/team/api:2.1", f"{registries.open.host}/team/web"
    terminal.remark("the image needs it")
    needed = terminal.apply(
        deployment(globex, "opaque", private, **mine), pod(globex, "opaque", private, **mine)
    )
    terminal.remark("the image does not need it")
    not_needed = terminal.apply(deployment(globex, "opaque-unneeded", f"{public}:1.27", **mine))
    assert (statuses(needed), statuses(not_needed)) == ([1, 1], [0])
    terminal.compare("secret-of-wrong-type")


def test_a_service_account_that_is_not_there_yet_may_bring_a_login(
    globex: str, registries: Registries, terminal: Terminal
) -> None:
    mine = {"serviceAccountName": "deployer"}
    private, public = f"{registries.basic.host}/team/api:2.1", f"{registries.open.host}/team/web"
    [needed, not_needed] = terminal.apply(
        deployment(globex, "early-private", private, **mine),
        deployment(globex, "early-public", f"{public}:1.27", **mine),
    )
    assert statuses([needed, not_needed]) == [0, 0]
    terminal.remark("a Pod is refused by the API server itself, before any webhook is asked")
    [refused] = terminal.apply(pod(globex, "early", f"{public}:1.27", **mine))
    assert refused.returncode == 1
    assert "images.pullproof.dev" not in refused.stderr
    terminal.compare("service-account-not-there-yet")
