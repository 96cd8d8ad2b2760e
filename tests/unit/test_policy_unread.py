"""What RegistryConfig accepts and this version does not act on leads to no denial."""

from pathlib import Path

import pytest

from webhook.images.reference import Reference, parse
from webhook.policy.files import PolicySet, load
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.vantage import seen_from_nodes

HEAD = """\
apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata: {name: nodes}
spec:
"""


def settings_of(tmp_path: Path, spec: str) -> PolicySet:
    file = tmp_path / "registries.yaml"
    file.write_text(HEAD + spec)
    loaded = load([file])
    assert isinstance(loaded, PolicySet), loaded
    return loaded


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("  hostsDir: /etc/containerd/certs.d\n", ("hostsDir",)),
        ('  proxy: {https: "http://proxy.corp:3128"}\n', ("proxy",)),
        ("  vantage: node\n", ()),
    ],
)
def test_what_changes_the_nodes_way_to_a_registry_is_named_as_unread(
    tmp_path: Path, spec: str, named: tuple[str, ...]
) -> None:
    assert settings_of(tmp_path, spec).registry.unread == named


def test_a_failure_is_undecided_where_nodes_go_another_way(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "  hostsDir: /etc/containerd/certs.d\n").registry
    reference = parse("registry.corp/app:1")
    assert isinstance(reference, Reference)
    missing = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)
    seen = seen_from_nodes(missing, reference, settings)
    assert (seen.pull, seen.cause) == (Pull.UNKNOWN, Cause.RUNTIME_UNKNOWN)
    assert "hostsDir" in seen.detail


def test_a_success_stands_where_nodes_go_another_way(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "  hostsDir: /etc/containerd/certs.d\n").registry
    reference = parse("registry.corp/app:1")
    assert isinstance(reference, Reference)
    assert seen_from_nodes(Outcome(Pull.OK), reference, settings).pull is Pull.OK
