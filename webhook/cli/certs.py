"""``pullproof certs``: the certificates of the webhook, issued and looked at."""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from certs.agree import Done, agree, bundle_of, identity_in, publish
from certs.bundle import verifies
from certs.cluster import ApiServer, ClusterError
from certs.files import ensure_self_signed, read_identity, write_identity
from certs.identity import Identity, fault_of
from certs.inspect import UnreadableCertificate, certificate_facts
from webhook.cli.options import USAGE, Parser, UsageError, complain, say, seconds

FAILED = 1
DEFAULT_TIMEOUT = 30.0

_NAME = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the identity lies, whose names it has, and who has to believe it."""

    secret: tuple[str, str] | None
    directory: Path | None
    names: tuple[str, ...]
    configuration: str | None


def add_parser(parser: Parser) -> None:
    """Add the sub-commands and their flags."""
    parser.usage_status = FAILED
    commands = parser.add_subparsers(dest="does", required=True, metavar="COMMAND")
    for name, does in {
        "issue": "make a CA and a serving certificate, or take over those that are there",
        "status": "tell where the certificate stands",
        "rotate": "not there yet",
    }.items():
        command: Parser = commands.add_parser(name, help=does, description=does, allow_abbrev=False)
        command.usage_status = FAILED
        _add_flags(command)


def _add_flags(parser: Parser) -> None:
    parser.add_flag(
        "--secret",
        type=_secret,
        metavar="NAMESPACE/NAME",
        help="the Secret by which replicas agree",
    )
    parser.add_flag(
        "--service",
        type=_service,
        metavar="NAME[.NAMESPACE]",
        help="the Service that the API server calls (namespace: the Secret's)",
    )
    parser.add_flag("--names", metavar="A,B", help="names and addresses, beside the Service's")
    parser.add_flag(
        "--dir", type=Path, metavar="DIR", help="where the server finds ca.crt, tls.crt, tls.key"
    )
    parser.add_flag(
        "--webhook-configuration",
        metavar="NAME",
        help="the ValidatingWebhookConfiguration whose caBundle verifies the certificate",
    )
    parser.add_flag(
        "--kubeconfig", type=Path, metavar="F", help="the cluster (left out: the one around us)"
    )
    parser.add_flag(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long the API server may take in all",
    )


def _secret(text: str) -> tuple[str, str]:
    match = re.fullmatch(f"({_LABEL})/({_NAME})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME")
    return match[1], match[2]


def _service(text: str) -> tuple[str, str]:
    match = re.fullmatch(rf"({_LABEL})(?:\.({_LABEL}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME[.NAMESPACE]")
    return match[1], match[2] or ""


def run(given: argparse.Namespace) -> int:
    """Issue or tell; returns 0, 1 when it failed or what is there cannot be used."""
    if given.does == "rotate":
        complain("certs rotate is not there yet")
        return USAGE
    try:
        wanted = _wanted(given)
        if wanted.secret is None and wanted.configuration is None:
            return _issue(wanted, None) if given.does == "issue" else _status(wanted, None)
        with closing(ApiServer(given.kubeconfig, timeout=given.timeout)) as cluster:
            return _issue(wanted, cluster) if given.does == "issue" else _status(wanted, cluster)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
    except (UsageError, ClusterError, ValueError) as error:
        complain(str(error))
    return FAILED


def _wanted(given: argparse.Namespace) -> Wanted:
    if given.secret is None and given.dir is None:
        raise UsageError(f"certs {given.does} needs --secret NAMESPACE/NAME or --dir DIR")
    names = [name.strip() for name in (given.names or "").split(",") if name.strip()]
    if given.service is not None:
        service, namespace = given.service
        namespace = namespace or (given.secret[0] if given.secret else "")
        if not namespace:
            raise UsageError("--service NAME without a namespace takes it from --secret")
        names = [*service_names(service, namespace), *names]
    if not names and given.does == "issue":
        raise UsageError("certs issue needs --service NAME[.NAMESPACE] or --names A,B")
    unique = tuple(dict.fromkeys(names))
    return Wanted(given.secret, given.dir, unique, given.webhook_configuration)


def service_names(service: str, namespace: str) -> list[str]:
    """Return the names of a Service; the API server calls it by the first."""
    short = f"{service}.{namespace}"
    return [f"{short}.svc", f"{short}.svc.cluster.local", short]


def _issue(wanted: Wanted, cluster: ApiServer | None) -> int:
    if wanted.secret is None:
        assert wanted.directory is not None  # noqa: S101  # _wanted asks for one of the two
        ensure_self_signed(wanted.directory, wanted.names)
        identity = read_identity(wanted.directory)
        say(f"{wanted.directory}: {_until(identity)}")
    else:
        assert cluster is not None  # noqa: S101  # run makes one for a Secret
        namespace, name = wanted.secret
        agreed = agree(cluster, namespace, name, wanted.names)
        identity = agreed.identity
        why = f" ({agreed.why})" if agreed.done is Done.REPLACED else ""
        say(f"Secret {namespace}/{name}: {agreed.done.value}{why}, {_until(identity)}")
    if wanted.configuration is not None and cluster is not None:
        # Before the files: a certificate is believed by the time that a server shows it.
        changed = publish(cluster, wanted.configuration, identity.ca)
        done = f"caBundle set in {changed} webhook(s)" if changed else "caBundle unchanged"
        say(f"ValidatingWebhookConfiguration {wanted.configuration}: {done}")
    if wanted.secret is not None and wanted.directory is not None:
        write_identity(wanted.directory, identity.ca, identity.pair)
        say(f"{wanted.directory}: written")
    return 0


def _until(identity: Identity) -> str:
    return f"valid until {_moment(certificate_facts(identity.pair.certificate).not_after)}"


def _status(wanted: Wanted, cluster: ApiServer | None) -> int:
    identities: dict[str, Identity] = {}
    if wanted.secret is not None and cluster is not None:
        namespace, name = wanted.secret
        identities[f"Secret {namespace}/{name}"] = identity_in(cluster.secret(namespace, name))
    if wanted.directory is not None:
        identities[str(wanted.directory)] = read_identity(wanted.directory)
    bundles: list[tuple[str, bytes]] = []
    if wanted.configuration is not None and cluster is not None:
        webhooks = cluster.configuration(wanted.configuration).get("webhooks") or ()
        bundles = [(str(webhook.get("name")), bundle_of(webhook)) for webhook in webhooks]
    faults = 0
    for place, identity in identities.items():
        found = list(_faults(identity, wanted, bundles))
        faults += len(found)
        say([place, *_facts(identity), *(f"  wrong     {fault}" for fault in found)])
    return FAILED if faults else 0


def _facts(identity: Identity) -> Iterator[str]:
    try:
        facts = certificate_facts(identity.pair.certificate)
    except UnreadableCertificate:
        return
    left = (facts.not_after - datetime.now(UTC)).days
    yield f"  names     {', '.join(facts.names)}"
    yield f"  valid     {_moment(facts.not_before)} until {_moment(facts.not_after)} ({left} days)"


def _faults(
    identity: Identity, wanted: Wanted, bundles: Sequence[tuple[str, bytes]]
) -> Iterator[str]:
    if fault := fault_of(identity, wanted.names):
        yield fault
    if wanted.configuration is not None and not bundles:
        yield f"ValidatingWebhookConfiguration {wanted.configuration} has no webhook"
    for webhook, bundle in bundles:
        try:
            believed = verifies(bundle, identity.pair.certificate)
        except UnreadableCertificate:
            believed = False
        if not believed:
            yield f"no authority in the caBundle of {webhook} verifies the certificate"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
