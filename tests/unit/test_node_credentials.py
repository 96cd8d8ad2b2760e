"""What ``nodeCredentials`` says: whether nodes hold credentials, and who knows of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from webhook.cli.assemble import Desk, open_policies
from webhook.cli.options import Parser, add_view, view_of
from webhook.cluster.none import NoCluster
from webhook.credentials.node import NodeFiles, NoNodeCredentials
from webhook.images.reference import Reference, parse
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import NodeCredentials, RegistrySettings
from webhook.registry.vantage import seen_from_nodes

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1"
REFUSED = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING)


def seen(image: str, outcome: Outcome, held: NodeCredentials) -> Outcome:
    reference = parse(image)
    assert isinstance(reference, Reference)
    return seen_from_nodes(outcome, reference, RegistrySettings(node_credentials=held))


@pytest.mark.parametrize(
    "image",
    [
        ECR,
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/app:1",
        "europe-docker.pkg.dev/p/r/app:1",
        "eu.gcr.io/p/app:1",
        "gcr.io/p/app:1",
        "corp.azurecr.io/app:1",
    ],
)
def test_auto_leaves_a_refusal_by_a_large_clouds_registry_undecided(image: str) -> None:
    outcome = seen(image, REFUSED, NodeCredentials.AUTO)
    assert (outcome.pull, outcome.cause) == (Pull.UNKNOWN, Cause.NODE_CREDENTIALS_UNDECLARED)


@pytest.mark.parametrize(
    "cause",
    [
        Cause.CREDENTIALS_MISSING,
        Cause.CREDENTIALS_REJECTED,
        Cause.CREDENTIALS_EXPIRED,
        Cause.PERMISSION_DENIED,
        Cause.DENIED_OR_MISSING,
    ],
)
def test_every_kind_of_refusal_is_one_that_nodes_may_not_meet(cause: Cause) -> None:
    assert seen(ECR, Outcome(Pull.FAILS, cause), NodeCredentials.AUTO).pull is Pull.UNKNOWN


@pytest.mark.parametrize("held", [NodeCredentials.NONE, NodeCredentials.FILES])
def test_where_it_is_declared_what_nodes_hold_a_refusal_stands(held: NodeCredentials) -> None:
    assert seen(ECR, REFUSED, held) is REFUSED


@pytest.mark.parametrize(
    ("image", "outcome"),
    [
        ("registry.corp/app:1", REFUSED),
        ("evil.example/gcr.io/app:1", REFUSED),
        (ECR, Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND)),
        (ECR, Outcome(Pull.FAILS, Cause.DENIED_OR_MISSING, before_credentials=True)),
    ],
)
def test_auto_takes_other_registries_nodes_to_hold_none(image: str, outcome: Outcome) -> None:
    assert seen(image, outcome, NodeCredentials.AUTO) is outcome


@pytest.mark.parametrize("held", NodeCredentials)
def test_files_alone_are_read(tmp_path: Path, held: NodeCredentials) -> None:
    policy = {
        "apiVersion": "pullproof.dev/v1alpha1",
        "kind": "RegistryConfig",
        "metadata": {"name": "nodes"},
        "spec": {"nodeCredentials": held.value, "nodeDockerConfig": str(tmp_path / "config.json")},
    }
    (tmp_path / "registries.yaml").write_text(json.dumps(policy))
    parser = Parser(prog="x")
    add_view(parser)
    options = view_of(parser.parse_args(["--policy", str(tmp_path / "registries.yaml")]))
    desk = Desk(open_policies(options), NoCluster(), options)
    try:
        wanted = NodeFiles if held is NodeCredentials.FILES else NoNodeCredentials
        assert isinstance(desk.engine().node_keyring, wanted)
    finally:
        desk.close()
