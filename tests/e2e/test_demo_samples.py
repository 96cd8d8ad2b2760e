"""The demo says what kubectl would print; here kubectl prints it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Cluster
from tests.e2e.harness.webhook import Webhook
from webhook.cli.demo import samples
from webhook.cli.demo.content import demo_store
from webhook.cli.demo.driver import POLICY, Stage, set_stage, show
from webhook.cli.demo.process import Server
from webhook.cli.demo.registry import Registry

NAMESPACE = "shop"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo's registry, serving, and its samples rendered for it."""
    with Registry(demo_store()) as registry:
        yield set_stage(tmp_path_factory.mktemp("demo"), registry.host)


@pytest.fixture(scope="module")
def demonstrated(stage: Stage) -> str:
    """What `pullproof demo` prints of the samples, by its own code."""
    out = io.StringIO()
    with Server(stage.serve(), stage.ca) as server:
        failures = show(stage, server, out)
    assert failures == 0, out.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def printed(cluster: Cluster, stage: Stage) -> bytes:
    """The same text, but each command is run, by kubectl against a real API server."""
    with Webhook(cluster, [POLICY, stage.registry_config]) as webhook:
        cluster.kubectl("apply", "-f", "samples/cluster", cwd=stage.folder, check=True)
        cluster.wait_for_service_account(NAMESPACE)
        label = json.dumps({"metadata": {"labels": webhook.label}})
        cluster.kubectl("patch", "namespace", NAMESPACE, "--patch", label, check=True)
        webhook.wait_until_asked(NAMESPACE)
        text = b""
        for number, sample in enumerate(samples.load(stage.samples), start=1):
            file = str(sample.path.relative_to(stage.folder))
            text += f"\n{number:2}. {sample.title}\n\n$ kubectl apply -f {file}\n".encode()
            text += cluster.kubectl_in_terminal("apply", "-f", file, cwd=stage.folder)
        return text


def test_kubectl_prints_byte_for_byte_what_the_demo_shows(
    demonstrated: str, printed: bytes
) -> None:
    shown, separator, _ = demonstrated.rpartition("\nAsked and answered in ")
    assert separator
    # As text first, since a difference is then shown by its lines.
    assert shown == printed.decode()
    assert shown.encode() == printed


def test_the_demo_shows_every_sample_that_is_shipped(printed: bytes) -> None:
    shipped = sorted(path.name for path in samples.FOLDER.glob("*.yaml"))
    commands = [line for line in printed.decode().splitlines() if line.startswith("$ ")]
    assert commands == [f"$ kubectl apply -f samples/{name}" for name in shipped]
    assert [int(Path(name).name[:2]) for name in shipped] == list(range(1, len(shipped) + 1))
