"""The command in this process: a folder of manifests, and the demo's registry."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from webhook.cli import main
from webhook.cli.demo.content import demo_store
from webhook.cli.demo.registry import Registry

REGISTRIES = """\
apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata: {{name: test}}
spec:
  vantage: node
  nodeCredentials: none
  registries: [{{match: "{host}", plainHTTP: true}}]
"""
POLICY = """\
apiVersion: pullproof.dev/v1alpha1
kind: ImagePolicy
metadata: {{name: test}}
spec: {spec}
"""
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: shop}}
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '{{"auths": {{"{host}": {{"username": "shop", "password": "{password}"}}}}}}'
"""


@dataclass
class Bench:
    """A folder of manifests, a registry, and the command over both."""

    folder: Path
    host: str
    capture: pytest.CaptureFixture[str]
    files: int = 0
    said: str = ""
    complained: str = ""
    flags: list[str] = field(default_factory=list)

    def write(self, text: str, name: str = "") -> Path:
        self.files += 1
        path = self.folder / (name or f"{self.files}.yaml")
        path.write_text(text)
        return path

    def pod(self, *images: str, kind: str = "Pod", spec: str = "", name: str = "web") -> Path:
        containers = ", ".join(
            f'{{name: c{n}, image: "{image.replace("HOST", self.host)}"}}'
            for n, image in enumerate(images)
        )
        pod_spec = f"{{containers: [{containers}]{spec}}}"
        group = "v1" if kind == "Pod" else "apps/v1"
        inner = pod_spec if kind == "Pod" else f"{{template: {{spec: {pod_spec}}}}}"
        head = f"apiVersion: {group}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n"
        return self.write(f"{head}spec: {inner}\n")

    def policy(self, spec: str) -> None:
        path = self.folder.parent / "policy.yaml"
        path.write_text(POLICY.format(spec=spec))
        self.flags += ["--policy", str(path)]

    def cluster(self) -> None:
        path = self.folder.parent / "cluster"
        path.mkdir()
        self.flags += ["--manifests", str(path)]

    def check(self, *flags: str) -> int:
        status = main(["check", str(self.folder), *self.flags, *flags])
        self.said, self.complained = self.capture.readouterr()
        return status

    def json(self, *flags: str) -> tuple[int, Any]:
        status = self.check("--output", "json", *flags)
        return status, json.loads(self.said)


@contextlib.contextmanager
def bench_in(folder: Path, capture: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    """Open a bench whose policies and cluster stand beside its manifests."""
    with Registry(demo_store()) as registry:
        (folder / "registry.yaml").write_text(REGISTRIES.format(host=registry.host))
        (folder / "app").mkdir()
        flags = ["--policy", str(folder / "registry.yaml"), "--timeout", "10"]
        yield Bench(folder / "app", registry.host, capture, flags=flags)
