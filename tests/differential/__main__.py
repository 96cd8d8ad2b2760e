"""`python -m tests.differential run`: our engine and the real containerd over one corpus."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NoReturn

from tests.differential import numbers, space
from tests.differential.corpus import FOLDER, CorpusError, chosen, load
from tests.differential.report import Report, load_exceptions, shown
from tests.differential.run import Run, as_processes
from tests.differential.runtimes import RUNTIMES
from tests.parts import locate
from tests.parts.recipe import PartUnavailableError

BUILD = Path("build/differential")


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    try:
        cases = load(given.corpus)
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    picked = chosen(cases, given.only)
    if given.fast:
        picked = [case for case in picked if "slow" not in case.tags]
    if given.command == "list":
        for case in picked:
            print(f"{case.id:<50} {case.group:<10} {case.title}")
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
    runtimes = list(RUNTIMES) if given.runtime == "both" else [given.runtime]
    run = Run(folder, picked, runtimes)
    try:
        judged = run.judge(as_processes(cases))
    finally:
        run.close()
    report = Report(judged, load_exceptions(), whole=len(picked) == len(cases))
    if given.show:
        for one in judged:
            print("\n".join(shown(one, runtimes)))
    report.write(given.report)
    print("\n".join(report.lines(details=len(picked) < 60 and not given.show)))
    measured = numbers.measure() if report.whole else None
    if measured is not None:
        print("\n".join(measured.lines()))
        with (given.report / "report.txt").open("a", encoding="utf-8") as text:
            text.writelines(f"{line}\n" for line in measured.lines())
    took = time.monotonic() - began
    print(f"{took:.0f} s; all of it is in {given.report}/report.txt and report.json")
    return 1 if report.missed() or (measured is not None and measured.missed()) else 0


def _outside(arguments: list[str]) -> int:
    why = space.obstacle()
    if why is not None:
        print(f"differential: left out, since {why}")
        return 1 if os.environ.get("CI") == "true" else 0
    try:
        # Here, where the network is: inside there is none to build with.
        locate([*RUNTIMES.values(), "puller", "registry"])
    except PartUnavailableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="pullproof-lab-"))
    try:
        return space.enter(folder, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_ in (("run", "judge and compare"), ("list", "show the cases")):
        command = commands.add_parser(name, help=help_)
        command.add_argument("--only", action="append", default=[], metavar="GLOB")
        command.add_argument("--corpus", type=Path, default=FOLDER, metavar="PATH")
        command.add_argument("--fast", action="store_true", help="leave out what is tagged slow")
    run = commands.choices["run"]
    run.add_argument("--runtime", choices=[*RUNTIMES, "both"], default="both")
    run.add_argument("--report", type=Path, default=BUILD, metavar="DIR")
    run.add_argument("--show", action="store_true", help="every case, not only disagreements")
    return parser


def _main_inside() -> NoReturn:
    """End at once, whatever threads are left: the first process of a space takes all with it."""
    code = 1
    try:
        code = main(sys.argv[1:])
    except BaseException:  # noqa: BLE001 - shown, and then it ends all the same
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    if space.inside() is not None:
        _main_inside()
    sys.exit(main(sys.argv[1:]))
