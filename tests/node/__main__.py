"""`python -m tests.node run`: a real kubelet with containerd and runc, the webhook off and on."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.differential import space
from tests.differential.corpus import CorpusError
from tests.e2e.harness.cluster import COMPONENTS
from tests.node.corpus import chosen, load, load_world
from tests.node.machine import PARTS
from tests.node.matrix import Matrix, write_rows
from tests.node.run import Run
from tests.node.traces import Traces
from tests.parts import locate
from tests.parts.recipe import PartUnavailableError

BUILD = Path("build/node")


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    try:
        cases = load()
        world = load_world()
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    picked = chosen(cases, given.only)
    if given.command == "list":
        for case in picked:
            print(f"{case.id:<50} {case.title}")
        print(f"{len(picked)} cases")
        return 0
    if not picked:
        print("error: no case has such an id", file=sys.stderr)
        return 3
    folder = space.inside()
    if folder is None:
        return _outside(arguments)
    space.end_with_the_outside()
    began = time.monotonic()
    run = Run(folder, world, picked)
    try:
        off = run.off()
        write_rows(given.report / "truth.json", off)
        on = [] if given.off_only else run.on()
    finally:
        run.close()
        _keep_logs(folder, given.report / "logs")
    write_rows(given.report / "reviews.json", on)
    matrix = Matrix(off, on, whole=len(picked) == len(cases))
    lines = list(matrix.lines())
    missed = [] if given.off_only else matrix.missed()
    lines += ["", *(f"MISSED: {bar}" for bar in missed)]
    matrix.write(given.report, lines)
    print("\n".join(lines))
    print(f"{time.monotonic() - began:.0f} s; all of it is in {given.report}")
    return 1 if missed else 0


def obstacle() -> str | None:
    if platform.machine() not in ("x86_64", "AMD64"):
        return "its images are of amd64"
    return space.obstacle()


def _outside(arguments: list[str]) -> int:
    why = obstacle()
    if why is not None:
        print(f"node: left out, since {why}")
        return 1 if os.environ.get("CI") == "true" else 0
    try:
        # Here, where the network is: inside there is none to build with.
        locate([*COMPONENTS, *PARTS, "puller", "registry"])
    except PartUnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="pullproof-node-"))
    traces = Traces()
    try:
        return space.enter(folder, arguments, "tests.node")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        traces.remove()


def _keep_logs(folder: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    for log in [*folder.glob("o*/**/*.log"), folder / "webhook.log"]:
        if log.is_file() and "root" not in log.relative_to(folder).parts:
            target = kept / log.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, target)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.node")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_ in (("run", "apply, compare, report"), ("list", "show the cases")):
        command = commands.add_parser(name, help=help_)
        command.add_argument("--only", action="append", default=[], metavar="GLOB")
    run = commands.choices["run"]
    run.add_argument("--off-only", action="store_true", help="what the kubelet does, alone")
    run.add_argument("--report", type=Path, default=BUILD, metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
