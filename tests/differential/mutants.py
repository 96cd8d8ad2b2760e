"""`python -m tests.differential.mutants`: break one rule of the engine after another.

Each mutant of `mutants.yaml` is a copy of `webhook` with one rule broken. The cases that know
the rule are put to it as `python -m tests.differential run` does it, and must disagree with the
real containerd; the unbroken engine must agree over all of them. `MUTANTS.md` is the outcome.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.differential import space
from tests.differential.report import NEWEST

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).resolve().parent
MUTANTS = SUITE / "mutants.yaml"
TABLE = SUITE / "MUTANTS.md"
ENGINE = ROOT / "webhook"

SIDE_BY_SIDE = 2
MOST_SECONDS = 300
CAUGHT = "caught"

_HEAD = """\
# The suite bites

`python -m tests.differential.mutants` breaks one rule of the engine at a time and puts the cases
that know the rule to it; each time the differential suite must go red. It writes this table.

| Mutant | Rule that is broken | Whose rule | Noticed by | Verdict |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Mutant:
    """One rule broken: in `file`, below `webhook`, `old` stands once and becomes `new`."""

    name: str
    rule: str
    source: str
    file: str
    old: str
    new: str
    only: tuple[str, ...]

    def applied(self, text: str) -> str:
        """Return the file's text with the rule broken. Raises ValueError."""
        count = text.count(self.old)
        if count != 1:
            msg = f"{self.name}: its old text stands {count} times in {self.file}"
            raise ValueError(msg)
        return text.replace(self.old, self.new)

    @property
    def row(self) -> str:
        """Return how its row of the table begins."""
        return f"| {self.name} | {self.rule} | {self.source} | "


@dataclass(frozen=True)
class Ran:
    """What a run came to: `status` is its exit status, `red` the cases that disagree."""

    status: int
    asked: tuple[str, ...]
    red: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Noticed:
    mutant: Mutant
    verdict: str
    by: tuple[str, ...] = ()
    asked: int = 0
    seconds: float = 0.0


def load_mutants(path: Path = MUTANTS) -> list[Mutant]:
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [Mutant(**{**entry, "only": tuple(entry["only"])}) for entry in given]


def fingerprint(mutants: Iterable[Mutant]) -> str:
    """Return what of the mutants a table stands for: another text needs another run."""
    told = [[m.name, m.file, m.old, m.new, *m.only] for m in mutants]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


class Bench:
    """A folder of copies: what is edited in the tree meanwhile does not reach them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine = folder / "engine"
        self._tests = folder / "tests"
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ENGINE, self._engine, ignore=left_out)
        self._tests.mkdir()
        for entry in (ROOT / "tests").iterdir():
            if entry == SUITE:
                shutil.copytree(entry, self._tests / entry.name, ignore=left_out)
            else:
                (self._tests / entry.name).symlink_to(entry)

    def check(self, mutants: Iterable[Mutant]) -> None:
        """Make sure that each can be applied. Raises ValueError."""
        for mutant in mutants:
            mutant.applied((self._engine / mutant.file).read_text(encoding="utf-8"))

    def run(self, name: str, globs: Iterable[str], mutant: Mutant | None = None) -> Ran:
        """Run cases against a copy of the engine, broken by `mutant`."""
        place = self._folder / name
        place.mkdir()
        (place / "tests").symlink_to(self._tests)
        (place / "certs").symlink_to(ROOT / "certs")
        shutil.copytree(self._engine, place / "webhook")
        if mutant is not None:
            file = place / "webhook" / mutant.file
            file.write_text(mutant.applied(file.read_text(encoding="utf-8")), encoding="utf-8")
        # Every process of the run finds the copy before the installed package.
        environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
        _check_import(place, environment)
        words = [word for glob in globs for word in ("--only", glob)]
        words += ["--runtime", NEWEST, "--fast", "--report", str(place / "report")]
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "tests.differential", "run", *words],
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Ran(-1, (), (), f"it took more than {MOST_SECONDS} s")
        report = place / "report" / "report.json"
        cases = json.loads(report.read_text(encoding="utf-8"))["cases"] if report.exists() else []
        shutil.rmtree(place)
        return Ran(
            ended.returncode,
            tuple(case["id"] for case in cases),
            tuple(case["id"] for case in cases if _is_red(case)),
            ended.stdout + ended.stderr,
        )


def _check_import(place: Path, environment: dict[str, str]) -> None:
    """Make sure that what is judged is the copy, for a module and for a script alike."""
    shown = "import webhook.cli; print(webhook.cli.__file__)"
    for command in (["-c", shown], ["-P", "-c", shown]):
        found = subprocess.run(
            [sys.executable, *command],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        if not Path(found).is_relative_to(place):
            msg = f"not the copy but {found} would be judged"
            raise RuntimeError(msg)


def _is_red(case: dict[str, Any]) -> bool:
    """Tell whether a counted case disagrees; a crash shows a broken mutant, and no rule."""
    if case["waived"] or case["excepted"] or case["ours"]["trouble"]:
        return False
    real = case["real"][NEWEST]
    falsely_denied = case["from_pod"] == "fails" and real["pull"] == "ok"
    return falsely_denied or not real["cause_agrees"]


def baseline(bench: Bench, mutants: Sequence[Mutant]) -> frozenset[str] | None:
    """Return the cases of all mutants, over which the unbroken engine agrees; None: it does not.

    What disagrees once and not again (a clock, a loaded machine) counts for no mutant.
    """
    first = bench.run("baseline", sorted({glob for m in mutants for glob in m.only}))
    if not first.asked:
        print(first.words)
        return None
    green = frozenset(first.asked) - set(first.red)
    if first.status == 0 and not first.red:
        return green
    again = bench.run("baseline-again", first.red) if first.red else first
    if again.status == 0 and not again.red:
        return green
    print(again.words)
    return None


def judged(bench: Bench, green: frozenset[str], mutant: Mutant) -> Noticed:
    began = time.monotonic()
    ran = bench.run(mutant.name, mutant.only, mutant)
    by = tuple(sorted(set(ran.red) & green))
    if ran.status == 1 and by:
        verdict = CAUGHT
    else:
        verdict = "survived" if ran.status == 0 else f"unclear (exit {ran.status})"
    noticed = Noticed(mutant, verdict, by, len(ran.asked), time.monotonic() - began)
    print(shown(noticed), flush=True)
    if verdict.startswith("unclear"):
        print(ran.words, flush=True)
    return noticed


def shown(one: Noticed) -> str:
    by = f"{len(one.by)} of {one.asked} cases, {one.by[0]}" if one.by else f"none of {one.asked}"
    return f"{one.verdict:<10} {one.mutant.name:<32} {by} ({one.seconds:.0f} s)"


def table(noticed: Iterable[Noticed]) -> Iterator[str]:
    """Write the table; what it stands for is its last line."""
    noticed = list(noticed)
    yield _HEAD
    for one in noticed:
        cases = f"{len(one.by)}: `{one.by[0]}`" if one.by else "0"
        yield f"{one.mutant.row}{cases} | {one.verdict} |\n"
    caught = sum(one.verdict == CAUGHT for one in noticed)
    yield f"\n{caught} of {len(noticed)} mutants are caught.\n"
    yield f"\n<!-- of mutants.yaml {fingerprint(one.mutant for one in noticed)} -->\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.mutants")
    parser.add_argument("--mutant", action="append", metavar="NAME", help="this one alone")
    parser.add_argument("--list", action="store_true", help="show the mutants")
    given = parser.parse_args(arguments)
    mutants = load_mutants()
    if given.list:
        for mutant in mutants:
            print(f"{mutant.name:<32} {mutant.file:<28} {mutant.rule}")
        return 0
    chosen = [m for m in mutants if not given.mutant or m.name in given.mutant]
    if not chosen:
        print("error: no mutant has such a name", file=sys.stderr)
        return 3
    why = space.obstacle()
    if why is not None:
        print(f"mutants: left out, since {why}")
        return 1 if os.environ.get("CI") == "true" else 0
    with tempfile.TemporaryDirectory(prefix="pullproof-mutants-") as folder:
        bench = Bench(Path(folder))
        try:
            bench.check(chosen)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 3
        green = baseline(bench, chosen)
        if green is None:
            print("the unbroken engine disagrees already: nothing was broken")
            return 1
        print(f"the unbroken engine agrees over {len(green)} cases", flush=True)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            noticed = list(pool.map(partial(judged, bench, green), chosen))
    if not given.mutant:
        TABLE.write_text("".join(table(noticed)), encoding="utf-8")
    caught = sum(one.verdict == CAUGHT for one in noticed)
    print(f"{caught} of {len(noticed)} mutants are caught")
    return 0 if caught == len(noticed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
