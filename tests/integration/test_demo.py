"""The whole demo as a person runs it: the real server, the registry, and every sample."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
LAST_LINE = re.compile(r"(\d+) samples, (\d+) answered as declared")


def environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPO), "TMPDIR": str(scratch)}


def left_over(scratch: Path) -> list[str]:
    """Return the command lines of processes that still speak of the demo's own folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(scratch) in line:
            found.append(line)
    return found


def start(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "webhook", "demo", *arguments],
        cwd=REPO,
        env=environment(scratch),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], what: str) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if what in line:
            return "".join(lines)
    assert process.stderr is not None
    pytest.fail("".join(lines) + process.stderr.read())


def test_every_sample_is_answered_as_declared_and_nothing_is_left(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    last = LAST_LINE.fullmatch(out.splitlines()[-1])
    assert last is not None
    assert last[1] == last[2]
    assert "NOT AS DECLARED" not in out
    assert err == ""
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_kept_serving_it_gives_lines_to_try_and_stops_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    with start(tmp_path, "--keep") as process:
        read_until(process, "Try:")
        curl = read_until(process, "curl")
        assert (Path(curl.split("@")[1].split()[0])).exists()
        assert "inspect" in read_until(process, "inspect")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert list(tmp_path.iterdir()) == []
    assert left_over(tmp_path) == []


def test_stopped_half_way_it_leaves_nothing(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        read_until(process, "kubectl apply")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    deadline = time.monotonic() + 5
    while left_over(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
