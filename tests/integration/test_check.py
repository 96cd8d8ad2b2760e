"""The real command as a process, over the demo's samples and against its registry."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from webhook.cli.demo import samples
from webhook.cli.demo.content import demo_store
from webhook.cli.demo.driver import Stage, set_stage
from webhook.cli.demo.registry import Registry
from webhook.cli.options import ENVIRONMENT_PREFIX

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "goldens" / "check.txt"
PAGE = ROOT / "docs" / "check.md"
IMAGE_KEYS = {
    *("source", "line", "kind", "namespace", "name", "container", "field"),
    *("image", "pull", "cause", "digest"),
}
FINDING_KEYS = {
    *("source", "line", "kind", "namespace", "name", "field", "image"),
    *("rule", "cause", "code", "action", "message"),
}
EXAMPLE = re.compile(r"```console\n\$ pullproof (check [^\n]+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Shop:
    """The samples in a folder of their own, and the registry that they name."""

    stage: Stage
    host: str

    def check(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command in the folder of the samples; the registry has its written name."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "webhook", "check", *words],
            cwd=self.stage.folder,
            env=kept | {"PYTHONPATH": str(ROOT), "PULLPROOF_POLICY": "registry.yaml"},
            capture_output=True,
            text=True,
            input=text,
            timeout=60,
            check=False,
        )
        ended.stdout = ended.stdout.replace(self.host, samples.WRITTEN_HOST)
        return ended


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Registry(demo_store()) as registry:
        yield Shop(set_stage(tmp_path, registry.host), registry.host)


def test_the_samples_come_out_as_the_golden_text_says(
    shop: Shop, request: pytest.FixtureRequest
) -> None:
    ended = shop.check("samples", "--manifests", "samples/cluster")
    if request.config.getoption("--update-goldens"):
        GOLDEN.write_text(ended.stdout)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout == GOLDEN.read_text()


def test_each_sample_has_the_findings_that_it_declares(shop: Shop) -> None:
    ended = shop.check("samples", "--manifests", "samples/cluster", "--output", "json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, told["verdict"]) == (1, "", "deny")
    for sample in samples.load(shop.stage.samples):
        source = str(sample.path.relative_to(shop.stage.folder))
        findings = [f for f in told["findings"] if f["source"] == source]
        declared = {(expected.action.value, expected.cause.value) for expected in sample.expects}
        assert {(f["action"], f["cause"]) for f in findings} == declared, source


def test_the_json_has_the_public_shape_and_lines_that_are_true(shop: Shop) -> None:
    ended = shop.check("samples", "--manifests", "samples/cluster", "--output", "json")
    told = json.loads(ended.stdout)
    assert list(told) == ["images", "findings", "verdict"]
    assert [set(image) for image in told["images"]] == [IMAGE_KEYS] * 19
    assert {frozenset(finding) for finding in told["findings"]} == {frozenset(FINDING_KEYS)}
    assert {image["pull"] for image in told["images"]} == {"ok", "fails"}
    for image in told["images"]:
        lines = (shop.stage.folder / image["source"]).read_text().splitlines()
        written = image["image"].replace(samples.WRITTEN_HOST, shop.host)
        assert lines[image["line"] - 1].strip() in (f"image: {written}", f"- image: {written}")
        assert (image["digest"] or "sha256:").startswith("sha256:")
    assert [image["source"] for image in told["images"]] == sorted(
        image["source"] for image in told["images"]
    )


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["samples/01-public.yaml"], 0),
        (["samples/01-public.yaml", "--fail-on", "warn"], 0),
        (["samples/02-private-pod-secret.yaml", "samples/cluster"], 0),
        (["samples/02-private-pod-secret.yaml", "--manifests", "samples/cluster"], 0),
        (["samples/02-private-pod-secret.yaml"], 2),
        (["samples/05-deleted-tag.yaml"], 1),
        (["samples/06-latest.yaml"], 0),
        (["samples/06-latest.yaml", "--fail-on", "warn"], 1),
        (["samples/07-no-such-file.yaml"], 3),
        (["samples/06-latest.yaml", "--output", "sarif"], 3),
        (["--fail-on", "warn"], 3),
    ],
)
def test_the_exit_status_is_the_verdict(shop: Shop, words: list[str], status: int) -> None:
    ended = shop.check(*words)
    assert ended.returncode == status, ended.stderr
    assert bool(ended.stdout) == (status != 3)
    assert bool(ended.stderr) == (status == 3)


def test_manifests_come_from_standard_input_too(shop: Shop) -> None:
    text = (shop.stage.samples / "05-deleted-tag.yaml").read_text()
    ended = shop.check("-", text=text)
    assert ended.returncode == 1
    assert ended.stdout.startswith("-: Deployment shop/web-old\n-:22: deny ")


def test_each_question_is_asked_once_for_all_files(tmp_path: Path) -> None:
    with Registry(demo_store()) as registry:
        shop = Shop(set_stage(tmp_path, registry.host), registry.host)
        text = (shop.stage.samples / "01-public.yaml").read_text()
        for number in range(200):
            (tmp_path / f"{number}.yaml").write_text(text)
        (tmp_path / "all").mkdir()
        for path in tmp_path.glob("*[0-9].yaml"):
            path.rename(tmp_path / "all" / path.name)
        ended = shop.check("all")
        assert ended.returncode == 0
        assert "200 images in 200 files: 200 would be pulled" in ended.stdout
        assert len(registry.asked("/v2/shop/web/manifests/1.27")) == 1


def test_the_examples_of_the_page_are_true(shop: Shop) -> None:
    examples = EXAMPLE.findall(PAGE.read_text())
    assert examples
    for words, printed in examples:
        command = words.removesuffix("; echo $?")
        ended = shop.check(*command.split()[1:])
        status = f"{ended.returncode}\n" if words.endswith("; echo $?") else ""
        assert ended.stdout + status == printed, words
