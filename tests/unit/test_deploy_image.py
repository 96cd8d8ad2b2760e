"""The image's entry point where the image puts it: no root, and no folder to write to but two."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.cli.demo.process import Server
from webhook.cli.demo.reviews import Accounts, review

BASE = Path(__file__).parents[2] / "deploy" / "base"
NOBODY = 65534
ENTRY_POINT = Path(sys.executable).parent / "pullproof"

# Tells of each file that is opened for writing, whether or not that went well.
WITNESS = """
import os, sys
told = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND)
def hear(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not isinstance(args[0], int):  # a file that was opened, and told of, before
            os.write(told, f"{args[0]}\\n".encode())
    elif event in ("os.mkdir", "os.rename", "os.remove"):
        os.write(told, f"{args[1] if event == 'os.rename' else args[0]}\\n".encode())
sys.addaudithook(hear)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: its parents are closed to everybody but who runs the tests.
    made = Path(tempfile.mkdtemp(prefix="pullproof-image-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o5 == 0o5 for parent in path.resolve().parents)


def without_rights() -> list[str]:
    """Return the words that take root's rights from a command."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    is_open = open_to_all(Path(sys.executable)) and open_to_all(BASE)
    # A Python or a tree in somebody's closed home: to read it is all that is kept.
    kept = "" if is_open else ",+dac_read_search"
    sets = (f"--{kind}=-all{kept}" for kind in ("inh-caps", "ambient-caps", "bounding-set"))
    return [*words, "--no-new-privs", *sets]


class Box:
    """A home that cannot be written to, and a folder that can."""

    def __init__(self, folder: Path) -> None:
        self.home, self.run, self.tmp = (folder / name for name in ("home", "run", "tmp"))
        site = folder / "site"
        for made in (self.home, self.run, self.tmp, site):
            made.mkdir()
        site.joinpath("sitecustomize.py").write_text(WITNESS)
        self.witness = folder / "witness"
        self.witness.touch()
        if os.geteuid() == 0:
            for path in (self.run, self.tmp, self.witness):
                os.chown(path, NOBODY, NOBODY)
        self.home.chmod(0o555)
        self._environment = {
            "HOME": self.home,
            "TMPDIR": self.tmp,
            "PATH": f"{ENTRY_POINT.parent}:{os.defpath}",
            "PYTHONPATH": site,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "WITNESS": self.witness,
        }

    def command(self, *words: str) -> list[str]:
        given = [f"{name}={value}" for name, value in self._environment.items()]
        return ["env", "-i", "-C", str(self.home), *given, *without_rights(), *words]

    def written(self) -> set[Path]:
        return {Path(line) for line in self.witness.read_text().splitlines()}


def of_the_deployment(which: str, replaced: dict[str, str]) -> list[str]:
    deployment = yaml.safe_load((BASE / "deployment.yaml").read_text())
    arguments: list[str] = deployment["spec"]["template"]["spec"][which][0]["args"]
    for there, here in replaced.items():
        arguments = [argument.replace(there, here) for argument in arguments]
    return arguments


def test_it_issues_and_serves_without_root_on_a_read_only_root(folder: Path) -> None:
    box = Box(folder)
    tls = box.run / "tls"
    policies = folder / "policies"
    shutil.copytree(BASE / "policies", policies, ignore=shutil.ignore_patterns("kustomization*"))
    manifests = folder / "manifests"
    manifests.mkdir()
    issue = [*of_the_deployment("initContainers", {}), f"--dir={tls}", "--names=127.0.0.1"]
    replaced = {
        "/run/pullproof/tls": str(tls),
        "/etc/pullproof/policies": str(policies),
        "0.0.0.0:8443": "127.0.0.1:0",
        "0.0.0.0:8080": "127.0.0.1:0",
    }
    # The one thing that is not there is a cluster.
    serve = [*of_the_deployment("containers", replaced), f"--manifests={manifests}"]

    subprocess.run(box.command("pullproof", *issue), check=True, timeout=30)
    with Server(box.command("pullproof", *serve), tls / "ca.crt") as server:
        assert server._process is not None
        runs_as = Path(f"/proc/{server._process.pid}").stat().st_uid
        answer = server.ask(review(POD, Accounts([])))

    assert runs_as == (os.geteuid() or NOBODY)
    assert answer["allowed"] is False
    assert "PP-" in answer["status"]["message"]
    allowed = (box.run, box.tmp, Path("/dev/shm"), Path("/dev/null"))
    elsewhere = {path for path in box.written() if not any(map(path.is_relative_to, allowed))}
    assert elsewhere == set()
    assert any(path.is_relative_to(tls) for path in box.written()), "the witness saw nothing"


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"containers": [{"name": "web", "image": "https://registry.example/app"}]},
}
