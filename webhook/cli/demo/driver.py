"""``pullproof demo``: the real server, a registry, and what kubectl would print for each sample."""

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from webhook.cli.demo import kubectl, samples
from webhook.cli.demo.content import demo_store
from webhook.cli.demo.process import REVIEW_SECONDS, Server, ServerTrouble, pullproof
from webhook.cli.demo.registry import Registry, free_port
from webhook.cli.demo.reviews import Accounts, review
from webhook.policy.action import Action
from webhook.registry.outcome import Cause

POLICY = Path(__file__).parents[3] / "policies" / "default.yaml"
"""The policy of the repository; the built-in defaults say the same where it is not shipped."""

INTERRUPTED = 130
"""What a shell reports of a program that a Ctrl-C ended."""

_CODE = re.compile(r"PP-\d{3}")
_REGISTRY_CONFIG = """\
apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata:
  name: demo
spec:
  vantage: node            # the demo sees the registry just as a node would
  nodeCredentials: none
  registries:
    - match: "{host}"
      plainHTTP: true
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The folder that a demo works in, and what stands in it."""

    folder: Path
    samples: Path
    registry_config: Path
    certificates: Path

    @property
    def ca(self) -> Path:
        """The certificate that verifies the server's."""
        return self.certificates / "ca.crt"

    def serve(self, policy: Path = POLICY) -> list[str]:
        """Return the command line of the server."""
        policies = [policy, self.registry_config] if policy.exists() else [self.registry_config]
        return pullproof(
            "serve",
            *("--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"),
            *("--self-signed", str(self.certificates)),
            *(part for path in policies for part in ("--policy", str(path))),
            *("--manifests", str(self.samples / "cluster")),
        )


def set_stage(folder: Path, host: str) -> Stage:
    """Write the samples and the RegistryConfig for the registry at ``host`` into ``folder``."""
    config = folder / "registry.yaml"
    config.write_text(_REGISTRY_CONFIG.format(host=host), encoding="utf-8")
    return Stage(folder, samples.render(folder, host), config, folder / "certificates")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every answer was as its sample declares, else 1 (130: stopped)."""
    parser = argparse.ArgumentParser(
        prog="pullproof demo",
        description="Show what kubectl apply would print, with no cluster and no internet.",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep serving after the samples, until Ctrl-C"
    )
    options = parser.parse_args(argv)
    _stop_on_signals()
    try:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pullproof-demo-"))
            registry = stack.enter_context(_registry())
            stage = set_stage(Path(folder).resolve(), registry.host)
            server = stack.enter_context(Server(stage.serve(), stage.ca))
            failures = show(stage, server, sys.stdout)
            if options.keep:
                _keep(stage, server, sys.stdout)
    except ServerTrouble as trouble:
        sys.stderr.write(f"pullproof: {trouble}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 1 if failures else 0


def show(stage: Stage, server: Server, out: TextIO) -> int:
    """Send every sample, write what kubectl would print; return how many came out otherwise."""
    started = time.monotonic()
    accounts = Accounts(samples.cluster_documents(stage.samples))
    all_samples = samples.load(stage.samples)
    failures = 0
    for number, sample in enumerate(all_samples, start=1):
        answers = _answers(sample, accounts, server)
        file = str(sample.path.relative_to(stage.folder))
        out.write(f"\n{number:2}. {sample.title}\n\n$ kubectl apply -f {file}\n")
        out.write(kubectl.apply(file, answers).transcript)
        faults = compare(sample.expects, [answer.response for answer in answers])
        failures += bool(faults)
        out.writelines(f"  NOT AS DECLARED: {fault}\n" for fault in faults)
        out.flush()
    seconds = time.monotonic() - started
    good = len(all_samples) - failures
    out.write(f"\nAsked and answered in {seconds:.1f} s by {server.address.validate}\n")
    out.write(f"{len(all_samples)} samples, {good} answered as declared\n")
    out.flush()
    return failures


def compare(
    expects: frozenset[samples.Expected], responses: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return what differs between a sample's declaration and the answers to its objects.

    Compared are the findings (as the audit annotation ``findings`` tells them),
    whether each answer allows, and whether the code of each finding can be read.
    """
    faults: list[str] = []
    found: set[samples.Expected] = set()
    for response in responses:
        here = _findings(response)
        found |= here
        allowed = response.get("allowed") is True
        if allowed is any(finding.action is Action.DENY for finding in here):
            faults.append(f"allowed is {str(allowed).lower()}, the findings say otherwise")
        words = _words(response)
        faults += [
            f"{finding.cause.code} of {finding} is not told"
            for finding in sorted(here)
            if finding.cause.code not in words
        ]
    faults += [f"{finding} was not found" for finding in sorted(expects - found)]
    faults += [f"{finding} was found too" for finding in sorted(found - expects)]
    return faults


def _findings(response: Mapping[str, Any]) -> set[samples.Expected]:
    annotation = (response.get("auditAnnotations") or {}).get("findings")
    if annotation is not None:
        return {
            samples.Expected(Action(finding["action"]), samples.CAUSES[finding["cause"]])
            for finding in json.loads(annotation)
            if finding["action"] in {Action.DENY, Action.WARN}
        }
    causes = ((response.get("status") or {}).get("details") or {}).get("causes") or ()
    by_code = {cause.code: cause for cause in Cause}
    warned = {
        by_code[code] for text in response.get("warnings") or () for code in _CODE.findall(text)
    }
    denied = {samples.Expected(Action.DENY, samples.CAUSES[cause["reason"]]) for cause in causes}
    return denied | {samples.Expected(Action.WARN, cause) for cause in warned}


def _words(response: Mapping[str, Any]) -> str:
    message = (response.get("status") or {}).get("message") or ""
    return "\n".join([message, *kubectl.surviving(response.get("warnings") or ())])


def _answers(sample: samples.Sample, accounts: Accounts, server: Server) -> list[kubectl.Answered]:
    return [
        kubectl.Answered(document, server.ask(review(document, accounts)))
        for document in sample.documents
    ]


def _keep(stage: Stage, server: Server, out: TextIO) -> None:
    sample = next(one for one in samples.load(stage.samples) if one.refused)
    accounts = Accounts(samples.cluster_documents(stage.samples))
    body = stage.folder / "review.json"
    body.write_text(json.dumps(review(sample.documents[0], accounts), indent=2), encoding="utf-8")
    # Who reads "until Ctrl-C" may press it before the next statement runs: from that
    # line on it is the end that was asked for, not an interruption.
    try:
        out.write("\nStill serving, until Ctrl-C. Try:\n")
        out.writelines(f"\n  {line}\n" for line in _lines_to_try(stage, server, sample))
        out.flush()
        while server.running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
    raise ServerTrouble("the server stopped")


def _lines_to_try(stage: Stage, server: Server, sample: samples.Sample) -> Iterator[str]:
    url = f"{server.address.validate}?timeout={REVIEW_SECONDS}s"
    json_type = "Content-Type: application/json"
    body = stage.folder / "review.json"
    yield shlex.join(
        ["curl", "--cacert", str(stage.ca), "-H", json_type, "--data", f"@{body}", url]
    )
    containers = sample.documents[0]["spec"]["template"]["spec"]["containers"]
    host = containers[0]["image"].partition("/")[0]
    yield shlex.join(
        [
            *_command(),
            *("inspect", f"{host}/shop/api:2.1"),
            *("--policy", str(stage.registry_config)),
            *("--manifests", str(stage.samples / "cluster")),
            *("--namespace", "shop", "--pod-secret", "shop-registry"),
        ]
    )


def _command() -> list[str]:
    beside = shutil.which("pullproof", path=str(Path(sys.executable).parent))
    if beside is None:
        return pullproof()
    return [os.path.relpath(beside)]


@contextlib.contextmanager
def _registry() -> Iterator[Registry]:
    try:
        registry = Registry(demo_store(), port=free_port())
    except OSError:
        # Somebody took the port since it was looked at.
        registry = Registry(demo_store())
    with registry:
        yield registry


def _stop_on_signals() -> None:
    """Let the first Ctrl-C or SIGTERM end the demo, and no second one disturb the tidying up."""

    def stop(_number: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
