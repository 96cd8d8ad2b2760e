"""The command over what others wrote: secrets, hostile and large manifests, slow registries."""

import base64
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.check_kit import Bench, bench_in
from webhook.cli.check import MAX_TURNS, THREADS, _judged, patience
from webhook.cli.manifests import workloads
from webhook.cluster.manifests import read
from webhook.cluster.none import NoCluster
from webhook.deadline import Deadline
from webhook.policy.files import PolicySet
from webhook.registry.outcome import Outcome, Pull
from webhook.registry.resolver import Question
from webhook.registry.settings import RegistrySettings
from webhook.review.engine import Engine


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    with bench_in(tmp_path, capsys) as opened:
        yield opened


# -- secrets ------------------------------------------------------------------------------


def marked(name: str, host: str) -> str:
    """Return a Secret with a mark in every field that may hold a secret."""
    config = {
        "auths": {
            host: {
                "username": "shop",
                "password": "MARK-1",
                "email": "MARK-2",
                "identitytoken": "MARK-3",
                "registrytoken": "MARK-4",
            },
            "other.example": {"auth": base64.b64encode(b"bot:MARK-5").decode()},
        },
        "MARK-6": "MARK-7",
    }
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "annotations": {"MARK-8": "MARK-9"},
            "labels": {"MARK-10": "MARK-11"},
        },
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()},
        "stringData": {"MARK-12": "MARK-13"},
    }
    return json.dumps(document)


@pytest.mark.parametrize("output", ["text", "json"])
def test_no_output_holds_what_a_secret_holds(bench: Bench, output: str) -> None:
    broken = {"data": {".dockerconfigjson": "MARK-broken"}}
    bench.write(marked("s", bench.host))
    bench.write(json.dumps(json.loads(marked("broken", bench.host)) | broken))
    bench.write(json.dumps(json.loads(marked("typed", bench.host)) | {"type": "Opaque"}))
    undecodable = json.dumps({"auths": {bench.host: {"auth": "MARK-auth"}}})
    text = json.loads(marked("undecodable", bench.host)) | {"data": {}}
    bench.write(json.dumps(text | {"stringData": {".dockerconfigjson": undecodable}}))
    for name in ("s", "broken", "typed", "undecodable"):
        bench.pod("HOST/shop/api:2.1", spec=f", imagePullSecrets: [{{name: {name}}}]", name=name)
    assert bench.check("--output", output) == 1
    assert "credentials-rejected" in bench.said
    assert "credential-undecodable" in bench.said
    for secret in ("MARK", base64.b64encode(b"bot:MARK-5").decode()):
        assert secret not in bench.said + bench.complained


def test_a_broken_secret_file_is_told_without_its_content(bench: Bench) -> None:
    bench.write(f"{marked('s', bench.host)[:-1]}, MARK-key: [MARK-value")
    assert bench.check() == 3
    assert bench.complained
    assert "MARK" not in bench.said + bench.complained


# -- hostile and large --------------------------------------------------------------------


def test_a_pod_of_a_thousand_containers_is_judged(bench: Bench) -> None:
    bench.pod(*(f"HOST/shop/web:1.{27 + n % 50}" for n in range(1000)))
    status, told = bench.json()
    assert (status, len(told["images"]), len(told["findings"])) == (1, 1000, 960)
    assert {image["pull"] for image in told["images"]} == {"ok", "fails"}


@pytest.mark.parametrize("length", [0, 1, 253, 254, 10_000])
def test_names_of_every_length_are_told_on_bounded_lines(bench: Bench, length: int) -> None:
    name = "n" * length
    bench.write(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: '{name}', namespace: '{name}'}}\n"
        f"spec: {{containers: [{{name: '{name}', image: 'a/{name}:A:A'}}]}}\n"
    )
    assert bench.check() == 1
    assert max(map(len, bench.said.splitlines())) < 1000
    assert bench.json()[1]["images"][0]["container"] == name


def test_what_a_terminal_would_act_on_is_escaped(bench: Bench) -> None:
    evil = "\\e[2J\\u202e\\nallow: all is well"
    bench.write(
        f'apiVersion: v1\nkind: Pod\nmetadata: {{name: "{evil}"}}\n'
        f'spec: {{containers: [{{name: "{evil}", image: "{evil}"}}]}}\n'
    )
    assert bench.check() == 1
    assert not any(line.startswith("allow") for line in bench.said.splitlines())
    assert all(c.isprintable() for c in bench.said if c != "\n")


def test_half_a_surrogate_pair_is_written(bench: Bench) -> None:
    bench.write(
        '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "a\\ud800"}]}}'
    )
    assert bench.check() == 1
    assert bench.json()[0] == 1


@pytest.mark.parametrize(
    "spec",
    [
        "5",
        "[]",
        "{containers: 5}",
        "{containers: [5, [], {image: 7}, {image: {}}]}",
        "{volumes: {}}",
    ],
)
def test_what_is_not_of_the_apis_shape_holds_no_images(bench: Bench, spec: str) -> None:
    bench.write(f"apiVersion: v1\nkind: Pod\nmetadata: []\nspec: {spec}\n")
    status, told = bench.json()
    assert (status, told) == (0, {"images": [], "findings": [], "verdict": "allow"})


# -- time ---------------------------------------------------------------------------------


def test_a_silent_registry_takes_no_denial_away(bench: Bench) -> None:
    bench.cluster()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bench.pod(f"localhost:{silent.getsockname()[1]}/a:1", "HOST/shop/web:1.99")
        status, told = bench.json("--timeout", "0.5")
    assert (status, told["verdict"]) == (1, "deny")
    assert [image["cause"] for image in told["images"]] == ["deadline", "tag-not-found"]


@dataclass
class SlowAsker:
    """Takes its time, the longer the earlier an image stands; writes down what time was left."""

    seconds: float
    left: list[float] = field(default_factory=list)

    def predict_all(
        self,
        questions: Sequence[Question],
        deadline: Deadline,
        *,
        denial: bool = False,  # noqa: ARG002
    ) -> list[Outcome]:
        self.left.append(deadline.left())
        number = int(questions[0].reference.path.rpartition("-")[2])
        time.sleep(self.seconds * (1 + (number % THREADS == 0)))
        return [Outcome(Pull.OK, before_credentials=True) for _ in questions]


def many(count: int) -> str:
    return "---\n".join(
        f"{{apiVersion: v1, kind: Pod, spec: {{containers: [{{image: a-{n}}}]}}}}\n"
        for n in range(count)
    )


def test_each_workload_has_its_own_time_and_the_order_is_that_of_the_files() -> None:
    asker = SlowAsker(0.05)
    engine = Engine(PolicySet(), RegistrySettings(), NoCluster(), asker)
    kinds: Mapping[tuple[str, str], tuple[str, ...]] = {}
    found = tuple(workloads(read(many(40).encode(), Path("a.yaml")), kinds, "default"))
    checked = _judged(found, engine, timeout=0.1)
    written = [one.judgement.images[0].use.written for one in checked]
    assert written == [f"a-{n}" for n in range(40)]
    assert min(asker.left) > 0.1


def test_the_time_of_a_workload_grows_with_its_images_to_a_bound() -> None:
    assert patience(0, 10) == patience(1, 10) == 20
    assert patience(5, 10) == 40
    assert patience(1000, 10) == 2 * MAX_TURNS * 10
