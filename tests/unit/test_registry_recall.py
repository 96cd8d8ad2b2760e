"""What one exchange leaves for the next: fewer requests, and never another verdict."""

import json
from base64 import b64encode, urlsafe_b64encode

import pytest

from tests.scripted.values import (
    AMY,
    BASIC,
    BEARER,
    BOT,
    Answer,
    Registry,
    challenge,
    found,
    header,
    play,
    reply,
    target,
    token,
)
from webhook.credentials.expiry import expires_at
from webhook.credentials.keyring import Credential
from webhook.registry.outcome import Cause, Pull
from webhook.registry.recall import MAX_AUTHORITIES, Recall
from webhook.registry.settings import Depth
from webhook.registry.wire import Ask

DEEP = target(depth=Depth.PLATFORM)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("credentials", [[], [BOT]])
def test_the_first_contact_takes_three_requests_and_the_next_takes_one(
    credentials: list[Credential],
) -> None:
    recall = Recall(3600.0)
    counts = [len(play(Registry(), target(), credentials, recall).asks) for _ in range(3)]
    assert counts == [3, 1, 1]


def test_at_depth_platform_it_is_one_more_and_none_for_a_digest_seen_before() -> None:
    recall = Recall(3600.0)
    counts = [len(play(Registry(), DEEP, [BOT], recall).asks) for _ in range(3)]
    assert counts == [4, 1, 1]


def test_another_tag_of_the_repository_takes_one_request_and_another_repository_three() -> None:
    recall = Recall(3600.0)
    play(Registry(), target(), [BOT], recall)
    assert len(play(Registry(), target("reg.example/acme/app:2"), [BOT], recall).asks) == 1
    assert len(play(Registry(), target("reg.example/acme/web:1"), [BOT], recall).asks) == 3


def test_what_one_credential_was_given_serves_no_other() -> None:
    recall = Recall(3600.0)
    play(Registry(), DEEP, [BOT], recall)
    other = play(Registry(), DEEP, [AMY], recall)
    assert [ask.user for ask in other.asks] == [None, "amy", "amy", "amy"]
    assert len(play(Registry(), DEEP, [], recall).asks) == 4


@pytest.mark.parametrize("asks_for", [BASIC, BEARER])
def test_no_failure_rests_on_what_was_remembered(asks_for: str) -> None:
    """containerd begins every pull without authority: so does whatever ends in a failure."""
    recall = Recall(3600.0)
    play(Registry((asks_for,)), target(), [BOT], recall)
    played = play(Registry((asks_for,), behind=lambda _: reply(404)), target(), [BOT], recall)
    assert played.outcome.cause is Cause.MANIFEST_UNKNOWN
    heads = [header(ask, "authorization") for ask in played.asks if ask.method == "HEAD"]
    assert (bool(heads[0]), heads[1], bool(heads[2])) == (True, "", True)


def test_a_token_that_ran_out_is_got_anew() -> None:
    clock = Clock()
    recall = Recall(3600.0, clock)
    registry = Registry(tokens=lambda _: token(access_token="t", expires_in=100))
    assert len(play(registry, target(), [BOT], recall).asks) == 3
    clock.now += 79
    assert len(play(registry, target(), [BOT], recall).asks) == 1
    clock.now += 80
    assert len(play(registry, target(), [BOT], recall).asks) == 3


def test_a_token_that_the_registry_takes_no_more_costs_no_verdict() -> None:
    recall = Recall(3600.0)
    play(Registry(), target(), [BOT], recall)
    again = Registry(
        tokens=lambda _: token(access_token="new"), takes=lambda sent: sent == "Bearer new"
    )
    assert play(again, target(), [BOT], recall).outcome.pull is Pull.OK


def test_the_memory_of_authority_is_bounded() -> None:
    recall = Recall(3600.0)
    for number in range(MAX_AUTHORITIES + 5):
        play(Registry(), target(f"reg.example/acme/app{number}:1"), [], recall)
    assert len(recall._authorities._entries) == MAX_AUTHORITIES


def test_nothing_that_is_remembered_prints_a_secret() -> None:
    recall = Recall(3600.0)
    play(Registry((BASIC,)), target(), [BOT], recall)
    held = recall.of(target().registry, "acme/app", BOT)
    assert held.authorities()
    assert "hunter2" not in repr(held) + repr(held.authorities()) + str(recall.__dict__)


# -- credentials that say when they end ------------------------------------------------------


def jwt(**claims: object) -> str:
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


def ecr(**members: object) -> str:
    return b64encode(json.dumps(members).encode()).decode()


@pytest.mark.parametrize(
    ("username", "password", "ends"),
    [
        ("00000000-0000-0000-0000-000000000000", jwt(exp=1700000000), 1700000000.0),
        ("x", jwt(exp=1.5), 1.5),
        ("AWS", ecr(payload="x", version="2", expiration=1600000000), 1600000000.0),
        ("bot", ecr(expiration=1600000000), None),
        ("AWS", "hunter2", None),
        ("x", jwt(exp="soon"), None),
        ("x", jwt(exp=True), None),
        ("x", jwt(exp=-1), None),
        ("x", jwt(exp=10**400), None),
        ("x", jwt(), None),
        ("x", "a.b.c", None),
        ("x", "a.b", None),
        ("x", "a." + "b" * 100_000 + ".c", None),
        ("x", "", None),
    ],
)
def test_a_password_that_says_when_it_ends_is_believed(
    username: str, password: str, ends: float | None
) -> None:
    assert expires_at(Credential("secret/a", "reg.example", username, password)) == ends


@pytest.mark.parametrize(("now", "cause"), [(99.0, "rejected"), (100.0, "expired")])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_password_that_has_ended_is_told_as_expired(
    now: float, cause: str, status: int
) -> None:
    old = Credential("secret/a", "reg.example", "bot", jwt(exp=100))

    def script(ask: Ask) -> Answer:
        refused = challenge(BASIC) if status == 401 else reply(status)
        return refused if header(ask, "authorization") else challenge(BASIC)

    outcome = play(script, target(), [old], now=now).outcome
    before = Cause.CREDENTIALS_REJECTED if status == 401 else Cause.PERMISSION_DENIED
    assert outcome.cause is (before if cause == "rejected" else Cause.CREDENTIALS_EXPIRED)


def test_a_good_answer_to_an_ended_password_is_good() -> None:
    old = Credential("secret/a", "reg.example", "bot", jwt(exp=100))
    played = play(Registry((BASIC,), behind=lambda _: found()), target(), [old], now=200.0)
    assert played.outcome.pull is Pull.OK
