"""The command ``pullproof``: one module a sub-command, found by its name."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from webhook.cli.options import USAGE, Parser, complain

COMMANDS = {
    "serve": "the webhook",
    "check": "the webhook's verdict over manifests: files, folders, standard input",
    "inspect": "what a node would make of an image",
    "explain": "what a code or cause means, and what mends it",
    "schema": "the JSON Schemas of policies and of what is printed",
    "certs": "the webhook's certificates: issue them, see where they stand",
    "demo": "the whole walk on this machine, without a cluster",
}
LATER = ("policy", "audit")
"""Commands whose names are taken and whose work is not there yet."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        sys.stdout.write(f"pullproof {_version()}\n")
        return 0
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return 0 if words else USAGE
    name, rest = words[0], words[1:]
    if name in LATER:
        complain(f"{name} is not there yet")
        return USAGE
    if name not in COMMANDS:
        complain(f"there is no command {name!r}; pullproof --help lists them")
        return USAGE
    module = import_module(f"webhook.cli.{name}")
    if name == "demo":
        status: int = module.main(rest)
        return status
    parser = Parser(prog=f"pullproof {name}", description=COMMANDS[name], allow_abbrev=False)
    module.add_parser(parser)
    ended: int = module.run(parser.parse_args(rest))
    return ended


def _version() -> str:
    try:
        return version("pullproof")
    except PackageNotFoundError:
        return "(not installed)"


def _usage() -> str:
    width = max(map(len, COMMANDS))
    commands = "".join(f"  {name:<{width}}  {does}\n" for name, does in COMMANDS.items())
    return f"usage: pullproof COMMAND [--help]\n\n{commands}"
