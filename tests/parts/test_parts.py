"""The recipe's promises, kept with a pretended Go: nothing here compiles."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import PARTS, PartUnavailableError, find, locate

GO = """
case "$1" in
env) echo go1.99.0; exit ;;
esac
echo "$@" >> "$(dirname "$0")/runs"
sleep 0.3
while [ "$1" != -o ]; do shift; done
echo "#!/bin/sh" > "$2"
chmod +x "$2"
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache and a PATH of the test's own."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PULLPROOF_PARTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    find._locate.cache_clear()
    yield tmp_path
    find._locate.cache_clear()


def command(path: Path, script: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "says", "taken"),
    [
        ("kubectl", "Client Version: v1.36.2", True),
        ("kubectl", "Client Version: v1.37.4-gke.1", True),
        ("kubectl", "Client Version: v1.38.0", True),
        ("kubectl", "Client Version: v1.32.4-dispatcher", False),
        ("kubectl", "Kustomize Version: v5.5.0", False),
        ("kube-apiserver", "Kubernetes v1.37.2", True),
        ("kube-apiserver", "Kubernetes v1.39.0", False),
        ("etcd", "etcd Version: 3.5.21\nGit SHA: a17edfd", True),
        ("etcd", "etcd Version: 3.4.23", False),
        ("registry", "registry github.com/distribution/distribution/v3 v3.0.0", True),
        ("registry", "registry github.com/docker/distribution 2.8.2+debian", False),
        ("registry", "some other registry 3.0.0", False),
    ],
)
def test_a_binary_of_the_path_is_taken_only_when_its_version_is_close(
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    says: str,
    *,
    taken: bool,
) -> None:
    command(elsewhere / "bin/go", GO)
    binary = command(elsewhere / "bin" / name, f"echo '{says}'")
    assert (locate([name])[name] == binary) is taken
    assert (f"passing over {binary}" in capsys.readouterr().err) is not taken


def test_the_assets_folder_wins_over_the_path(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(elsewhere / "bin/etcd", "echo 'etcd Version: 3.7.3'")
    given = command(elsewhere / "assets/etcd", "")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(elsewhere / "assets"))
    assert locate(["etcd"]) == {"etcd": given}


def test_a_part_is_built_once_and_then_found(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(elsewhere / "bin/go", GO)
    first = locate(["oracle"])["oracle"]
    assert "building oracle v1.37.0 from its Go module (about" in capsys.readouterr().err
    find._locate.cache_clear()
    assert locate(["oracle"])["oracle"] == first
    assert capsys.readouterr().err == ""
    assert len((elsewhere / "bin/runs").read_text().splitlines()) == 1


def test_two_runs_at_once_build_once(elsewhere: Path) -> None:
    command(elsewhere / "bin/go", GO)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.parts", "oracle"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said[0][0] == said[1][0]
    assert len((elsewhere / "bin/runs").read_text().splitlines()) == 1


def test_a_failed_build_names_the_part_and_why_and_leaves_nothing(elsewhere: Path) -> None:
    command(elsewhere / "bin/go", '[ "$1" = env ] && echo go1.99.0 && exit; echo no >&2; exit 1')
    with pytest.raises(PartUnavailableError, match=r"^registry is not .*go build.*failed:\nno$"):
        locate(["registry"])
    assert [path for path in (elsewhere / "cache").rglob("*registry") if path.is_file()] == []


def test_an_unknown_part_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(PartUnavailableError, match=r"^nginx is not .*etcd, kube-apiserver"):
        locate(["nginx"])


def test_every_part_has_a_module_with_pinned_sums() -> None:
    for part in PARTS.values():
        assert (part.folder / "go.sum").stat().st_size > 0
        assert part.version in (part.folder / "go.mod").read_text()
