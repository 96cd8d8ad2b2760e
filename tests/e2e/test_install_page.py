"""The overlays that docs/install.md shows, rendered by the real kubectl."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from tests.e2e.harness import Cluster
from tests.e2e.installation import BASE
from tests.e2e.test_install import PAGE


def test_every_overlay_of_the_page_renders(cluster: Cluster, tmp_path: Path) -> None:
    overlays = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(overlays) == 4
    shutil.copytree(BASE, tmp_path / "base")
    for number, overlay in enumerate(overlays):
        mine = tmp_path / f"mine-{number}"
        mine.mkdir()
        mine.joinpath("kustomization.yaml").write_text(overlay)
        mine.joinpath("team.yaml").write_text("kind: ImagePolicy\n")
        rendered = cluster.kubectl("kustomize", str(mine), check=True)
        assert rendered.stderr == ""
        objects = {each["kind"]: each for each in yaml.safe_load_all(rendered.stdout)}
        pods = objects["Deployment"]["spec"]["template"]["spec"]
        images = {each["image"] for each in (*pods["initContainers"], *pods["containers"])}
        assert images == {"registry.example.com/pullproof:0.1.0"}
        files = set(objects["ConfigMap"]["data"])
        assert {"default.yaml", "registries.yaml"} <= files
        assert ("team.yaml" in files) == ("team.yaml" in overlay)
        assert ("regcred" in rendered.stdout) == ("regcred" in overlay)
        assert ("sandbox" in rendered.stdout) == ("sandbox" in overlay)
