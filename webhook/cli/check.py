"""``pullproof check``: the webhook's verdict over manifests, before anything is applied."""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from webhook.cli.assemble import Desk, PoliciesRefusedError, open_policies, open_view
from webhook.cli.manifests import Found, custom_kinds, read_all, workloads
from webhook.cli.options import (
    USAGE,
    Parser,
    UsageError,
    ViewOptions,
    add_view,
    complain,
    say,
    view_of,
)
from webhook.cluster.live import LiveView
from webhook.cluster.none import NoCluster
from webhook.cluster.overlay import Overlay
from webhook.deadline import Deadline
from webhook.policy.action import Action
from webhook.report.checking import Checked, Report, as_json, as_text
from webhook.review.answer import Verdict
from webhook.review.engine import Engine

OUTPUTS = ("text", "json")
LATER = ("sarif", "junit", "github")
STATUS = {Verdict.DENY: 1, Verdict.UNKNOWN: 2, Verdict.WARN: 0, Verdict.ALLOW: 0}

THREADS = 8
"""Workloads that are judged side by side; few enough that each has a share of the registries'
own threads."""
IMAGES_A_TURN = 4
"""Images of one workload that are surely asked for side by side, whatever the others ask."""
MAX_TURNS = 12
"""How often --timeout at most one workload may take, however many images it has."""


def add_parser(parser: Parser) -> None:
    """Add the command's own flags."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a manifest, a folder of them (recursive), or - for standard input",
    )
    parser.add_flag(
        "--fail-on", choices=["deny", "warn"], default="deny", help="what makes the exit status 1"
    )
    parser.add_flag(
        "--output", choices=[*OUTPUTS, *LATER], default="text", help="how the result is written"
    )
    add_view(parser)


def run(given: argparse.Namespace) -> int:
    """Check and print; returns 0 clean, 1 denied, 2 undecided, 3 usage."""
    try:
        if given.output in LATER:
            raise UsageError(f"--output {given.output} is not there yet")
        options = view_of(given)
        report = _check(given.paths, options)
    except (UsageError, PoliciesRefusedError) as error:
        complain(str(error))
        return USAGE
    if given.output == "json":
        # In ASCII, which is JSON as well: half a surrogate pair cannot be written otherwise.
        say(json.dumps(as_json(report)))
    else:
        say(as_text(report))
    return status_of(report, given.fail_on)


def status_of(report: Report, fail_on: str) -> int:
    """Return the exit status; ``--fail-on warn`` makes any warning count as a denial."""
    if fail_on == "warn" and report.count(Action.WARN):
        return STATUS[Verdict.DENY]
    return STATUS[report.verdict]


def _check(paths: Sequence[str], options: ViewOptions) -> Report:
    store = open_policies(options)
    manifests = read_all(paths)
    kinds = custom_kinds(store.current.workload_kinds)
    found = tuple(workloads(manifests, kinds, options.namespace))
    view = open_view(options)
    overlay = Overlay(view, manifests, options.namespace)
    desk = Desk(store, overlay, options, local=True, flight_seconds=options.timeout)
    try:
        checked = _judged(found, desk.engine(), options.timeout)
    finally:
        desk.close()
        if isinstance(view, LiveView):
            view.close()
    return Report(
        checked,
        files=len({manifest.file for manifest in manifests}),
        without_pods=len(manifests) - len(found),
        has_view=not isinstance(view, NoCluster),
    )


def _judged(found: Sequence[Found], engine: Engine, timeout: float) -> Sequence[Checked]:
    """Judge side by side, each workload by its own deadline, in the order of the files."""
    today = datetime.now(UTC).date()

    def judge(one: Found) -> Checked:
        deadline = Deadline.after(patience(len(one.workload.inputs.images), timeout))
        judgement = engine.judge(one.workload, deadline, today)
        return Checked(str(one.manifest.file), one.manifest.root, judgement)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as threads:
        return tuple(threads.map(judge, found))


def patience(images: int, timeout: float) -> float:
    """Return how long a workload may take whose answers take at most ``timeout`` each.

    Each question ends by itself after ``timeout``; what waits behind others is not
    to be undecided for that. Twice, since what would be denied is asked anew.
    """
    turns = min(MAX_TURNS, -(-images // IMAGES_A_TURN))
    return 2 * max(1, turns) * timeout
