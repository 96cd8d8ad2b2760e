import os
from pathlib import Path
from textwrap import dedent

import pytest

from webhook.policy.fault import Fault, Refused, Severity
from webhook.policy.files import BUILT_IN, MAX_BYTES, PolicySet, load
from webhook.registry.settings import Depth, NodeCredentials, RegistrySettings, Vantage

HERE = Path(__file__).parent
FAULTS = HERE / "test_policy_faults.yaml"
GOLDEN = HERE / "test_policy_faults.txt"


def policy(rules: str = "{}", name: str = "p") -> str:
    return (
        "apiVersion: pullproof.dev/v1alpha1\nkind: ImagePolicy\n"
        f"metadata: {{name: {name}}}\nspec: {{rules: {rules}}}\n"
    )


def registries(spec: str) -> str:
    return (
        "apiVersion: pullproof.dev/v1alpha1\nkind: RegistryConfig\n"
        f"metadata: {{name: nodes}}\nspec: {spec}\n"
    )


def loaded(path: Path, text: str) -> PolicySet:
    file = path / "a.yaml"
    file.write_text(text)
    result = load([path])
    assert isinstance(result, PolicySet), result
    return result


def refused(path: Path, text: str) -> tuple[Fault, ...]:
    file = path / "a.yaml"
    file.write_text(text)
    result = load([path])
    assert isinstance(result, Refused)
    return result.faults


def test_every_fault_of_a_file_is_told_at_once_and_in_its_place() -> None:
    result = load([FAULTS])
    assert isinstance(result, Refused)
    found = str(result).replace(str(FAULTS), "faults.yaml") + "\n"
    if os.environ.get("UPDATE_GOLDENS"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_no_fault_shows_the_password_of_a_proxy(tmp_path: Path) -> None:
    faults = refused(tmp_path, registries("{proxy: {https: 'ftp://u:hunter2@proxy'}}"))
    assert "hunter2" not in str(faults)
    kept = loaded(tmp_path, registries("{proxy: {https: 'http://u:hunter2@proxy:3128'}}"))
    assert "hunter2" not in repr(kept)


def test_a_fault_is_printed_as_editors_read_it() -> None:
    fault = Fault("a.yaml", 2, 3, Severity.ERROR, "spec.rules", "expected a mapping")
    assert str(fault) == "a.yaml:2:3: error: spec.rules: expected a mapping"
    assert fault.to_json()["severity"] == "error"


def test_off_is_an_action_and_no_boolean(tmp_path: Path) -> None:
    rules = loaded(tmp_path, policy("{undecided: off}")).policies[0].model.spec.rules
    assert rules.undecided is not None
    assert rules.undecided.action == "off"


def test_a_folder_is_read_by_name_not_recursively_and_without_dot_names(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(policy(name="b"))
    (tmp_path / "a.yaml").write_text(policy(name="a1") + "---\n---\n" + policy(name="a2"))
    (tmp_path / ".hidden.yaml").write_text("nonsense: [")
    (tmp_path / "notes.txt").write_text("nonsense: [")
    (tmp_path / "sub.yaml").mkdir()
    (tmp_path / "sub.yaml" / "c.yaml").write_text("nonsense: [")
    result = load([tmp_path])
    assert isinstance(result, PolicySet)
    assert [p.model.metadata.name for p in result.policies] == ["a1", "a2", "b"]


def test_the_faults_of_every_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(policy("{undecided: x}"))
    (tmp_path / "b.yaml").write_text(policy("{undecided: y}"))
    result = load([tmp_path, tmp_path / "missing.yaml"])
    assert isinstance(result, Refused)
    assert [Path(fault.file).name for fault in result.faults] == [
        "a.yaml",
        "b.yaml",
        "missing.yaml",
    ]


def test_a_second_registry_config_is_an_error_at_the_second(tmp_path: Path) -> None:
    (fault,) = refused(tmp_path, registries("{}") + "---\n" + registries("{}"))
    assert (fault.line, fault.path) == (7, "kind")
    assert "a.yaml:2" in fault.text


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    (fault,) = refused(tmp_path, "#" * (MAX_BYTES + 1))
    assert "larger" in fault.text


def test_a_file_that_is_not_utf_8_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: \xff\n")
    result = load([tmp_path])
    assert isinstance(result, Refused)
    assert (result.faults[0].line, result.faults[0].text) == (2, "is not UTF-8")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    result = load([tmp_path])
    assert isinstance(result, Refused)
    assert "regular" in result.faults[0].text


def test_a_document_that_unfolds_beyond_measure_is_refused(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join(f'*{a}' for _ in range(10))}]"
        for a, b in zip("abcdef", "bcdefg", strict=True)
    ]
    faults = refused(tmp_path, "\n".join(lines))
    assert "aliases expand" in str(faults)


def test_an_empty_folder_is_warned_of(tmp_path: Path) -> None:
    result = load([tmp_path])
    assert isinstance(result, PolicySet)
    assert result.warnings[0].severity is Severity.WARNING
    assert result.hash == BUILT_IN.hash


def test_a_kind_that_nothing_declares_is_warned_of_with_a_near_name(tmp_path: Path) -> None:
    text = policy().replace("rules: {}", "match: {kinds: [Deploymnet, Rollout]}")
    kinds = dedent(
        """\
        ---
        apiVersion: pullproof.dev/v1alpha1
        kind: WorkloadKinds
        metadata: {name: rollouts}
        spec:
          kinds:
            - group: argoproj.io
              version: v1alpha1
              kind: Rollout
              resource: rollouts
              podTemplate: spec.template
        """
    )
    result = loaded(tmp_path, text + kinds)
    assert len(result.warnings) == 1
    assert 'did you mean "Deployment"?' in result.warnings[0].text
    assert result.workload_kinds[0].pod_template == "spec.template"


def test_the_hash_follows_the_content_alone(tmp_path: Path) -> None:
    plain = loaded(tmp_path, policy("{undecided: off, pull-secret: deny}"))
    other = loaded(tmp_path, "# same\n" + policy('{pull-secret: {action: "deny"}, undecided: off}'))
    changed = loaded(tmp_path, policy("{undecided: off, pull-secret: warn}"))
    assert plain.hash == other.hash
    assert plain.hash != changed.hash
    assert len(plain.hash) == 64


def test_the_order_of_documents_changes_the_hash(tmp_path: Path) -> None:
    one, two = policy("{undecided: off}"), policy("{undecided: warn}")
    assert loaded(tmp_path, one + "---\n" + two).hash != loaded(tmp_path, two + "---\n" + one).hash


def test_a_registry_config_comes_to_settings(tmp_path: Path) -> None:
    spec = (
        "{vantage: node, nodeCredentials: none,"
        " defaults: {depth: whole, connect: 500ms, total: 1m30s, limit: {concurrency: 4}},"
        " egress: {privateRanges: deny, deny: [10.96.0.0/12], allow: ['registry.corp:443']},"
        " cache: {digest: 2h, found: 0s},"
        " registries: [{match: '*.corp', ca: /ca.pem, plainHTTP: true, tokenServices: [auth.corp],"
        " limit: {concurrency: 8, perMinute: 600}}]}"
    )
    settings = loaded(tmp_path, registries(spec)).registry
    assert settings.vantage is Vantage.NODE
    assert settings.node_credentials is NodeCredentials.NONE
    assert (settings.connect, settings.total, settings.concurrency) == (0.5, 90.0, 4)
    assert (settings.cache.digest, settings.cache.found) == (7200.0, 0.0)
    assert not settings.egress.private_ranges
    assert [str(network) for network in settings.egress.deny] == ["10.96.0.0/12"]
    entry = settings.entry("registry.corp")
    assert entry is not None
    assert (entry.ca, entry.plain_http, entry.per_minute) == (Path("/ca.pem"), True, 600)


def test_an_empty_registry_config_says_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, registries("{}")).registry == RegistrySettings()


@pytest.mark.parametrize(
    ("entries", "depth"),
    [
        ("[]", Depth.EXISTS),
        ("[{match: docker.io, ca: /ca.pem}]", Depth.EXISTS),
        ("[{match: '**', ca: /ca.pem}]", Depth.EXISTS),
        ("[{match: docker.io, depth: whole}]", Depth.WHOLE),
        ("[{match: '*.io', depth: platform}]", Depth.PLATFORM),
    ],
)
def test_docker_hub_keeps_its_depth_unless_its_entry_says_another(
    tmp_path: Path, entries: str, depth: Depth
) -> None:
    settings = loaded(tmp_path, registries(f"{{registries: {entries}}}")).registry
    assert settings.depth_for("docker.io") is depth
    assert settings.depth_for("ghcr.corp") is Depth.PLATFORM
    if "ca.pem" in entries:
        entry = settings.entry("docker.io")
        assert entry is not None
        assert entry.ca == Path("/ca.pem")


def test_the_example_of_the_design_is_accepted_whole(tmp_path: Path) -> None:
    text = (HERE / "test_policy_example.yaml").read_text()
    result = loaded(tmp_path, text)
    assert len(result.policies) == 1
    assert result.registry_config is not None
    assert result.registry_config.spec.platforms == ("linux/arm64",)
    assert len(result.workload_kinds) == 1
    assert result.warnings == ()
