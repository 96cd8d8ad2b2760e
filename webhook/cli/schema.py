"""``pullproof schema``: the JSON Schema of what is read and printed."""

import argparse
import json

from webhook.cli.options import USAGE, Parser, complain, say
from webhook.policy.schema import schema as policy_schema
from webhook.report.inspection_schema import schema as inspect_schema

SCHEMAS = {"inspect": inspect_schema, "policy": policy_schema}
LATER = ("check",)


def add_parser(parser: Parser) -> None:
    """Add the command's own words."""
    parser.add_argument("name", choices=[*SCHEMAS, *LATER], help="of what")


def run(given: argparse.Namespace) -> int:
    """Print the schema; returns 0, or 3 for one that is not there yet."""
    if given.name in LATER:
        complain(f"schema {given.name} is not there yet")
        return USAGE
    say(json.dumps(SCHEMAS[given.name](), indent=2))
    return 0
