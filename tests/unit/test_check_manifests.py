"""How manifests are found and read, and where in them an image stands."""

import io
import json
import os
import sys
from pathlib import Path

import pytest

from webhook.cli.manifests import Found, custom_kinds, read_all, workloads
from webhook.cli.options import UsageError
from webhook.cluster import jsontext
from webhook.images.workloads import PullPolicy
from webhook.policy.model import WorkloadKind
from webhook.report.checking import line_of

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - image: a:1\n"
ROLLOUT = WorkloadKind(
    group="argoproj.io",
    version="v1alpha1",
    kind="Rollout",
    resource="rollouts",
    podTemplate="spec.template",
)


def found_in(path: Path, namespace: str = "default", *kinds: WorkloadKind) -> list[Found]:
    return list(workloads(read_all([str(path)]), custom_kinds(kinds), namespace))


def found(
    tmp_path: Path, text: str, *kinds: WorkloadKind, name: str = "a.yaml", namespace: str = "shop"
) -> list[Found]:
    (tmp_path / name).write_text(text)
    return found_in(tmp_path / name, namespace, *kinds)


def images(one: Found) -> list[tuple[str, int | None]]:
    uses = one.workload.inputs.images
    return [(use.written, line_of(one.manifest.root, use.field)) for use in uses]


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        found_in(path)
    return str(refused.value)


def test_a_folder_is_read_with_the_folders_within_it_by_name(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z.json", "a.yaml", "b/c/m.yml", "b/notes.txt"):
        (tmp_path / name).write_text(POD)
    sources = [str(one.manifest.file.relative_to(tmp_path)) for one in found_in(tmp_path)]
    assert sources == ["a.yaml", "b/c/m.yml", "z.json"]


def test_a_file_is_read_whatever_its_name_ends_in(tmp_path: Path) -> None:
    assert len(found(tmp_path, POD, name="rendered.txt")) == 1


def test_each_file_is_read_once_however_often_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    paths = [str(tmp_path / "a.yaml"), str(tmp_path), str(tmp_path)]
    assert [manifest.file.name for manifest in read_all(paths)] == ["a.yaml"]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    (manifest,) = read_all(["-", "-"])
    assert (str(manifest.file), manifest.kind) == ("-", "Pod")


def test_a_pipe_is_read_as_a_file() -> None:
    reading, writing = os.pipe()
    os.write(writing, POD.encode())
    os.close(writing)
    try:
        assert len(read_all([f"/dev/fd/{reading}"])) == 1
    finally:
        os.close(reading)


def test_the_line_of_an_image_is_that_of_its_text(tmp_path: Path) -> None:
    text = (
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n"
        "      volumes:\n      - name: model\n        image:\n          reference: v:1\n"
        "      initContainers:\n      - name: i\n        image:\n          i:1\n"
        "      containers:\n      - {name: c, image: c:1}\n      - name: d\n        image: 'd:1'\n"
    )
    (one,) = found(tmp_path, text)
    assert images(one) == [("c:1", 15), ("d:1", 17), ("i:1", 13), ("v:1", 9)]


def test_lines_count_on_through_documents_and_lists(tmp_path: Path) -> None:
    text = (
        "# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n"
        "  spec:\n    containers:\n    - image: a:1\n- kind: List\n  apiVersion: v1\n  items:\n"
        "  - {apiVersion: v1, kind: Pod, spec: {containers: [{image: b:1}]}}\n---\n"
        "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n"
        "- spec: {template: {spec: {containers: [{image: c:1}]}}}\n"
    )
    lines = [line for one in found(tmp_path, text) for line in images(one)]
    assert lines == [("a:1", 10), ("b:1", 14), ("c:1", 19)]


def test_json_has_its_lines_too_where_it_is_no_yaml(tmp_path: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "\U0001f600", "labels": {}, "annotations": {"half": "\ud800"}},
        "spec": {"containers": [{"image": "a:1", "stdin": True, "args": []}]},
    }
    text = json.dumps(pod, indent=2)
    expected = 1 + text[: text.index('"a:1"')].count("\n")
    first, second = found(tmp_path, f"{text}\n{text}", name="a.json")
    assert images(first) == [("a:1", expected)]
    assert images(second) == [("a:1", expected + text.count("\n") + 1)]
    assert first.workload.name == "\U0001f600"


@pytest.mark.parametrize(
    "text", ['{"a" 1}', '{"a": 1', "[1 2]", "{1: 2}", "[" * 200, '["a', '{"a": nul}', '{"a":']
)
def test_what_is_no_json_has_no_nodes(text: str) -> None:
    assert jsontext.parse(text) is None


@pytest.mark.parametrize(
    "value", [{}, [], "x", 1.5, None, True, [[], {"a": [1, {"b": None}]}], {"": {"c": "d\n"}}]
)
def test_json_is_read_as_any_reader_does(value: object) -> None:
    nodes = jsontext.parse(json.dumps(value, indent=1) + "\n\t")
    assert nodes is not None
    assert [node.plain() for node in nodes] == [value]


def test_an_alias_is_the_text_that_it_stands_for(tmp_path: Path) -> None:
    text = "x: &image a:1\napiVersion: v1\nkind: Pod\nspec: {containers: [{image: *image}]}\n"
    (one,) = found(tmp_path, text)
    assert images(one) == [("a:1", 1)]


def test_what_an_api_server_would_fill_in_is_filled_in(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {generateName: web-}\nspec:\n  containers:\n"
        "  - {image: a:1}\n  - {image: a}\n  - {image: 'a:latest', imagePullPolicy: Never}\n"
    )
    (one,) = found(tmp_path, text)
    workload = one.workload
    assert (workload.namespace, workload.kind, workload.name) == ("shop", "Pod", "web-")
    assert (workload.operation, workload.before, workload.spec_field) == ("CREATE", None, "spec")
    assert workload.inputs.service_account == "default"
    policies = [use.pull_policy for use in workload.inputs.images]
    assert policies == [PullPolicy.IF_NOT_PRESENT, PullPolicy.ALWAYS, PullPolicy.NEVER]


def test_an_objects_own_namespace_counts_before_the_given_one(tmp_path: Path) -> None:
    (one,) = found(tmp_path, POD.replace("name: web", "name: web, namespace: own"))
    assert one.workload.namespace == "own"


@pytest.mark.parametrize(
    "head",
    [
        "apiVersion: v1\nkind: ConfigMap",
        "apiVersion: serving.knative.dev/v1\nkind: Pod",
        "apiVersion: argoproj.io/v1alpha2\nkind: Rollout",
        "kind: Pod",
        "apiVersion: v1",
        "apiVersion: [v1]\nkind: {a: b}",
        "apiVersion: v1\nkind: List",
        "apiVersion: apps/v1\nkind: Deployment",
    ],
)
def test_what_makes_no_pods_is_skipped(tmp_path: Path, head: str) -> None:
    assert not found(tmp_path, f"{head}\nspec: {{containers: [{{image: a:1}}]}}\n", ROLLOUT)


@pytest.mark.parametrize("text", ["", "---\n---\n", "just words", "- a\n- b\n", "5", "# none\n"])
def test_a_text_without_objects_is_no_error(tmp_path: Path, text: str) -> None:
    assert not found(tmp_path, text)


def test_a_kind_that_a_policy_declares_is_judged(tmp_path: Path) -> None:
    text = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec:\n"
        "  template:\n    spec:\n      containers:\n      - image: a:1\n"
    )
    (one,) = found(tmp_path, text, ROLLOUT)
    assert (one.workload.kind, one.workload.spec_field) == ("Rollout", "spec.template.spec")
    assert images(one) == [("a:1", 8)]
    assert not found(tmp_path, text)


def test_yaml_that_does_not_parse_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POD + "---\na: [\n")
    said = refusal(path)
    assert said.startswith(f"{path}:9: is not YAML: ")


def test_bytes_that_are_no_text_are_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: b\nc: \xff\n")
    assert refusal(path) == f"{path}:2: is not UTF-8"


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no") == f"{tmp_path}/no:1: no such file or folder"


def test_a_link_that_leads_nowhere_is_told_rather_than_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("gone.yaml")
    assert refusal(tmp_path) == f"{tmp_path}/a.yaml:1: cannot be read: No such file or directory"


def test_a_folder_that_cannot_be_listed_is_told_rather_than_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert refusal(tmp_path) == f"{tmp_path}/closed:1: cannot be read: Permission denied"


def test_a_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    assert "is larger than" in refusal(path)


def test_aliases_that_grow_without_end_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    names = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    path.write_text("a0: &a0 [x]\n" + "\n".join(names))
    assert "the aliases expand to more than" in refusal(path)


def test_aliases_that_nest_deeper_than_any_text_are_told(tmp_path: Path) -> None:
    deep = "[" * 90
    names = [f"a{n}: &a{n} {deep}*a{n - 1}{']' * 90}" for n in range(1, 14)]
    text = "a0: &a0 x\n" + "\n".join(names)
    path = tmp_path / "a.yaml"
    path.write_text(f"{text}\napiVersion: v1\nkind: Pod\nspec: {{containers: []}}\n")
    assert refusal(path) == f"{path}:3: the aliases are nested deeper than 100 levels"
