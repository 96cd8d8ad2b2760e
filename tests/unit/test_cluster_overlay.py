from pathlib import Path

from webhook.cluster.manifests import ManifestView, read
from webhook.cluster.none import NOTHING_GIVEN, NoCluster
from webhook.cluster.overlay import Overlay
from webhook.cluster.view import Absent, ClusterView, ServiceAccount, Unreadable
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

SOON = Deadline.after(60)
TEXT = """\
apiVersion: v1
kind: Secret
metadata: {name: here}
type: new
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: shop}
imagePullSecrets: [{name: here}]
"""


def overlay(text: str, base: ClusterView | None = None, namespace: str = "default") -> Overlay:
    return Overlay(base or NoCluster(), read(text.encode(), Path("a.yaml")), namespace)


def folder(tmp_path: Path) -> ManifestView:
    (tmp_path / "cluster.yaml").write_text(
        "{apiVersion: v1, kind: Secret, metadata: {name: here}, type: old}\n---\n"
        "{apiVersion: v1, kind: Secret, metadata: {name: there}, type: old}\n---\n"
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tier: prod}}}\n---\n"
        "{apiVersion: v1, kind: Node, metadata: {name: n1}}\n"
    )
    return ManifestView(tmp_path)


def type_of(view: ClusterView, name: str, namespace: str = "default") -> str:
    found = view.secret(namespace, name, SOON)
    assert isinstance(found, Secret), found
    return found.type


def test_what_the_manifests_bring_comes_before_what_the_view_holds(tmp_path: Path) -> None:
    laid = overlay(TEXT, folder(tmp_path))
    assert (type_of(laid, "here"), type_of(laid, "there")) == ("new", "old")
    account = laid.service_account("shop", "bot", SOON)
    assert account == ServiceAccount("shop", "bot", ("here",))


def test_what_neither_has_is_the_views_to_answer(tmp_path: Path) -> None:
    laid = overlay(TEXT, folder(tmp_path))
    assert laid.secret("default", "nowhere", SOON) == Absent()
    assert laid.service_account("shop", "default", SOON) == ServiceAccount("shop", "default", ())
    assert overlay(TEXT).secret("default", "nowhere", SOON) == NOTHING_GIVEN
    assert overlay(TEXT).service_account("shop", "default", SOON) == NOTHING_GIVEN


def test_namespaces_and_nodes_are_those_of_the_view(tmp_path: Path) -> None:
    text = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tier: test}}}"
    labels = overlay(text, folder(tmp_path)).namespace_labels("shop", SOON)
    assert not isinstance(labels, Unreadable)
    assert labels["tier"] == "prod"
    nodes = overlay(text, folder(tmp_path)).nodes(SOON)
    assert not isinstance(nodes, Unreadable)
    assert [node.name for node in nodes.nodes] == ["n1"]


def test_an_object_without_a_namespace_belongs_to_the_given_one() -> None:
    assert type_of(overlay(TEXT, namespace="team"), "here", "team") == "new"


def test_the_last_of_two_objects_of_one_name_holds() -> None:
    text = TEXT + "---\n{apiVersion: v1, kind: Secret, metadata: {name: here}, type: newest}"
    assert type_of(overlay(text), "here") == "newest"


def test_secrets_of_other_groups_and_without_a_name_are_nobodys() -> None:
    text = (
        "{apiVersion: x.io/v1, kind: Secret, metadata: {name: s}}\n---\n"
        "{apiVersion: v1, kind: Secret}\n---\n"
        "{apiVersion: v1, kind: Secret, metadata: {generateName: s-}}\n---\n"
        "{apiVersion: v1, kind: ServiceAccount, metadata: []}\n"
    )
    assert overlay(text).secret("default", "s", SOON) == NOTHING_GIVEN


def test_a_secret_that_the_api_server_would_refuse_is_not_known_rather_than_an_error() -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '<to be filled in>'}\n"
    found = overlay(text).secret("default", "s", SOON)
    assert found == Unreadable(
        Cause.SECRET_UNREADABLE,
        'secret "s" of "a.yaml", line 4, is none that the API server takes',
    )


def test_a_secret_that_sops_has_encrypted_is_not_known() -> None:
    text = (
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: 'ENC[x]'}, sops: {}}"
    )
    found = overlay(text).secret("default", "s", SOON)
    assert isinstance(found, Unreadable)
    assert found.why == 'secret "s" of "a.yaml" is encrypted with sops'
