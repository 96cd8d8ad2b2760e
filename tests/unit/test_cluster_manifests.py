from pathlib import Path

import pytest

from webhook.cluster.manifests import ManifestError, ManifestView
from webhook.cluster.none import NoCluster
from webhook.cluster.view import Absent, ClusterView, ServiceAccount, Unreadable
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

SOON = Deadline.after(60)


def view(folder: Path, text: str, name: str = "a.yaml") -> ManifestView:
    (folder / name).write_text(text)
    return ManifestView(folder)


def secret(found: ManifestView, name: str, namespace: str = "default") -> Secret:
    result = found.secret(namespace, name, SOON)
    assert isinstance(result, Secret), result
    return result


def test_secrets_are_read_with_string_data_winning(tmp_path: Path) -> None:
    found = view(
        tmp_path,
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, uid: u1}\ntype: x/y\n"
        "data: {a: YQ==, b: Yg==, empty: null}\nstringData: {b: bee, c: 'ü'}\n",
    )
    expected = {"a": b"a", "b": b"bee", "c": "ü".encode(), "empty": b""}
    assert secret(found, "s").data == expected
    assert (secret(found, "s").type, secret(found, "s").uid) == ("x/y", "u1")


def test_a_secret_without_a_type_is_opaque(tmp_path: Path) -> None:
    found = view(tmp_path, "{apiVersion: v1, kind: Secret, metadata: {name: s}}")
    assert secret(found, "s").type == "Opaque"


def test_line_breaks_in_base64_are_skipped(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: |\n    YWJj\n    ZGVm\n"
    assert secret(view(tmp_path, text), "s").data == {"a": b"abcdef"}


def test_files_are_found_in_folders_within_and_the_last_object_holds(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "z.yml").write_text(
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, type: late}"
    )
    (tmp_path / "notes.txt").write_text("[")
    found = view(tmp_path, "{apiVersion: v1, kind: Secret, metadata: {name: s}, type: early}")
    assert secret(found, "s").type == "late"


def test_lists_of_either_form_are_read(tmp_path: Path) -> None:
    found = view(
        tmp_path,
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: Secret, metadata: {name: one, namespace: shop}}\n"
        "---\napiVersion: v1\nkind: SecretList\nitems:\n- {metadata: {name: two}}\n",
    )
    assert secret(found, "one", "shop").name == "one"
    assert secret(found, "two").name == "two"


@pytest.mark.parametrize(
    "text",
    [
        '{"apiVersion": "v1", "kind": "Secret", "type": "\\ud83d\\ude00",'
        ' "metadata": {"name": "s"}}',
        '{"kind": "Other"}\n{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}',
        '{\t"apiVersion":\t"v1", "kind": "Secret",\n\t"metadata": {"name": "s"}}',
    ],
)
def test_json_is_read_where_it_is_no_yaml(tmp_path: Path, text: str) -> None:
    assert secret(view(tmp_path, text, "a.json"), "s").name == "s"


def test_an_object_without_a_namespace_belongs_to_the_one_given(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{apiVersion: v1, kind: Secret, metadata: {name: s}}")
    found = ManifestView(tmp_path, namespace="shop")
    assert isinstance(found.secret("shop", "s", SOON), Secret)
    assert found.secret("default", "s", SOON) == Absent()


def test_accounts_keep_the_order_of_their_secrets(tmp_path: Path) -> None:
    found = view(
        tmp_path,
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bot}\n"
        "imagePullSecrets: [{name: b}, {name: a}, {}]\n",
    )
    bot = found.service_account("default", "bot", SOON)
    assert bot == ServiceAccount("default", "bot", ("b", "a"))


def test_only_the_account_default_is_empty_where_it_is_absent(tmp_path: Path) -> None:
    found = ManifestView(tmp_path)
    default = found.service_account("shop", "default", SOON)
    assert default == ServiceAccount("shop", "default", ())
    assert found.service_account("shop", "bot", SOON) == Absent()


def test_labels_of_namespaces_are_known_and_their_name_is_one(tmp_path: Path) -> None:
    found = view(
        tmp_path, "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tier: a}}}"
    )
    labels = found.namespace_labels("shop", SOON)
    assert labels == {"tier": "a", "kubernetes.io/metadata.name": "shop"}
    assert found.namespace_labels("other", SOON) == {}


def test_everything_else_is_ignored(tmp_path: Path) -> None:
    found = view(
        tmp_path,
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: s}}\n---\n"
        "{apiVersion: other.io/v1, kind: Secret, metadata: {name: s}, data: {a: '!'}}\n---\n"
        "- a\n---\njust words\n---\n",
    )
    assert found.secrets() == ()
    assert found.service_accounts() == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [\n", 3, "is not YAML"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: hunter2!\n",
            5,
            'Secret "s": data["a"] is not base64',
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  a: 31337\n",
            5,
            "is no string",
        ),
        ("apiVersion: v1\nkind: Secret\nmetadata: {}\n", 1, "has no metadata.name"),
    ],
)
def test_what_nobody_would_accept_is_told_with_its_place(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        view(tmp_path, text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{tmp_path / 'a.yaml'}:{line}: ")
    assert words in caught.value.reason
    assert "hunter2" not in str(caught.value)
    assert "31337" not in str(caught.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file or folder"):
        ManifestView(tmp_path / "missing")


def test_no_secret_is_in_the_view_s_text(tmp_path: Path) -> None:
    found = view(
        tmp_path,
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {a: hunter2}}",
    )
    assert "hunter2" not in repr(found) + repr(found.secrets())


def test_without_a_cluster_nothing_is_called_missing() -> None:
    none: ClusterView = NoCluster()
    answers = (
        none.secret("a", "b", SOON),
        none.service_account("a", "b", SOON),
        none.namespace_labels("a", SOON),
    )
    for answer in answers:
        assert isinstance(answer, Unreadable)
        assert answer.cause is Cause.CLUSTER_UNAVAILABLE


def test_a_view_of_manifests_is_a_cluster_view(tmp_path: Path) -> None:
    found: ClusterView = ManifestView(tmp_path)
    assert found.secret("a", "b", SOON, fresh=True) == Absent()
