"""What the command comes to: verdicts, exit codes, what a person and a program are told."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.check_kit import SECRET, Bench, bench_in
from webhook.cli import main


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    with bench_in(tmp_path, capsys) as opened:
        yield opened


def test_what_would_be_pulled_is_allowed(bench: Bench) -> None:
    bench.pod("HOST/shop/web:1.27")
    status, told = bench.json()
    assert (status, told["verdict"], told["findings"]) == (0, "allow", [])
    (image,) = told["images"]
    assert image.pop("digest").startswith("sha256:")
    assert image == {
        "source": str(bench.folder / "1.yaml"),
        "line": 4,
        "kind": "Pod",
        "namespace": "shop",
        "name": "web",
        "container": "c0",
        "field": "spec.containers[0].image",
        "image": f"{bench.host}/shop/web:1.27",
        "pull": "ok",
        "cause": None,
    }


def test_what_would_fail_is_denied_with_all_that_programs_want(bench: Bench) -> None:
    path = bench.pod("HOST/shop/web:1.99", kind="Deployment")
    status, told = bench.json()
    assert (status, told["verdict"]) == (1, "deny")
    (finding,) = told["findings"]
    assert finding.pop("message")
    assert finding == {
        "source": str(path),
        "line": 4,
        "kind": "Deployment",
        "namespace": "shop",
        "name": "web",
        "field": "spec.template.spec.containers[0].image",
        "image": f"{bench.host}/shop/web:1.99",
        "rule": "image-not-found",
        "cause": "tag-not-found",
        "code": "PP-103",
        "action": "deny",
    }
    assert told["images"][0]["pull"] == "fails"
    assert told["images"][0]["cause"] == "tag-not-found"


def test_the_image_of_a_volume_is_named_as_such(bench: Bench) -> None:
    bench.pod(spec=f", volumes: [{{name: m, image: {{reference: {bench.host}/shop/web:1.27}}}}]")
    (image,) = bench.json()[1]["images"]
    assert (image["container"], image["field"]) == (
        "volume:m",
        "spec.volumes[0].image.reference",
    )


@pytest.mark.parametrize(("fail_on", "status"), [("deny", 0), ("warn", 1)])
def test_a_warning_fails_only_where_that_is_asked_for(
    bench: Bench, fail_on: str, status: int
) -> None:
    bench.pod("HOST/shop/web:latest")
    assert bench.json("--fail-on", fail_on)[0] == status
    assert json.loads(bench.said)["verdict"] == "warn"


@pytest.mark.parametrize(("fail_on", "status"), [("deny", 2), ("warn", 1)])
def test_without_a_view_a_private_image_is_undecided(
    bench: Bench, fail_on: str, status: int
) -> None:
    bench.pod("HOST/shop/api:2.1")
    bench.pod("HOST/shop/web:latest")
    found, told = bench.json("--fail-on", fail_on)
    assert (found, told["verdict"]) == (status, "unknown")
    assert told["images"][0]["pull"] == "unknown"
    assert told["images"][0]["cause"] == "cluster-unavailable"


def test_a_denial_outweighs_what_is_undecided(bench: Bench) -> None:
    bench.pod("HOST/shop/api:2.1")
    bench.pod("HOST/shop/web:1.99")
    status, told = bench.json()
    assert (status, told["verdict"]) == (1, "deny")


def test_the_findings_of_the_audit_count_for_nothing(bench: Bench) -> None:
    bench.policy("{rules: {image-not-found: audit}}")
    bench.pod("HOST/shop/web:1.99")
    status, told = bench.json("--fail-on", "warn")
    assert (status, told["verdict"]) == (0, "allow")
    assert told["findings"][0]["action"] == "audit"
    assert bench.check() == 0
    assert "PP-103" not in bench.said
    assert "1 finding for the audit alone" in bench.said


def test_an_unknown_image_that_no_policy_wants_to_hear_of_still_explains_the_verdict(
    bench: Bench,
) -> None:
    bench.policy("{rules: {undecided: off}}")
    path = bench.pod("HOST/shop/api:2.1")
    assert bench.check() == 2
    assert f'{path}:4: unknown {bench.host}/shop/api:2.1 (container "c0")' in bench.said
    assert "PP-604 cluster-unavailable" in bench.said


def test_templates_get_what_the_policy_gives_them(bench: Bench) -> None:
    bench.policy("{atMost: {templates: warn}}")
    bench.pod("HOST/shop/web:1.99", kind="Deployment")
    assert bench.check() == 0
    bench.pod("HOST/shop/web:1.99")
    assert bench.check() == 1


def test_secrets_of_the_manifests_are_laid_over_the_view(bench: Bench) -> None:
    bench.cluster()
    bench.pod("HOST/shop/api:2.1", spec=", imagePullSecrets: [{name: s}]")
    _, told = bench.json()
    assert {f["cause"] for f in told["findings"]} == {"secret-not-found", "credentials-missing"}
    bench.write(SECRET.format(name="s", host=bench.host, password="open-sesame"))
    assert bench.check() == 0


def test_accounts_of_the_manifests_hand_their_secrets_to_pods_that_name_none(bench: Bench) -> None:
    bench.pod("HOST/shop/api:2.1")
    bench.write(SECRET.format(name="s", host=bench.host, password="open-sesame"))
    bench.write(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n"
        "imagePullSecrets: [{name: s}]\n"
    )
    assert bench.check("--namespace", "shop") == 0
    # The account then belongs to another namespace than the pod.
    assert bench.check("--namespace", "other") == 2


def test_in_a_view_of_manifests_what_is_not_there_is_missing(bench: Bench) -> None:
    bench.cluster()
    bench.pod("HOST/shop/api:2.1")
    bench.pod("HOST/shop/web:1.27", spec=", serviceAccountName: bot")
    status, told = bench.json()
    causes = [(f["cause"], f["action"]) for f in told["findings"]]
    assert status == 1
    assert causes == [("credentials-missing", "deny"), ("service-account-not-found", "warn")]
    # The account is not written where the finding would stand: that is the pod's own line.
    assert told["findings"][1]["line"] == 4


def test_a_finding_about_a_secret_stands_where_the_secret_is_named(bench: Bench) -> None:
    bench.cluster()
    bench.write(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec:\n"
        f"  containers:\n  - image: {bench.host}/shop/web:1.27\n"
        "  imagePullSecrets:\n  - name: gone\n"
    )
    _, told = bench.json()
    places = {(f["cause"], f["field"], f["line"]) for f in told["findings"]}
    assert places == {("secret-not-found", "spec.imagePullSecrets[0].name", 8)}


def test_a_kind_that_the_policies_declare_is_judged(bench: Bench) -> None:
    bench.write(
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\n"
        f"spec: {{template: {{spec: {{containers: [{{image: {bench.host}/shop/web:1.99}}]}}}}}}\n"
    )
    assert bench.check() == 0
    assert "1 other document holds no pods" in bench.said
    kinds = bench.folder.parent / "kinds.yaml"
    kinds.write_text(
        "apiVersion: pullproof.dev/v1alpha1\nkind: WorkloadKinds\nmetadata: {name: k}\n"
        "spec: {kinds: [{group: argoproj.io, version: v1alpha1, kind: Rollout,"
        " resource: rollouts, podTemplate: spec.template}]}\n"
    )
    assert bench.check("--policy", str(kinds)) == 1


def test_a_person_reads_what_is_wrong_how_it_is_known_and_the_mend(bench: Bench) -> None:
    bench.pod("HOST/shop/web:1.27", name="good")
    path = bench.pod("HOST/shop/web:1.26", kind="Deployment")
    bench.write("kind: ConfigMap\n---\nkind: Service\n")
    assert bench.check() == 1
    lines = bench.said.splitlines()
    assert lines[0] == f"{path}: Deployment shop/web"
    assert lines[1] == f'{path}:4: deny {bench.host}/shop/web:1.26 (container "c0")'
    assert lines[2].startswith("  wrong: ")
    assert lines[2].endswith("[PP-103 tag-not-found]")
    assert [line[:9] for line in lines[3:5]] == ["  known: ", "  mend:  "]
    assert lines[5:] == [
        "",
        "deny: 2 images in 3 files: 1 would be pulled, 1 would fail, 0 unknown; "
        "1 denied, 0 warnings",
        "2 other documents hold no pods",
    ]


def test_a_warning_that_lacks_a_proof_says_which(bench: Bench) -> None:
    bench.cluster()
    bench.pod("HOST/shop/api:2.1", spec=", imagePullSecrets: [{name: s}]")
    bench.check()
    (doubt,) = [line for line in bench.said.splitlines() if line.startswith("  doubt: ")]
    assert '"s"' in doubt


def test_nothing_to_judge_is_allowed(bench: Bench) -> None:
    assert bench.check() == 0
    assert bench.said == (
        "allow: 0 images in 0 files: 0 would be pulled, 0 would fail, 0 unknown; "
        "0 denied, 0 warnings\n"
    )


@pytest.mark.parametrize("output", ["sarif", "junit", "github"])
def test_outputs_that_are_still_to_come_say_so(bench: Bench, output: str) -> None:
    assert bench.check("--output", output) == 3
    assert bench.complained == f"pullproof: --output {output} is not there yet\n"


def test_misuse_is_no_verdict(bench: Bench) -> None:
    bench.write("a: b: c", "bad.yaml")
    assert bench.check() == 3
    assert bench.complained.startswith(f"pullproof: {bench.folder}/bad.yaml:1: is not YAML: ")
    assert main(["check", str(bench.folder / "missing")]) == 3
    with pytest.raises(SystemExit, match="3"):
        main(["check"])
    with pytest.raises(SystemExit, match="3"):
        main(["check", ".", "--fail-on", "maybe"])


def test_standard_input_is_a_source_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = bench.pod("HOST/shop/web:1.99").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main(["check", "-", *bench.flags]) == 1
    assert bench.capture.readouterr().out.startswith("-: Pod shop/web\n-:4: deny ")
