"""What holds whatever a registry answers: bounds, secrets, named causes."""

import base64
import binascii
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scripted.hostile import (
    BOUGHT,
    FREE,
    MARK,
    PASSWORD,
    answers,
    credentials,
    images,
    passwords,
    plausible,
)
from tests.scripted.layouts import LAYOUTS, OF_ONE, OF_TWO, Layout, peer
from tests.scripted.values import (
    BASIC,
    BEARER,
    DIGEST,
    Answer,
    Played,
    Script,
    header,
    play,
    target,
    token,
)
from tests.scripted.worlds import World, worlds
from webhook.credentials.keyring import Credential
from webhook.registry.bounds import most_requests
from webhook.registry.outcome import Pull
from webhook.registry.recall import Recall
from webhook.registry.settings import Depth
from webhook.registry.wire import Ask, Reply

quick = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
recalls = st.sampled_from([True, False])


@dataclass(frozen=True)
class Setting:
    """What is asked for of a registry that serves ``world``, and with what."""

    layout: int
    world: World
    rest: str
    depth: Depth
    tried: list[Credential]
    recall: bool

    def memory(self) -> Recall | None:
        return Recall(3600.0) if self.recall else None


settings_of = st.builds(
    Setting,
    st.integers(0, len(LAYOUTS) - 1),
    worlds(),
    st.sampled_from(["acme/app:1", "acme/app:1", f"acme/app@{DIGEST}"]),
    st.sampled_from(Depth),
    credentials,
    recalls,
)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> list[Layout]:
    folder = tmp_path_factory.mktemp("certs.d")
    return [layout.laid_out(folder) for layout in LAYOUTS]


def in_rounds(script: Sequence[Answer]) -> Script:
    """Give the answers in their order, over and over."""
    count = 0

    def answer(_: Ask) -> Answer:
        nonlocal count
        count += 1
        return script[count % len(script)]

    return answer


def keeps_its_promises(played: Played) -> None:
    """Check what holds of any outcome."""
    outcome = played.outcome
    assert (outcome.cause is None) == (outcome.pull is Pull.OK)
    assert MARK not in outcome.detail
    assert outcome.detail.isprintable()
    assert PASSWORD not in str(outcome)
    assert BOUGHT not in str(outcome) and FREE not in str(outcome)
    for tag in outcome.tags:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag)
    for request in outcome.requests:
        assert request.url.isprintable() and request.url.removesuffix("…").isascii()
        assert MARK not in urlsplit(request.url).query


# -- causes and bounds ------------------------------------------------------------------------


@quick
@given(st.data(), images, st.sampled_from(Depth), credentials)
def test_any_answers_end_in_an_outcome_with_a_named_cause(
    data: st.DataObject, image: str, depth: Depth, tried: list[Credential]
) -> None:
    """Outcome is data; exceptions are for misuse and bugs. Nothing waits without an end."""
    script = data.draw(st.lists(answers, min_size=1, max_size=12))
    where = target(image, depth)
    played = play(in_rounds(script), where, tried)
    keeps_its_promises(played)
    assert len(played.asks) <= most_requests(where, len(tried), 1, recalls=False)
    # A name that no socket can be opened for is told without asking.
    assert len(played.outcome.requests) >= len(played.asks)


@quick
@given(st.data(), settings_of)
def test_however_a_registry_misbehaves_the_requests_are_bounded(
    layouts: list[Layout], data: st.DataObject, this: Setting
) -> None:
    """A bound that hosts, credentials, paths and documents give."""
    where = layouts[this.layout].target(this.rest, this.depth)
    memory = this.memory()
    every = data.draw(st.integers(1, 6))
    script = data.draw(st.lists(st.one_of(plausible, answers), min_size=1, max_size=8))
    worse, count = in_rounds(script), 0

    def answer(ask: Ask) -> Answer:
        nonlocal count
        count += 1
        return this.world.serve(ask) if count % every else worse(ask)

    documents = len(this.world.contents)
    bound = most_requests(where, len(this.tried), documents, recalls=this.recall)
    for _ in range(2):
        played = play(answer, where, this.tried, memory)
        keeps_its_promises(played)
        assert len(played.asks) <= bound


@quick
@given(worlds(), st.sampled_from(Depth), recalls)
def test_a_good_registry_is_asked_for_each_content_once(
    layouts: list[Layout], world: World, depth: Depth, recall: bool
) -> None:
    """Of content by digest nothing is asked for twice; a tag is resolved once each time."""
    memory = Recall(3600.0) if recall else None
    for layout in layouts:
        played = play(world.serve, layout.target(depth=depth), (), memory)
        paths = [urlsplit(ask.url).path for ask in played.asks]
        asked = [path for path in paths if "sha256:" in path]
        if played.outcome.pull is Pull.OK:
            assert len(asked) == len(set(asked))
            assert len(paths) - len(asked) == 1
        assert len(asked) <= 2 * len(world.contents)
        keeps_its_promises(played)


@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_a_peer_that_only_redirects_or_only_challenges_is_given_up_within_the_bound(
    layouts: list[Layout], number: int
) -> None:
    layout = layouts[number]
    where = layout.target(f"acme/app@{DIGEST}", Depth.WHOLE)
    tried = [Credential("secret/a", layout.registry, "bot", PASSWORD)]
    own = f"https://{layout.registry}"
    for script in (
        lambda _: Reply(302, (("location", "/again"),)),
        lambda _: Reply(302, (("location", f"{own}/again"),)),
        lambda _: Reply(401, (("www-authenticate", f'Bearer realm="{own}/t"'),)),
        lambda _: Reply(401, (("www-authenticate", f'Bearer realm="{own}/t",error="e"'),)),
        lambda _: Reply(429),
        lambda _: Reply(405),
    ):
        played = play(script, where, tried)
        assert played.outcome.pull is not Pull.OK
        assert len(played.asks) <= most_requests(where, 1, 1, recalls=False)


# -- secrets ----------------------------------------------------------------------------------


def carried(ask: Ask) -> str:
    """Return all that goes along, read as whoever gets it could read it."""
    texts = [ask.url, *(f"{name}: {value}" for name, value in ask.headers)]
    if ask.body is not None:
        texts.append(ask.body.decode("latin-1"))
    word = header(ask, "authorization").partition(" ")[2]
    with contextlib.suppress(binascii.Error, ValueError):
        texts.append(base64.b64decode(word).decode("latin-1"))
    return "\n".join([*texts, unquote_plus("\n".join(texts))])


def is_handed_out_rightly(ask: Ask, layout: Layout) -> None:
    """Check one request against who may have what."""
    told, to = carried(ask), peer(ask)
    parts = urlsplit(ask.url)
    assert "@" not in parts.netloc and "\\" not in ask.url
    assert PASSWORD not in unquote_plus(ask.url) and BOUGHT not in ask.url
    if PASSWORD in told or BOUGHT in told:
        assert to in layout.may
        assert ask.user is not None
    asks_for_a_token = header(ask, "accept") == ""
    for mark, who in ((OF_ONE, layout.of_one), (OF_TWO, layout.of_two)):
        if mark in told:
            assert to in (layout.may if asks_for_a_token else who)


@settings(quick, max_examples=600)
@given(st.data(), settings_of)
def test_no_credential_goes_to_a_host_that_may_not_have_it(
    layouts: list[Layout], data: st.DataObject, this: Setting
) -> None:
    """Across hosts only an anonymous token; over plain HTTP only where configuration says so.

    Neither a password, nor a token that one bought, nor a header of a hosts.toml.
    """
    layout, memory = layouts[this.layout], this.memory()
    tempting = st.one_of(plausible, plausible, plausible, answers, st.none())

    def answer(ask: Ask) -> Answer:
        is_handed_out_rightly(ask, layout)
        drawn = data.draw(tempting)
        if drawn is not None:
            return drawn
        if header(ask, "accept"):
            return this.world.serve(ask)
        return token(access_token=BOUGHT if PASSWORD in carried(ask) else FREE)

    for _ in range(2):
        keeps_its_promises(play(answer, layout.target(this.rest, this.depth), this.tried, memory))


@pytest.mark.parametrize("number", range(len(LAYOUTS)))
def test_whoever_may_have_a_credential_is_handed_it(layouts: list[Layout], number: int) -> None:
    """The other side of the promise: the checks above look at requests that do happen."""
    layout = layouts[number]
    tried = [Credential("secret/a", layout.registry, "bot", PASSWORD)]
    seen: list[Ask] = []

    def answer(ask: Ask) -> Answer:
        is_handed_out_rightly(ask, layout)
        seen.append(ask)
        return Reply(401, (("www-authenticate", BASIC),))

    play(answer, layout.target(), tried)
    handed = {peer(ask) for ask in seen if PASSWORD in carried(ask)}
    assert handed and handed <= layout.may
    for mark, who in ((OF_ONE, layout.of_one), (OF_TWO, layout.of_two)):
        assert bool(who) == any(mark in carried(ask) for ask in seen)


@given(passwords)
def test_what_holds_a_secret_does_not_print_it(password: str) -> None:
    """No type that holds a secret prints it."""
    credential = Credential("secret/a", "reg.example", "bot", password)
    seen: list[Ask] = []

    def answer(ask: Ask) -> Answer:
        seen.append(ask)
        return Reply(401, (("www-authenticate", BEARER if len(seen) == 1 else BASIC),))

    play(answer, target(), [credential])
    assert any(ask.body for ask in seen)
    assert PASSWORD not in repr(seen) and "Basic" not in repr(seen)
