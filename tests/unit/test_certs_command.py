from pathlib import Path

import pytest

from webhook.cli import main
from webhook.cli.certs import service_names


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], list[str]]:
    try:
        code = main(["certs", *words])
    except SystemExit as end:
        assert isinstance(end.code, int)
        code = end.code
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err.splitlines()


def test_files_are_issued_without_a_cluster_and_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("issue", f"--dir={tmp_path / 'tls'}", "--names=a.ns.svc,127.0.0.1")
    first = run(capsys, *words)
    assert first[0] == 0
    assert first[2] == []
    key = (tmp_path / "tls" / "tls.key").read_bytes()
    assert run(capsys, *words) == first
    assert (tmp_path / "tls" / "tls.key").read_bytes() == key
    assert {path.name for path in (tmp_path / "tls").iterdir()} == {"ca.crt", "tls.crt", "tls.key"}


def test_status_tells_what_is_wrong_with_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(capsys, "issue", f"--dir={tmp_path}", "--names=a.ns.svc")
    code, out, _ = run(capsys, "status", f"--dir={tmp_path}", "--service=a.ns")
    assert code == 1
    assert out[0] == str(tmp_path)
    assert out[1] == "  names     a.ns.svc"
    assert out[-1] == "  wrong     the certificate does not name a.ns.svc.cluster.local, a.ns"
    assert run(capsys, "status", f"--dir={tmp_path}")[0] == 0
    (tmp_path / "tls.crt").write_text("half")
    code, out, _ = run(capsys, "status", f"--dir={tmp_path}")
    assert (code, out[1:]) == (1, ["  wrong     no PEM certificate that can be read"])


def test_flags_come_from_the_environment_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLPROOF_DIR", str(tmp_path))
    monkeypatch.setenv("PULLPROOF_SERVICE", "a.ns")
    assert run(capsys, "issue")[0] == 0
    assert run(capsys, "status")[1][1] == "  names     a.ns.svc, a.ns.svc.cluster.local, a.ns"


def test_the_api_server_calls_a_service_by_the_first_name() -> None:
    assert service_names("hook", "ns")[0] == "hook.ns.svc"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("issue",), "needs --secret NAMESPACE/NAME or --dir DIR"),
        (("issue", "--dir=x"), "needs --service NAME[.NAMESPACE] or --names A,B"),
        (("issue", "--dir=x", "--service=a"), "without a namespace"),
        (("issue", "--dir=/proc/x", "--names=a"), "/proc/x: No such file or directory"),
        (("issue", "--dir=x", "--names=a b"), "neither an IP address nor a DNS name"),
        (("status", "--dir=/nonexistent"), "No such file or directory"),
        (("issue", "--secret=a/b", "--service=c"), "not in a cluster"),
        (("issue", "--secret=a/b", "--service=c", "--kubeconfig=/x"), "/x: cannot be used"),
    ],
)
def test_what_fails_ends_with_1_and_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    code, out, [line] = run(capsys, *words)
    assert (code, out) == (1, [])
    assert line.startswith("pullproof: ")
    assert why in line


@pytest.mark.parametrize("words", ["--secret=b", "--secret=a/../b", "--service=a.b.c", "--what"])
def test_misuse_is_told_and_ends_with_1(capsys: pytest.CaptureFixture[str], words: str) -> None:
    code, _, errors = run(capsys, "issue", words)
    assert code == 1
    assert errors[-1].startswith("pullproof certs")


def test_rotation_is_said_to_come_later(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = run(capsys, "rotate", "--dir=x")
    assert (code, out) == (3, [])
    assert errors == ["pullproof: certs rotate is not there yet"]
