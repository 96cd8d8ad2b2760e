"""What kubectl prints of each image, word for word: the texts stand in `goldens/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.harness import Cluster
from tests.e2e.harness.golden import GOLDENS
from tests.e2e.harness.manifests import Manifest, deployment, pod, with_secrets
from tests.e2e.stage import ACME, Registries, Terminal


class Case(NamedTuple):
    """What is applied one after the other, and the exit status of each."""

    make: Callable[[Registries], list[Manifest]]
    status: int


def public_image(r: Registries) -> list[Manifest]:
    return [
        deployment(ACME, "web", f"{r.open.host}/team/web:1.27"),
        pod(ACME, "web", f"{r.open.host}/team/web:1.27"),
        deployment(ACME, "redis", f"{r.token.host}/public/redis:7.4"),
    ]


def private_image_by_pod_secret(r: Registries) -> list[Manifest]:
    mine = with_secrets("regcred")
    return [
        deployment(ACME, "api", f"{r.basic.host}/team/api:2.1", **mine),
        pod(ACME, "billing", f"{r.token.host}/private/billing:3.0", **mine),
    ]


def private_image_by_service_account(r: Registries) -> list[Manifest]:
    mine = {"serviceAccountName": "builder"}
    return [
        deployment(ACME, "billing-by-account", f"{r.token.host}/private/billing:3.0", **mine),
        pod(ACME, "api-by-account", f"{r.basic.host}/team/api:2.1", **mine),
    ]


def private_image_without_secret(r: Registries) -> list[Manifest]:
    return [
        deployment(ACME, "api-bare", f"{r.basic.host}/team/api:2.1"),
        pod(ACME, "billing-bare", f"{r.token.host}/private/billing:3.0"),
    ]


def misspelled_repository(r: Registries) -> list[Manifest]:
    mine = with_secrets("regcred")
    return [
        deployment(ACME, "typo", f"{r.open.host}/team/wbe:1.27"),
        pod(ACME, "typo", f"{r.basic.host}/team/aip:2.1", **mine),
        deployment(ACME, "typo-anonymous", f"{r.token.host}/pulbic/redis:7.4"),
    ]


def missing_tag(r: Registries) -> list[Manifest]:
    mine = with_secrets("regcred")
    return [
        deployment(ACME, "old", f"{r.open.host}/team/web:1.26"),
        pod(ACME, "old", f"{r.basic.host}/team/api:1.9", **mine),
        pod(ACME, "old-billing", f"{r.token.host}/private/billing:2.9", **mine),
    ]


def no_tag(r: Registries) -> list[Manifest]:
    image = f"{r.open.host}/team/web"
    return [deployment(ACME, "untagged", image), pod(ACME, "untagged", image)]


def latest_tag(r: Registries) -> list[Manifest]:
    image = f"{r.open.host}/team/web:latest"
    return [deployment(ACME, "latest", image), pod(ACME, "latest", image)]


def missing_secret_needed(r: Registries) -> list[Manifest]:
    absent = with_secrets("regcrd")
    return [
        deployment(ACME, "early", f"{r.basic.host}/team/api:2.1", **absent),
        pod(ACME, "early", f"{r.token.host}/private/billing:3.0", **absent),
    ]


def missing_secret_not_needed(r: Registries) -> list[Manifest]:
    absent = with_secrets("regcrd")
    return [
        deployment(ACME, "unneeded", f"{r.open.host}/team/web:1.27", **absent),
        pod(ACME, "unneeded", f"{r.open.host}/team/web:1.27", **absent),
    ]


def wrong_password(r: Registries) -> list[Manifest]:
    stale, both_stale = with_secrets("regcred-old"), with_secrets("registries-old")
    return [
        deployment(ACME, "stale", f"{r.basic.host}/team/api:2.1", **stale),
        pod(ACME, "stale", f"{r.token.host}/private/billing:3.0", **both_stale),
    ]


def secret_of_another_registry(r: Registries) -> list[Manifest]:
    other = with_secrets("regcred-old")
    image = f"{r.token.host}/private/billing:3.0"
    return [deployment(ACME, "other", image, **other), pod(ACME, "other", image, **other)]


def init_container(r: Registries) -> list[Manifest]:
    first = {"initContainers": [{"name": "migrate", "image": f"{r.open.host}/team/migrate:2.2"}]}
    image = f"{r.open.host}/team/web:1.27"
    return [deployment(ACME, "migrated", image, **first), pod(ACME, "migrated", image, **first)]


# The name is the golden's: what a person would call it.
CASES = {
    "public-image": Case(public_image, 0),
    "private-image-by-pod-secret": Case(private_image_by_pod_secret, 0),
    "private-image-by-service-account": Case(private_image_by_service_account, 0),
    "private-image-without-secret": Case(private_image_without_secret, 1),
    "misspelled-repository": Case(misspelled_repository, 1),
    "missing-tag": Case(missing_tag, 1),
    "no-tag": Case(no_tag, 0),
    "latest-tag": Case(latest_tag, 0),
    "missing-secret-needed": Case(missing_secret_needed, 0),
    "missing-secret-not-needed": Case(missing_secret_not_needed, 0),
    "wrong-password": Case(wrong_password, 1),
    "secret-of-another-registry": Case(secret_of_another_registry, 1),
    "init-container": Case(init_container, 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("acme")
def test_kubectl_prints_what_the_golden_text_says(
    name: str, registries: Registries, terminal: Terminal
) -> None:
    case = CASES[name]
    done = terminal.apply(*case.make(registries))
    # The exit status stands in the golden too; here it survives an update of that.
    assert [one.returncode for one in done] == [case.status] * len(done)
    terminal.compare(name)


def test_a_dry_run_on_the_server_is_judged_alike_and_stores_nothing(
    cluster: Cluster, acme: str, registries: Registries, terminal: Terminal
) -> None:
    good = f"{registries.open.host}/team/web:1.28"
    bad = f"{registries.open.host}/team/web:1.29"
    terminal.apply(
        deployment(acme, "dry-good", good),
        deployment(acme, "dry-bad", bad),
        pod(acme, "dry-good", good),
        pod(acme, "dry-bad", bad),
        options=("--dry-run=server",),
    )
    for path in (f"/apis/apps/v1/namespaces/{acme}/deployments", f"/api/v1/namespaces/{acme}/pods"):
        for name in ("dry-good", "dry-bad"):
            assert cluster.get(f"{path}/{name}") == {}
    terminal.compare("dry-run")


def test_every_golden_text_belongs_to_a_test() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    stray = [path.name for path in GOLDENS.iterdir() if f'"{path.stem}"' not in sources]
    assert stray == []
