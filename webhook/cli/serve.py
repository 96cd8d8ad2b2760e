"""``pullproof serve``: the webhook."""

import argparse
from pathlib import Path

from certs.files import ensure_self_signed
from webhook.cli.assemble import Desk, PoliciesRefusedError, open_policies, open_view
from webhook.cli.options import Parser, UsageError, add_view, complain, view_of
from webhook.cli.reviewer import Reviewer
from webhook.server.run import run as run_server
from webhook.server.settings import Address, CannotStart, ServerSettings, parse_address

COULD_NOT_START = 1
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def add_parser(parser: Parser) -> None:
    """Add the command's own flags."""
    parser.usage_status = COULD_NOT_START
    parser.add_flag(
        "--listen",
        type=_address,
        default="0.0.0.0:8443",
        metavar="HOST:PORT",
        help="where reviews are taken, over TLS",
    )
    parser.add_flag(
        "--ops-listen",
        type=_address,
        default="0.0.0.0:8080",
        metavar="HOST:PORT",
        help="where health and metrics are told, plainly",
    )
    parser.add_flag("--tls-cert", type=Path, metavar="F", help="the serving certificate")
    parser.add_flag("--tls-key", type=Path, metavar="F", help="its key")
    parser.add_flag(
        "--self-signed",
        type=Path,
        metavar="DIR",
        help="make a CA and a certificate in DIR, or use those that are there",
    )
    parser.add_flag(
        "--client-ca", type=Path, metavar="F", help="who may call: holders of its certificates"
    )
    add_view(parser)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(given: argparse.Namespace) -> int:
    """Serve until told to stop; returns 0 stopped, 1 could not start."""
    try:
        options = view_of(given)
        # Read once before the fork, so that a fault is told at once and by its line.
        open_policies(options)
        settings = _settings(given)
    except (UsageError, PoliciesRefusedError, OSError, ValueError) as error:
        complain(str(error))
        return COULD_NOT_START

    def make_service() -> Reviewer:
        try:
            view = open_view(options, in_cluster=True)
            return Reviewer(Desk(open_policies(options), view, options))
        except (UsageError, PoliciesRefusedError) as error:
            raise CannotStart(str(error)) from error

    return run_server(settings, make_service)


def _settings(given: argparse.Namespace) -> ServerSettings:
    if given.self_signed is not None:
        if given.tls_cert is not None or given.tls_key is not None:
            raise UsageError("--self-signed and --tls-cert/--tls-key exclude each other")
        host = given.listen.host
        names = tuple(dict.fromkeys((*LOCAL_NAMES, host))) if host != "0.0.0.0" else LOCAL_NAMES  # noqa: S104
        paths = ensure_self_signed(given.self_signed, names)
        certificate, key = paths.certificate, paths.key
    elif given.tls_cert is not None and given.tls_key is not None:
        certificate, key = given.tls_cert, given.tls_key
    else:
        raise UsageError("serve needs --tls-cert and --tls-key, or --self-signed DIR")
    return ServerSettings(
        tls_cert=certificate,
        tls_key=key,
        client_ca=given.client_ca,
        listen=given.listen,
        ops_listen=given.ops_listen,
    )
