"""``pullproof inspect``: each image as a node would see it."""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from webhook.cli.assemble import Desk, PoliciesRefusedError, open_policies, open_view
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
from webhook.cluster.selection import is_label
from webhook.credentials.execute import Command, RunFailure
from webhook.credentials.gojson import JsonError, JsonObject, parse
from webhook.credentials.keyring import keyring_of
from webhook.credentials.node import NodeKeyring, node_keyring
from webhook.credentials.secret import (
    DOCKER_CONFIG_JSON_KEY,
    DOCKER_CONFIG_JSON_TYPE,
    DOCKERCFG_KEY,
    DOCKERCFG_TYPE,
    Secret,
)
from webhook.deadline import Deadline
from webhook.images.placement import Placement
from webhook.images.reference import parse as parse_reference
from webhook.images.workloads import ImageUse, Place, PodInputs, PullPolicy, pull_policy
from webhook.registry.outcome import Outcome, Pull
from webhook.registry.resolver import Question
from webhook.registry.settings import NodeCredentials, RegistrySettings
from webhook.report.inspection import as_json, as_text
from webhook.review.engine import Engine, Workload
from webhook.rules.facts import Judged, NamedSecret, PodFacts

STATUS = {Pull.OK: 0, Pull.FAILS: 1, Pull.UNKNOWN: 2}


def add_parser(parser: Parser) -> None:
    """Add the command's own flags."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image as a manifest has it")
    parser.add_flag(
        "--docker-config",
        action="append",
        type=Path,
        metavar="F",
        help="a docker config that stands for one pull secret; repeatable, in order",
    )
    parser.add_flag(
        "--pod-secret",
        action="append",
        metavar="NAME",
        help="a pull secret that the pod names; repeatable, in order",
    )
    parser.add_flag("--service-account", metavar="NAME", help="the pod's service account")
    parser.add_flag(
        "--node-selector",
        action="append",
        metavar="KEY=VALUE",
        help="a label of the nodes that the pod may run on; repeatable",
    )
    parser.add_flag("--node-name", metavar="NAME", help="the node that the pod names")
    parser.add_flag(
        "--pull-policy",
        choices=[policy.value for policy in PullPolicy],
        help="imagePullPolicy (left out: as the API server fills it in)",
    )
    parser.add_flag("--offline", action="store_true", help="parse and match only, contact nobody")
    parser.add_flag("--output", choices=["text", "json"], default="text", help="text or json")
    add_view(parser)


def run(given: argparse.Namespace) -> int:
    """Inspect and print; returns 0 would pull, 1 would fail, 2 unknown, 3 usage."""
    try:
        judged = _inspect(given, view_of(given))
    except (UsageError, PoliciesRefusedError) as error:
        complain(str(error))
        return USAGE
    if given.output == "json":
        say([json.dumps(as_json(image)) for image in judged])
    else:
        say("\n\n".join(as_text(image) for image in judged))
    pulls = {image.outcome.pull for image in judged}
    order = (Pull.FAILS, Pull.UNKNOWN, Pull.OK)
    return STATUS[next(pull for pull in order if pull in pulls)]


def _inspect(given: argparse.Namespace, options: ViewOptions) -> tuple[Judged, ...]:
    configs = [_docker_config(path) for path in given.docker_config or ()]
    has_view = options.manifests is not None or options.kubeconfig is not None
    if (given.pod_secret or given.service_account) and not has_view:
        raise UsageError("--pod-secret and --service-account need --manifests or --kubeconfig")
    if (given.node_selector or given.node_name) and not has_view:
        raise UsageError("--node-selector and --node-name need --manifests or --kubeconfig")
    if given.offline and options.kubeconfig is not None:
        raise UsageError("--offline contacts nobody, so it cannot read --kubeconfig's cluster")
    store = open_policies(options)
    view = open_view(options)
    desk = Desk(store, view, options, local=True, flight_seconds=options.timeout)
    try:
        engine = desk.engine()
        if given.offline:
            held = _without_plugins(engine.settings)
            engine = Engine(engine.policies, engine.settings, view, _Nobody(), held)
        deadline = Deadline.after(options.timeout)
        pod = _pod(given, options, engine, configs, deadline)
        return engine.examine(pod, _uses(given), deadline)
    finally:
        desk.close()


class _Nobody:
    """Asks nobody, and so knows nothing."""

    def predict_all(
        self,
        questions: Sequence[Question],
        deadline: Deadline,  # noqa: ARG002
        *,
        denial: bool = False,  # noqa: ARG002
    ) -> list[Outcome]:
        return [Outcome(Pull.UNKNOWN, before_credentials=True) for _ in questions]


def _without_plugins(settings: RegistrySettings) -> NodeKeyring:
    """Return what the nodes' files hold; a plugin would contact somebody."""

    def unasked(command: Command, deadline: Deadline) -> RunFailure:  # noqa: ARG001 - a Runner
        return RunFailure("is not run, since --offline contacts nobody")

    return node_keyring(
        settings.node_docker_config,
        settings.credential_providers,
        files=settings.node_credentials is NodeCredentials.FILES,
        runner=unasked,
    )


def _placement(given: argparse.Namespace) -> Placement:
    """Return where the pod may run. Raises UsageError for what is no label of a node."""
    selector: dict[str, str] = {}
    for text in given.node_selector or ():
        key, separator, value = text.partition("=")
        if not separator or not is_label(key, value):
            raise UsageError(f"--node-selector: {text!r} is no KEY=VALUE of a label")
        if selector.setdefault(key, value) != value:
            raise UsageError(f"--node-selector: {key} is given two values")
    return Placement(node_name=given.node_name or "", node_selector=tuple(sorted(selector.items())))


def _uses(given: argparse.Namespace) -> list[ImageUse]:
    uses: list[ImageUse] = []
    for index, written in enumerate(given.images):
        reference = parse_reference(written)
        policy = pull_policy(given.pull_policy, reference)
        field = f"images[{index}]"
        uses.append(ImageUse(field, "", Place.CONTAINER, written, reference, policy))
    return uses


def _pod(
    given: argparse.Namespace,
    options: ViewOptions,
    engine: Engine,
    configs: Sequence[tuple[str, Secret]],
    deadline: Deadline,
) -> PodFacts:
    """Return the pod that would run the images: its own secrets, or else its account's."""
    names = given.pod_secret or []
    has_view = options.manifests is not None or options.kubeconfig is not None
    account_name = given.service_account or "default"
    placement = _placement(given)
    if not names and not configs and has_view:
        inputs = PodInputs((), account_name, (), placement=placement)
        workload = Workload(options.namespace, "Pod", "", inputs)
        return engine.pod_facts(workload, deadline)
    named = tuple(
        NamedSecret(name, "--pod-secret", engine.view.secret(options.namespace, name, deadline))
        for name in names
    )
    return PodFacts(
        namespace=options.namespace,
        kind="Pod",
        name="",
        account=account_name,
        account_state=None,
        secrets=named,
        keyring=keyring_of([*configs, *_readable(named)]),
        settings=engine.settings,
        eligible=engine.eligible(placement, deadline),
    )


def _readable(named: Iterable[NamedSecret]) -> Iterable[tuple[str, Secret]]:
    return [(f"secret/{s.name}", s.state) for s in named if isinstance(s.state, Secret)]


def _docker_config(path: Path) -> tuple[str, Secret]:
    """Read a docker config as one pull secret; the API server would want a JSON object or null."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        document = parse(raw)
    except JsonError as error:
        raise UsageError(f"{path}: {error}") from error
    if document is not None and not isinstance(document, JsonObject):
        raise UsageError(f"{path}: it holds no JSON object")
    legacy = path.name.endswith(".dockercfg")
    type_ = DOCKERCFG_TYPE if legacy else DOCKER_CONFIG_JSON_TYPE
    key = DOCKERCFG_KEY if legacy else DOCKER_CONFIG_JSON_KEY
    return f"file/{path.name}", Secret("", path.name, type_, {key: raw})
