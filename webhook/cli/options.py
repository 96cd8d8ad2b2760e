"""Flags that several commands share, each of them also an environment variable."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

from webhook.images.platform import InvalidPlatform, Platform
from webhook.images.platform import parse as parse_platform
from webhook.registry.settings import Depth, Vantage

USAGE = 3
DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT = 10.0
ENVIRONMENT_PREFIX = "PULLPROOF_"


class UsageError(Exception):
    """The words of the command are off; ``str()`` says how, on one line."""


class _Append(argparse.Action):
    """Gathers a repeatable flag; given at all, it takes the place of the environment's values."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's own signature
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        given = getattr(namespace, self.dest)
        before = given if given is not None and given is not self.default else []
        setattr(namespace, self.dest, [*before, values])


class Parser(argparse.ArgumentParser):
    """An argument parser whose misuse exits with a status of ours, not with argparse's 2.

    2 means "undecided" here: a typing error must not look like a verdict.
    """

    usage_status = USAGE

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.usage_status, f"{self.prog}: {message}\n")

    def add_flag(self, *names: str, **kwargs: Any) -> None:
        """Add a flag that ``PULLPROOF_<FLAG>`` gives too; repeatable ones are split at ``:``."""
        variable = ENVIRONMENT_PREFIX + names[0].lstrip("-").replace("-", "_").upper()
        given = os.environ.get(variable)
        if given:
            kwargs["default"] = self._from_environment(variable, given, kwargs)
        if kwargs.get("action") == "append":
            kwargs["action"] = _Append
        kwargs["help"] = f"{kwargs.get('help', '')} [{variable}]"
        self.add_argument(*names, **kwargs)

    def _from_environment(self, variable: str, given: str, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("action") == "store_true":
            return given.lower() not in ("0", "false", "no")
        convert = kwargs.get("type", str)
        repeatable = kwargs.get("action") == "append"
        texts = [text for text in given.split(":") if text] if repeatable else [given]
        choices = kwargs.get("choices")
        try:
            values = [convert(text) for text in texts]
        except (ValueError, argparse.ArgumentTypeError):
            self.error(f"{variable}: {given!r} is no value for it")
        if choices is not None and any(value not in choices for value in values):
            self.error(f"{variable}: {given!r} is none of {', '.join(map(str, choices))}")
        return (values or None) if repeatable else values[0]


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Which policies, cluster and registries a command sees; None where nothing is said."""

    policies: tuple[Path, ...]
    kubeconfig: Path | None
    manifests: Path | None
    namespace: str
    hosts_dir: Path | None
    depth: Depth | None
    vantage: Vantage | None
    timeout: float
    platforms: tuple[Platform, ...] = ()


def add_view(parser: Parser) -> None:
    """Add the flags of the view, the same for every command that judges."""
    parser.add_flag(
        "--policy",
        action="append",
        type=Path,
        metavar="PATH",
        help="a policy file, or a folder of them; repeatable",
    )
    parser.add_flag("--kubeconfig", type=Path, metavar="F", help="the cluster to read from")
    parser.add_flag(
        "--manifests",
        "--cluster-dir",
        type=Path,
        metavar="DIR",
        help="a folder of manifests that stands for the cluster",
    )
    parser.add_flag("--namespace", default=DEFAULT_NAMESPACE, metavar="N", help="the namespace")
    parser.add_flag("--hosts-dir", type=Path, metavar="DIR", help="containerd's certs.d")
    parser.add_flag(
        "--depth",
        choices=[depth.value for depth in Depth],
        help="how far to look: the tag, the manifest, every blob",
    )
    parser.add_flag(
        "--vantage",
        choices=[vantage.value for vantage in Vantage],
        help="whether the network is seen from here as a node sees it",
    )
    parser.add_flag(
        "--platform",
        action="append",
        metavar="OS/ARCH[/VARIANT]",
        help="a platform to judge for; repeatable",
    )
    parser.add_flag(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long an answer may take",
    )


def view_of(given: argparse.Namespace) -> ViewOptions:
    """Return the view's flags. Raises UsageError where they contradict each other."""
    if given.manifests is not None and given.kubeconfig is not None:
        raise UsageError("--manifests and --kubeconfig exclude each other")
    if given.manifests is not None and not given.manifests.is_dir():
        raise UsageError(f"--manifests: {given.manifests} is no folder")
    if given.hosts_dir is not None and not given.hosts_dir.is_dir():
        raise UsageError(f"--hosts-dir: {given.hosts_dir} is no folder")
    platforms = tuple(_platform(text) for text in given.platform or ())
    return ViewOptions(
        policies=tuple(given.policy or ()),
        kubeconfig=given.kubeconfig,
        manifests=given.manifests,
        namespace=given.namespace,
        hosts_dir=given.hosts_dir,
        depth=Depth(given.depth) if given.depth else None,
        vantage=Vantage(given.vantage) if given.vantage else None,
        timeout=given.timeout,
        platforms=platforms,
    )


def _platform(text: str) -> Platform:
    platform = parse_platform(text)
    if isinstance(platform, InvalidPlatform):
        raise UsageError(f"--platform: {text!r} is no platform: {platform.reason}")
    return platform


def seconds(text: str) -> float:
    """Read a positive number of seconds. Raises ArgumentTypeError."""
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def say(lines: Sequence[str] | str) -> None:
    """Write a result to standard output."""
    text = lines if isinstance(lines, str) else "\n".join(lines)
    _write(sys.stdout, text)


def complain(line: str) -> None:
    """Write an error to standard error."""
    _write(sys.stderr, f"pullproof: {line}")


def _write(stream: TextIO, line: str) -> None:
    # A terminal of another encoding gets an escape, not a traceback.
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
