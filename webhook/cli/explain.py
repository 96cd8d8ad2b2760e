"""``pullproof explain``: what a code, cause or rule means."""

import argparse

from webhook.cli.options import USAGE, Parser, complain, say
from webhook.review.pages import page, unknown


def add_parser(parser: Parser) -> None:
    """Add the command's own words."""
    parser.add_argument(
        "words", nargs="+", metavar="CODE|CAUSE", help="as PP-103, tag-not-found or a rule's name"
    )


def run(given: argparse.Namespace) -> int:
    """Print the pages; returns 0, or 3 for a word that names nothing."""
    pages = [(word, page(word)) for word in given.words]
    found = [text for _, text in pages if text is not None]
    if found:
        say("\n\n".join(found))
    missing = [word for word, text in pages if text is None]
    for word in missing:
        complain(unknown(word))
    return USAGE if missing else 0
