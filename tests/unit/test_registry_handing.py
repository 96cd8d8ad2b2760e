"""To whom a credential is handed in the corners: plain HTTP, files with headers, memory."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.scripted.hostile import MARK
from tests.scripted.layouts import LAYOUTS, OF_ONE, Layout, peer
from tests.scripted.values import (
    BASIC,
    BOT,
    Answer,
    Registry,
    challenge,
    found,
    in_turn,
    play,
    reply,
    target,
    token,
)
from webhook.registry.outcome import Cause, Pull
from webhook.registry.recall import Recall
from webhook.registry.wire import Ask, Trouble

HANDED = "Basic Ym90Omh1bnRlcjI="
"""What a challenge that asks for a password is answered with."""


@pytest.fixture
def laid_out(tmp_path: Path) -> dict[str, Layout]:
    return {layout.name: layout.laid_out(tmp_path) for layout in LAYOUTS}


def handed(asks: list[Ask]) -> set[str]:
    return {peer(ask) for ask in asks if ask.user is not None}


@pytest.mark.parametrize("realm", ["http://reg.example:443/token", "http://reg.example/token"])
def test_a_mirror_on_plain_http_does_not_send_to_the_registry_so(
    realm: str, laid_out: dict[str, Layout]
) -> None:
    """Over plain HTTP only to the very host of which configuration says so."""
    where = laid_out["plain-mirror"].target()
    played = play(in_turn(challenge(f'Bearer realm="{realm}"')), where, [BOT])
    assert handed(played.asks) == set()
    assert not any(OF_ONE in str(a.headers) for a in played.asks if "token" in a.url)
    assert (played.outcome.pull, played.outcome.cause) == (Pull.UNKNOWN, Cause.CREDENTIAL_WITHHELD)


def test_a_token_service_off_this_machine_is_spoken_to_over_tls_for_loopbacks_sake_too(
    laid_out: dict[str, Layout],
) -> None:
    """What holds on loopback, which is no wire, ends there."""
    where = laid_out["loopback"].target()
    for realm, cause in (
        ("http://auth.example/token", Cause.CREDENTIAL_WITHHELD),
        ("http://auth.example:443/token", Cause.CREDENTIAL_WITHHELD),
    ):
        played = play(in_turn(challenge(f'Bearer realm="{realm}"')), where, [BOT])
        assert (handed(played.asks), played.outcome.cause) == (set(), cause)
    for realm in ("https://auth.example/token", "http://127.0.0.1:5000/token"):
        answers = in_turn(challenge(f'Bearer realm="{realm}"'), token(access_token="t"), found())
        played = play(answers, where, [BOT])
        assert played.outcome.pull is Pull.OK


def test_a_redirect_of_a_host_that_falls_back_takes_no_password_to_another_over_plain_http(
    laid_out: dict[str, Layout],
) -> None:
    """Who reads along could answer for that host, and be handed what its certificate guards."""
    where = laid_out["falls-back-beside"].target()
    turned = False

    def answer(ask: Ask) -> Answer:
        nonlocal turned
        if peer(ask) == "https://one.example:5000":
            return reply(302, location="https://two.example/m")
        if peer(ask) == "https://two.example:443" and not turned:
            turned = True
            return challenge(BASIC)
        return Trouble(Cause.PLAIN_HTTP) if ask.url.startswith("https:") else challenge(BASIC)

    played = play(answer, where, [BOT])
    assert all(to.startswith("https:") for to in handed(played.asks))
    assert played.outcome.pull is Pull.UNKNOWN


def test_what_a_challenge_is_answered_with_displaces_the_files_own_authorization(
    laid_out: dict[str, Layout],
) -> None:
    """``req.Header.Set("Authorization", auth)``, and ``req.SetBasicAuth`` for a token."""

    def values(ask: Ask) -> list[str]:
        return [value for name, value in ask.headers if name.lower() == "authorization"]

    where = laid_out["mirrors"].target()
    basic = play(in_turn(challenge(BASIC), found()), where, [BOT])
    assert [values(ask) for ask in basic.asks] == [[OF_ONE], [HANDED]]

    bearer = challenge('Bearer realm="https://one.example/token"')
    bought = play(in_turn(bearer, reply(405), token(token="t"), found()), where, [BOT])
    assert [ask.method for ask in bought.asks] == ["HEAD", "POST", "GET", "HEAD"]
    assert [values(ask) for ask in bought.asks] == [[OF_ONE], [OF_ONE], [HANDED], ["Bearer t"]]


def test_what_a_redirect_asks_for_is_not_shown_on_the_same_host_either() -> None:
    """What stands behind ``?`` can be a signature."""
    there = reply(302, location=f"/v2/elsewhere?X-Signature={MARK}")
    outcome = play(in_turn(there, found()), target()).outcome
    assert [urlsplit(r.url).query for r in outcome.requests] == ["", "…"]


def test_authority_is_remembered_no_longer_for_being_used() -> None:
    """A part of a token's life, counted from when it was given."""
    now = [1000.0]
    recall = Recall(3600.0, lambda: now[0])
    registry = Registry(tokens=lambda _: token(access_token="t", expires_in=100))

    def requests(at: float) -> int:
        now[0] = at
        return len(play(registry, target(), [BOT], recall).asks)

    assert [requests(at) for at in (1000.0, 1060.0, 1079.0, 1081.0, 1160.0)] == [3, 1, 1, 3, 1]
