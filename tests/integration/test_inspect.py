"""``pullproof inspect`` as a process: what it prints, how it ends, and whom it asks."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from webhook.cli.demo.content import demo_store
from webhook.cli.demo.registry import Registry
from webhook.registry.outcome import Cause

REPO = Path(__file__).parents[2]


VIEW: dict[str, str] = {}
"""What every command sees besides its own words: how the registry of the tests is reached."""

PLAIN_HTTP = """apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata: {name: tests}
spec:
  registries: [{match: "%s", plainHTTP: true}]
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PULLPROOF_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "webhook", *arguments],
        cwd=REPO,
        env={**kept, **VIEW, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def inspect(*arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    done = run("inspect", "--output", "json", *arguments, **environment)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def one(*arguments: str) -> tuple[int, dict[str, Any]]:
    status, told = inspect(*arguments)
    assert len(told) == 1
    return status, told[0]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    policy = tmp_path_factory.mktemp("view") / "registries.yaml"
    with Registry(demo_store()) as serving:
        policy.write_text(PLAIN_HTTP % serving.host)
        VIEW["PULLPROOF_POLICY"] = str(policy)
        yield serving
        VIEW.clear()


def config(path: Path, *entries: tuple[str, str, str]) -> str:
    auths = {
        key: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
        for key, user, password in entries
    }
    document = auths if path.name.endswith(".dockercfg") else {"auths": auths}
    path.write_text(json.dumps(document))
    return str(path)


def manifests(folder: Path, *documents: Mapping[str, Any]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "all.json").write_text("\n".join(map(json.dumps, documents)))
    return str(folder)


def secret(name: str, host: str, user: str, password: str, namespace: str) -> dict[str, Any]:
    body = {"auths": {host: {"username": user, "password": password}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {".dockerconfigjson": json.dumps(body)},
    }


def account(name: str, namespace: str, *secrets: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
        "imagePullSecrets": [{"name": secret} for secret in secrets],
    }


def test_an_image_that_pulls_is_told_with_all_its_keys(registry: Registry, tmp_path: Path) -> None:
    image = f"{registry.host}/shop/api:2.1"
    status, told = one(
        image,
        "--docker-config",
        config(tmp_path / "c.json", (registry.host, "shop", "open-sesame")),
    )
    manifest = f"http://{registry.host}/v2/shop/api/manifests"
    digest = told.pop("digest")
    requests = told.pop("requests")
    assert told == {
        "image": image,
        "reference": {"domain": registry.host, "path": "shop/api", "tag": "2.1", "digest": None},
        "pull": "ok",
        "cause": None,
        "code": None,
        "message": None,
        "sizes": None,
        "quota": None,
        "credentials": [{"source": "file/c.json", "key": registry.host, "username": "shop"}],
        "credentialsUnknown": None,
        "judgedFor": {"linux/amd64": "default"},
        "nodes": None,
    }
    assert status == 0
    assert digest == registry.store.repositories["shop/api"].tags["2.1"]
    asked = [r for r in requests if r["url"] == f"{manifest}/2.1"]
    assert [(r["method"], r["status"], r["as"]) for r in asked] == [
        ("HEAD", 401, None),
        ("HEAD", 200, "shop"),
    ]
    assert all(set(r) == {"method", "url", "status", "as"} for r in requests)
    assert "open-sesame" not in json.dumps([told, requests])


@pytest.mark.parametrize(
    ("path", "status", "pull", "cause"),
    [
        ("shop/web:1.28", 0, "ok", None),
        ("shop/web:1.26", 1, "fails", Cause.TAG_NOT_FOUND),
        ("shop/wbe:1.28", 1, "fails", Cause.REPOSITORY_NOT_FOUND),
        ("shop/api:2.1", 1, "fails", Cause.CREDENTIALS_MISSING),
        ("shop/Web:1.28", 1, "fails", Cause.REFERENCE_UPPERCASE),
    ],
)
def test_the_exit_status_is_that_of_the_pull(
    registry: Registry, path: str, status: int, pull: str, cause: Cause | None
) -> None:
    ended, told = one(f"{registry.host}/{path}")
    assert (ended, told["pull"], told["cause"]) == (status, pull, cause)
    assert told["code"] == (cause.code if cause is not None else None)
    assert (told["message"] is None) == (cause is None)
    assert (told["reference"] is None) == (cause is Cause.REFERENCE_UPPERCASE)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_what_only_we_cannot_reach_is_unknown(registry: Registry) -> None:
    dead = f"localhost:{closed_port()}/a:1"
    status, told = one(dead)
    assert (status, told["pull"], told["cause"]) == (2, "unknown", "refused")
    status, told = one(dead, "--vantage", "node")
    assert (status, told["pull"], told["cause"]) == (1, "fails", "refused")
    # The worst of several decides: fails before unknown before ok.
    good = f"{registry.host}/shop/web:1.28"
    assert inspect(good, dead)[0] == 2
    assert inspect(dead, good, "Bad")[0] == 1


def test_several_images_are_an_object_a_line_in_their_order(registry: Registry) -> None:
    images = [f"{registry.host}/shop/web:{tag}" for tag in ("1.28", "1.26", "1.27")]
    _, told = inspect(*images)
    assert [image["image"] for image in told] == images
    assert [image["pull"] for image in told] == ["ok", "fails", "ok"]


def test_the_text_can_be_read(registry: Registry) -> None:
    done = run("inspect", f"{registry.host}/shop/web:1.26")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{registry.host}/shop/web:1.26"
    assert "  credentials  none: the pull is anonymous" in lines
    assert "  pull         fails: tag-not-found (PP-103)" in lines
    assert f"use {registry.host}/shop/web:1.27 (near: 1.27, 1.28), or push the tag" in lines[-1]


def test_the_readmes_example_is_what_is_printed(registry: Registry, tmp_path: Path) -> None:
    secret = config(tmp_path / "config.json", (registry.host, "shop", "open-sesame"))
    done = run("inspect", "--docker-config", secret, f"{registry.host}/shop/api:2.1")
    printed = done.stdout.replace(f"http://{registry.host}", "https://registry.corp")
    printed = printed.replace(registry.host, "registry.corp")
    printed = re.sub(r"(sha256:[0-9a-f]{8})[0-9a-f]{56}", r"\1…", printed)
    _, _, example = (REPO / "README.md").read_text().partition("$ pullproof inspect ")
    assert printed == example.partition("\n")[2].partition("```")[0]


def test_offline_contacts_nobody_and_is_quick(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        host = f"localhost:{server.getsockname()[1]}"
        start = time.monotonic()
        status, told = one(
            f"{host}/a:1",
            "--offline",
            "--docker-config",
            config(tmp_path / "c.json", (host, "bot", "pw")),
        )
        assert time.monotonic() - start < 5
        with pytest.raises(TimeoutError):
            server.accept()
    assert status == 2
    assert (told["pull"], told["cause"], told["code"], told["message"]) == (
        "unknown",
        None,
        None,
        None,
    )
    assert told["requests"] == []
    assert [c["username"] for c in told["credentials"]] == ["bot"]


def test_offline_does_not_read_a_cluster_either(tmp_path: Path) -> None:
    done = run("inspect", "--offline", "--kubeconfig", str(tmp_path / "none"), "nginx")
    assert done.returncode == 3
    assert done.stderr.startswith("pullproof: --offline contacts nobody")


def test_docker_configs_are_secrets_in_their_order(tmp_path: Path) -> None:
    files = [
        config(tmp_path / "first.json", ("ghcr.io", "a", "1"), ("ghcr.io/acme", "b", "2")),
        config(tmp_path / ".dockercfg", ("ghcr.io", "c", "3")),
        config(tmp_path / "x.dockercfg", ("https://ghcr.io/v2/", "d", "4"), ("quay.io", "e", "5")),
    ]
    flags = [word for file in files for word in ("--docker-config", file)]
    _, told = one("ghcr.io/acme/app", "--offline", *flags)
    assert told["credentials"] == [
        {"source": "file/first.json", "key": "ghcr.io/acme", "username": "b"},
        {"source": "file/first.json", "key": "ghcr.io", "username": "a"},
        {"source": "file/.dockercfg", "key": "ghcr.io", "username": "c"},
        {"source": "file/x.dockercfg", "key": "ghcr.io", "username": "d"},
    ]
    assert told["reference"]["tag"] == "latest"


@pytest.mark.parametrize("content", ["[]", '"text"', "7", "", "{", "{} {}"])
def test_a_config_that_the_api_server_would_refuse_is_misuse(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    done = run("inspect", "--offline", "--docker-config", str(path), "nginx")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"pullproof: {path}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", ["null", "{}", '{"auths": null}'])
def test_a_config_without_entries_is_none_at_all(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    status, told = one("nginx", "--offline", "--docker-config", str(path))
    assert (status, told["credentials"]) == (2, [])


def test_an_undecodable_entry_fails_even_offline_and_for_public_images(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"auths": {"quay.io": {"auth": "c2VjcmV0"}}}')
    status, told = one("nginx:1", "--offline", "--docker-config", str(path))
    assert (status, told["pull"], told["cause"]) == (1, "fails", "credential-undecodable")
    assert "secret" not in told["message"].split("cannot be decoded")[1].split("file")[0]


def test_never_is_not_asked(registry: Registry) -> None:
    before = len(registry.requests)
    status, told = one(f"{registry.host}/shop/web:1.28", "--pull-policy", "Never")
    assert (status, told["pull"], told["cause"]) == (2, "unknown", "never-pulled")
    assert told["requests"] == []
    assert len(registry.requests) == before


def test_the_pods_account_is_used_where_it_names_no_secret(
    registry: Registry, tmp_path: Path
) -> None:
    folder = manifests(
        tmp_path / "cluster",
        secret("regcred", registry.host, "shop", "open-sesame", "shop"),
        secret("other", registry.host, "worker", "heave-ho", "shop"),
        account("default", "shop", "regcred"),
        account("builder", "shop", "other"),
    )
    image = f"{registry.host}/shop/api:2.1"
    view = ("--manifests", folder, "--namespace", "shop")

    def sources(*flags: str) -> list[str]:
        return [c["source"] for c in one(image, *view, *flags)[1]["credentials"]]

    assert sources() == ["secret/regcred"]
    assert sources("--service-account", "builder") == ["secret/other"]
    assert sources("--pod-secret", "other") == ["secret/other"]
    assert sources("--pod-secret", "nothing") == []
    assert one(image, *view)[0] == 0
    # Another namespace has an account of its own, which has nothing.
    assert one(image, "--manifests", folder)[0] == 1


def test_a_pods_secret_needs_a_view() -> None:
    for flag in ("--pod-secret", "--service-account"):
        done = run("inspect", flag, "x", "nginx")
        assert done.returncode == 3
        assert "need --manifests or --kubeconfig" in done.stderr


def test_flags_are_read_from_the_environment(tmp_path: Path) -> None:
    path = config(tmp_path / "c.json", ("docker.io", "bot", "pw"))
    done = run(
        "inspect",
        "nginx",
        PULLPROOF_OFFLINE="true",
        PULLPROOF_OUTPUT="json",
        PULLPROOF_DOCKER_CONFIG=path,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["credentials"][0]["username"] == "bot"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pull-policy", "Sometimes", "nginx"],
        ["--timeout", "0", "nginx"],
        ["--manifests", "/does/not/exist", "nginx"],
        ["--policy", "/does/not/exist.yaml", "nginx"],
        ["--docker-config", "/does/not/exist", "nginx"],
        [],
    ],
)
def test_misuse_exits_with_3_and_prints_no_result(arguments: list[str]) -> None:
    done = run("inspect", "--offline", *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_an_argument_that_is_no_text_breaks_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "webhook", "inspect", "--offline", b"a\xff\n\x1b[31m" + b"x" * 300],
        cwd=REPO,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout


# -- the nodes ---------------------------------------------------------------------------------


def node(name: str, *images: str, arch: str = "amd64", **labels: str) -> dict[str, Any]:
    info = {
        "architecture": arch,
        "operatingSystem": "linux",
        "containerRuntimeVersion": "containerd://2.4.2",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"nodeInfo": info, "images": [{"names": [image]} for image in images]},
    }


def node_files(folder: Path, host: str, *providers: str) -> str:
    """Write what nodes hold themselves, with a program for each provider; return the policy."""
    config(folder / "config.json", (host, "node", "pw"))
    base = {
        "matchImages": [host],
        "defaultCacheDuration": "0",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    }
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": [{"name": name, **base} for name in providers],
    }
    (folder / "providers.json").write_text(json.dumps(document))
    settings = {
        "registries": [{"match": host, "plainHTTP": True}],
        "nodeCredentials": "files",
        "nodeDockerConfig": str(folder / "config.json"),
        "credentialProviders": {
            "config": str(folder / "providers.json"),
            "binDir": str(folder),
        },
    }
    policy = {
        "apiVersion": "pullproof.dev/v1alpha1",
        "kind": "RegistryConfig",
        "metadata": {"name": "nodes"},
        "spec": settings,
    }
    path = folder / "registries.yaml"
    path.write_text(json.dumps(policy))
    return str(path)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_readmes_lines_of_nodes_are_what_is_printed(registry: Registry, tmp_path: Path) -> None:
    image = f"{registry.host}/shop/api:2.1"
    folder = manifests(
        tmp_path / "cluster",
        secret("regcred", registry.host, "shop", "open-sesame", "default"),
        account("default", "default", "regcred"),
        node("node-1", image, pool="shop"),
        node("node-2", arch="arm64", pool="shop"),
        node("node-3", pool="other"),
    )
    policy = node_files(tmp_path, registry.host, "corp")
    program(tmp_path / "corp", "exit 1")
    done = run(
        *("inspect", image, "--manifests", folder, "--node-selector", "pool=shop"),
        PULLPROOF_POLICY=policy,
    )
    assert done.returncode == 0
    printed = done.stdout.replace(registry.host, "registry.corp").splitlines()
    readme = (REPO / "README.md").read_text()
    example = readme.partition("said below it:\n\n```\n")[2].partition("```")[0].splitlines()
    assert len(example) > 3
    assert [line for line in printed if line in example] == example


def test_what_nodes_hold_is_tried_after_the_pods_secret_and_told_in_that_order(
    registry: Registry, tmp_path: Path
) -> None:
    policy = node_files(tmp_path, registry.host, "corp")
    answer = {
        "kind": "CredentialProviderResponse",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "cacheKeyType": "Image",
        "auth": {registry.host: {"username": "shop", "password": "open-sesame"}},
    }
    program(tmp_path / "corp", f"cat <<'END'\n{json.dumps(answer)}\nEND")
    own = config(tmp_path / "own.json", (registry.host, "bot", "wrong"))
    image = f"{registry.host}/shop/api:2.1"
    status, [told] = inspect(image, "--docker-config", own, PULLPROOF_POLICY=policy)
    assert (status, told["pull"], told["credentialsUnknown"]) == (0, "ok", None)
    assert [(c["source"], c["username"]) for c in told["credentials"]] == [
        ("file/own.json", "bot"),
        ("node/config.json", "node"),
        ("provider/corp", "shop"),
    ]
    users = [r["as"] for r in told["requests"] if r["as"] is not None]
    assert list(dict.fromkeys(users)) == ["bot", "node", "shop"]


def test_offline_reads_the_nodes_files_and_runs_no_plugin(tmp_path: Path) -> None:
    policy = node_files(tmp_path, "r.io", "corp")
    program(tmp_path / "corp", f"touch {tmp_path}/ran")
    image = "r.io/app:1"
    folder = manifests(tmp_path / "cluster", node("node-1", image))
    done = run(
        *("inspect", image, "--offline", "--output", "json", "--manifests", folder),
        PULLPROOF_POLICY=policy,
    )
    told = json.loads(done.stdout)
    assert done.returncode == 2
    assert (told["pull"], told["cause"]) == ("unknown", None)
    assert [c["source"] for c in told["credentials"]] == ["node/config.json"]
    assert told["credentialsUnknown"] == (
        "credential provider corp is not run, since --offline contacts nobody"
    )
    assert not (tmp_path / "ran").exists()
    assert (told["nodes"]["names"], told["nodes"]["heldBy"]) == (["node-1"], ["node-1"])


def test_where_the_pod_wants_to_run_can_be_said(tmp_path: Path) -> None:
    tainted = node("node-3", pool="shop", zone="b")
    tainted["spec"] = {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]}
    folder = manifests(
        tmp_path / "cluster",
        node("node-1", pool="shop", zone="a"),
        node("node-2", pool="shop", zone="b"),
        tainted,
    )

    def names(*flags: str, **environment: str) -> list[str]:
        view = ("--offline", "--manifests", folder)
        _, [told] = inspect("nginx:1", *view, *flags, **environment)
        assert told["nodes"]["known"] == 3
        found: list[str] = told["nodes"]["names"]
        return found

    assert names() == ["node-1", "node-2"]
    assert names("--node-selector", "zone=b") == ["node-2"]
    assert names("--node-selector", "pool=shop", "--node-selector", "zone=a") == ["node-1"]
    assert names(PULLPROOF_NODE_SELECTOR="pool=shop:zone=b") == ["node-2"]
    # Who names a node passes the scheduler by, and its taints.
    assert names("--node-name", "node-3") == ["node-3"]
    assert names("--node-name", "node-1", "--node-selector", "zone=b") == []
    own = config(tmp_path / "c.json", ("quay.io", "bot", "pw"))
    assert names("--docker-config", own, "--node-selector", "zone=b") == ["node-2"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["zone"], "'zone' is no KEY=VALUE of a label"),
        (["=b"], "'=b' is no KEY=VALUE of a label"),
        (["zone=a,pool=b"], "'zone=a,pool=b' is no KEY=VALUE of a label"),
        (["zone=a", "zone=b"], "zone is given two values"),
    ],
)
def test_a_node_selector_that_no_pod_can_have_is_misuse(
    tmp_path: Path, flags: list[str], words: str
) -> None:
    given = [word for flag in flags for word in ("--node-selector", flag)]
    folder = manifests(tmp_path / "cluster", node("node-1"))
    done = run("inspect", "nginx", "--offline", "--manifests", folder, *given)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"pullproof: --node-selector: {words}\n"


def test_a_node_is_chosen_among_those_of_a_view() -> None:
    for flags in (["--node-selector", "a=b"], ["--node-name", "node-1"]):
        done = run("inspect", "nginx", "--offline", *flags)
        assert done.returncode == 3
        assert "need --manifests or --kubeconfig" in done.stderr
