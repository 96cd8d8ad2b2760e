"""The markers again, inside: what any logger says at its most talkative, what anything shows.

A local variable of a frame may hold a secret, as it must somewhere; so a traceback is
looked at as it is printed, without the values of locals.
"""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Iterable, Iterator

import pytest

from tests.integration.canary import NAMESPACE, Stage, staged
from webhook.cluster.manifests import ManifestView
from webhook.deadline import Deadline
from webhook.images.reference import parse
from webhook.images.workloads import ImageUse, Place, PodInputs, PullPolicy
from webhook.policy.fault import Refused
from webhook.policy.store import PolicyStore
from webhook.registry.resolver import Resolver, Sender
from webhook.registry.settings import Depth, RegistrySettings
from webhook.registry.transport import Transport
from webhook.registry.wire import Ask, Reply, Trouble
from webhook.review.engine import Engine, Workload
from webhook.rules.facts import Judged, PodFacts
from webhook.server.logs import OneLine, fault

TALKATIVE = ("", "httpx", "httpcore", "urllib3", "kubernetes", "asyncio", "webhook")
# A registry wrote these into URLs, and a request has to show where it goes.
OF_URLS = {"realm-query", "redirect-query"}
BROKEN = ["malformed", *(f"undecodable-{number}" for number in range(5))]
NAMED = ["regcred", "wrong", "opaque", "basic-auth", "legacy"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("canary-inside")) as running:
        yield running


class Watched:
    """The real transport, with every question and answer looked at as they would be shown."""

    def __init__(self, stage: Stage, settings: RegistrySettings, breaks_at: int = -1) -> None:
        self._stage = stage
        self._under = Transport(settings)
        self._left = breaks_at
        self.asked = 0
        self.shown: list[str] = []

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        self.asked += 1
        if self._left == 0:
            raise RuntimeError("it broke")
        self._left -= 1
        answer = self._under.send(ask, deadline)
        found = self._stage.mark.found(f"{ask!r} {ask}")
        self.shown += [one for one in found if one.partition(" ")[0] not in OF_URLS]
        self.shown += self._stage.mark.found(f"{answer!r} {answer}")
        return answer

    def close(self) -> None:
        self._under.close()


def engine_over(stage: Stage, sender_of: type[Watched], breaks_at: int = -1) -> Engine:
    store = PolicyStore.open((stage.folder / "policy.yaml",))
    assert not isinstance(store, Refused)
    policies = store.current
    settings = RegistrySettings(
        registries=policies.registry.registries,
        egress=policies.registry.egress,
        hosts_dir=stage.folder / "certs.d",
        depth=Depth.WHOLE,
        connect=5.0,
        total=9.0,
    )
    view = ManifestView(stage.folder / "cluster", NAMESPACE)
    sender: Sender = sender_of(stage, settings, breaks_at)
    return Engine(policies, settings, view, Resolver(settings, sender))


def examined(
    stage: Stage, engine: Engine, names: Iterable[str], images: Iterable[str] = ()
) -> tuple[PodFacts, tuple[Judged, ...]]:
    uses = tuple(
        ImageUse(f"i[{n}]", f"c{n}", Place.CONTAINER, text, parse(text), PullPolicy.ALWAYS)
        for n, text in enumerate(images or stage.images)
    )
    workload = Workload(NAMESPACE, "Pod", "web", PodInputs(tuple(names), "default", uses))
    deadline = Deadline.after(30)
    pod = engine.pod_facts(workload, deadline)
    return pod, engine.examine(pod, uses, deadline)


def ours(*roots: object) -> Iterator[object]:
    """Yield every object of our own types that is reached from ``roots``."""
    seen, waiting = set[int](), list(roots)
    kept: list[object] = []
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, (type, str, bytes, int, float)):
            continue
        seen.add(id(one))
        kept.append(one)
        module = type(one).__module__
        if module.startswith("webhook."):
            yield one
        # Not into the interpreter's own: a module reaches everything.
        if module.startswith(("webhook.", "tests.integration", "collections", "builtins")):
            if type(one).__name__ in ("module", "function", "builtin_function_or_method"):
                continue
            waiting += gc.get_referents(one)


def resolver_of(engine: Engine) -> Resolver:
    assert isinstance(engine.asker, Resolver)
    return engine.asker


def sender_of(engine: Engine) -> Watched:
    sender = resolver_of(engine)._sender
    assert isinstance(sender, Watched)
    return sender


@pytest.mark.parametrize("names", [NAMED, ["wrong"], *([name] for name in BROKEN)])
def test_no_logger_and_nothing_that_shows_itself_holds_a_secret(
    stage: Stage, caplog: pytest.LogCaptureFixture, names: list[str]
) -> None:
    """No type that holds one prints it; no log, message, metric or exception carries one."""
    # The transport turns httpx down to warnings; here it may say all that it knows.
    for logger in TALKATIVE:
        caplog.set_level(logging.DEBUG, logger)
    engine = engine_over(stage, Watched)
    try:
        pod, judged = examined(stage, engine, names)
        again = examined(stage, engine, names)
        kinds = set()
        for one in ours(engine, pod, judged, again):
            kinds.add(type(one).__name__)
            for text in (repr(one), str(one)):
                assert stage.mark.found(text) == [], type(one).__name__
        assert {"Outcome", "Resolver", "Recall", "Memory", "Secret", "PodFacts"} <= kinds
        assert {"Endpoint", "Authority", "Credential"} <= kinds or names != NAMED
        assert sender_of(engine).shown == []
        assert names != NAMED or sender_of(engine).asked > len(stage.images)
    finally:
        resolver_of(engine).close()
    urls = {name for name in stage.mark.names if name not in OF_URLS}
    for record in caplog.records:
        for text in (record.getMessage(), repr(record.args), OneLine().format(record)):
            # httpx's own line at level INFO, which the program never lets through, shows URLs.
            names_of = urls if record.name == "httpx" else set(stage.mark.names)
            assert stage.mark.found(text, names_of) == [], record.name


def test_httpx_is_kept_from_telling_urls() -> None:
    """Whatever level the root logger has: a URL can hold what nobody should read."""
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)


def test_no_exceptions_text_holds_a_secret_wherever_it_breaks(stage: Stage) -> None:
    broken = 0
    for image in stage.images:
        # One at a time: what else is under way would be left behind by the break.
        for breaks_at in range(6):
            engine = engine_over(stage, Watched, breaks_at)
            try:
                examined(stage, engine, NAMED, [image])
            except RuntimeError as error:
                broken += 1
                printed = "".join(traceback.TracebackException.from_exception(error).format())
                assert "it broke" in printed
                assert stage.mark.found(printed + fault(error)) == []
            finally:
                resolver_of(engine).close()
    assert broken > len(stage.images)
