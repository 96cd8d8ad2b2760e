"""Golden texts: what kubectl printed, with the parts that differ from run to run replaced."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.harness.kubectl import Completed

GOLDENS = Path(__file__).parents[1] / "goldens"
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d+")


def transcript(command: str, done: Completed) -> str:
    """Write one command down as a person saw it: each line marked with its stream."""
    lines = [f"$ {command}", *_marked("out", done.stdout), *_marked("err", done.stderr)]
    return "\n".join([*lines, f"exit {done.returncode}", ""])


def _marked(stream: str, text: str) -> list[str]:
    # Only "\n" ends a line here: another separator in a message has to show up in it.
    lines = text.split("\n")
    last = lines.pop()
    marked = [f"{stream}| {line}" for line in lines]
    return [*marked, f"{stream}| {last} (no end of line)"] if last else marked


class Golden:
    """One test's golden text: `see` what was printed, and `compare` at the end.

    `names` holds the addresses of this run and what stands for them in the text.
    """

    def __init__(self, names: Mapping[str, str], *, update: bool) -> None:
        self._names = dict(names)
        self._update = update
        self._parts: list[str] = []

    def call(self, address: str, name: str) -> None:
        """Let `name` stand for one more address of this run."""
        self._names[address] = name

    def remark(self, text: str) -> None:
        """Tell whoever reads the golden what happens next."""
        self._parts.append(f"# {text}\n")

    def see(self, command: str, done: Completed) -> None:
        self._parts.append(transcript(command, done))

    def compare(self, name: str) -> None:
        """Fail unless the golden of that name says the same; under the switch, write it."""
        actual = self._normalised("\n".join(self._parts))
        path = GOLDENS / f"{name}.txt"
        if self._update:
            path.parent.mkdir(exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if actual == expected:
            return
        changes = difflib.unified_diff(
            expected.splitlines(keepends=True),
            actual.splitlines(keepends=True),
            f"goldens/{name}.txt",
            "what was printed",
        )
        pytest.fail(
            f"{''.join(changes)}\nif this is how it should read: pytest --update-goldens",
            pytrace=False,
        )

    def _normalised(self, text: str) -> str:
        for address, name in self._names.items():
            text = text.replace(address, name)
        unknown = _LOOPBACK.search(text)
        if unknown is not None:
            pytest.fail(f"{unknown[0]} would be another one in the next run:\n{text}")
        return text
