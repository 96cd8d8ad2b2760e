"""How long containerd goes on asking: challenges that come late, tokens, bodies, encodings."""

from dataclasses import replace

import pytest

from tests.scripted.values import (
    BASIC,
    BEARER,
    BODY,
    BOT,
    DIGEST,
    Answer,
    Registry,
    challenge,
    found,
    header,
    in_turn,
    play,
    reply,
    target,
    token,
)
from webhook.credentials.keyring import Credential
from webhook.registry.attempt import Attempt
from webhook.registry.contents import Want
from webhook.registry.fetch import Fetcher
from webhook.registry.heads import HeadReader
from webhook.registry.ocispec import Descriptor
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import Depth
from webhook.registry.token import token_of
from webhook.registry.urls import joined, sendable
from webhook.registry.walk import Kind
from webhook.registry.wire import Ask, Reply, Trouble

BY_DIGEST = f"reg.example/acme/app@{DIGEST}"
LIMITED = reply(429)


def manifests(asks: list[Ask]) -> list[str]:
    return [header(ask, "authorization") for ask in asks if "/manifests/" in ask.url]


# -- what a 401 that stands is --------------------------------------------------------------


@pytest.mark.parametrize("lines", [(), ("Digest realm=x",), ("Negotiate",)])
def test_a_401_that_nothing_answers_is_an_answer_and_the_blobs_are_not_asked(
    lines: tuple[str, ...],
) -> None:
    """``AddResponses``: not implemented is no error; ``Resolve``: a refusal ends the search."""
    played = play(in_turn(challenge(*lines)), target(BY_DIGEST), [BOT])
    assert len(played.asks) == 1
    assert played.outcome.cause is Cause.CHALLENGE_UNSUPPORTED


def test_a_rejected_password_is_not_sent_for_the_blobs_as_well() -> None:
    played = play(Registry(asks_for=(BASIC,), takes=lambda _: False), target(BY_DIGEST), [BOT])
    assert len(played.asks) == 2
    assert played.outcome.cause is Cause.CREDENTIALS_REJECTED


@pytest.mark.parametrize("line", [BASIC, BEARER])
def test_a_challenge_after_the_last_try_is_not_answered(line: str) -> None:
    played = play(in_turn(*[LIMITED] * 4, challenge(line)), target(), [BOT])
    assert [ask.user for ask in played.asks] == [None] * 5
    assert played.outcome.cause is Cause.CHALLENGE_UNSUPPORTED


def test_a_token_that_is_refused_without_a_word_is_sent_again_as_often_as_may_be() -> None:
    """``AddResponses`` keeps the handler it has; ``doWithRetries`` sends five times."""
    refusals = in_turn(*[challenge(BEARER)] * 4, found())

    def script(ask: Ask) -> Answer:
        return token(access_token="t") if ask.method == "POST" else refusals(ask)

    played = play(script, target(), [BOT])
    assert played.outcome.pull is Pull.OK
    assert manifests(played.asks) == ["", *["Bearer t"] * 4]


def test_an_error_in_the_challenge_of_a_request_that_was_repeated_is_final() -> None:
    """``invalidAuthorization`` looks at the request before, whatever that was told."""
    told = challenge(BEARER + ',error="invalid_token"')
    played = play(in_turn(reply(500), told), target(), [BOT])
    assert len(played.asks) == 2
    assert played.outcome.cause is Cause.DENIED_OR_MISSING


def test_an_error_at_first_is_none() -> None:
    registry = Registry(asks_for=(BEARER + ',error="invalid_token"',))
    assert play(registry, target(), [BOT]).outcome.pull is Pull.OK


# -- token services -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "by_get", "by_post"),
    [
        (b'{"TOKEN":"a"}', "a", None),
        (b'{"Access_Token":"a"}', "a", "a"),
        (b'{"token":"a","token":null}', "a", None),
        (b'{"access_token":"a","scope":1}', "a", None),
        (b'{"access_token":"a","token":1}', None, "a"),
        (b'{"access_token":"a","x":NaN}', None, None),
        (b'{"access_token":"a","expires_in":9223372036854775808}', None, None),
        (b'{"access_token":"a","issued_at":"2026-02-30T00:00:00Z"}', None, None),
        (b'{"access_token":"a","issued_at":"2026-02-03T1:00:00,5Z"}', "a", "a"),
        (b'\xef\xbb\xbf{"access_token":"a"}', None, None),
        (b' \r\n{"access_token":"a "}{', "a", "a"),
        (b'{"access_token":"a\\u0000"}', None, None),
        (b'{"access_token":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"} x", "a", "a"),
        (b'{"access_token":"a","x":' + b"[" * 10000 + b"]" * 10000 + b"}", None, None),
    ],
)
def test_a_token_answer_is_decoded_as_a_go_struct(
    body: bytes, by_get: str | None, by_post: str | None
) -> None:
    """``FetchTokenResponse`` and ``OAuthTokenResponse`` of ``remotes/docker/auth``."""
    for posted, expected in ((False, by_get), (True, by_post)):
        read = token_of(body, posted=posted)
        assert (read and read.value) == expected


def test_a_token_answer_longer_than_is_read_proves_nothing() -> None:
    registry = Registry(tokens=lambda _: replace(reply(200, b" " * 9), truncated=True))
    assert play(registry, target()).outcome.pull is Pull.UNKNOWN


def test_blanks_in_a_scope_are_scopes_too() -> None:
    registry = Registry(asks_for=('Bearer realm="https://reg.example/token",scope=""',))
    assert "scope=&scope=" in play(registry, target()).asks[1].url


# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [" https://h/x", "https://h/a\tb", "https://h/\x7f", "https://h/%zz", "https://h/x#%z"],
)
def test_what_go_does_not_parse_is_not_sent(url: str) -> None:
    assert sendable(url) is None
    assert joined("https://reg.example/v2/", url.lstrip()) is None or url.startswith(" ")


@pytest.mark.parametrize("location", ["https:///x", "https:x", "https://"])
def test_a_location_without_a_host_leads_nowhere(location: str) -> None:
    assert joined("https://reg.example/v2/", location) is None


# -- bytes ----------------------------------------------------------------------------------


def fetched(script: object, **named: object) -> bytes | int | Outcome | None:
    where = target(depth=Depth.WHOLE)
    fetcher = Fetcher(Attempt(where.registry, "acme/app", None), where.registry.hosts)
    size = named.pop("size", len(BODY))
    assert isinstance(size, int)
    layer = Descriptor("application/x", DIGEST, size, **named)  # type: ignore[arg-type]  # as given
    steps = fetcher.wanted(Want(layer, Kind.BLOB))
    try:
        ask = next(steps)
        while True:
            assert callable(script)
            ask = steps.send(script(ask))
    except StopIteration as done:
        value: bytes | int | Outcome | None = done.value
        return value


def cause_of(came: object) -> Cause | None:
    assert isinstance(came, Outcome)
    return came.cause


def test_a_body_that_ends_too_early_and_is_whole_is_whole() -> None:
    """``httpReadSeeker`` reads as many bytes as are declared, and no more."""
    assert fetched(in_turn(Reply(200, (), BODY, cut=True))) == len(BODY)


@pytest.mark.parametrize("later", [404, 403, 502])
def test_why_a_body_cannot_be_gone_on_with_is_not_told(later: int) -> None:
    came = fetched(in_turn(Reply(200, (), BODY[:5], cut=True), reply(later)))
    assert cause_of(came) is Cause.RESET


@pytest.mark.parametrize("size", [len(BODY), 40_000])
def test_an_encoding_that_containerd_does_not_know_fails_the_pull(size: int) -> None:
    """``dockerFetcher.open``: unsupported Content-Encoding algorithm."""
    came = fetched(in_turn(reply(200, BODY, content_encoding="br")), size=size)
    assert cause_of(came) is Cause.UNEXPECTED_STATUS


def test_what_is_packed_as_we_do_not_unpack_proves_nothing() -> None:
    came = fetched(in_turn(reply(200, BODY, content_encoding="zstd")))
    assert isinstance(came, Outcome)
    assert came.pull is Pull.UNKNOWN


def test_the_length_of_what_is_packed_is_not_that_of_the_blob() -> None:
    packed = reply(200, content_length="7", content_encoding="gzip")
    assert fetched(in_turn(packed), size=40_000) == 40_000


def test_a_layer_with_an_address_of_its_own_is_not_judged() -> None:
    """``dockerFetcher.Fetch`` goes to ``urls`` first; nobody sends us to where they say."""
    for url, pull in (("https://elsewhere.example/x", Pull.UNKNOWN), ("ftp://x/y", None)):
        came = fetched(in_turn(reply(200, BODY)), urls=(url,))
        assert (came.pull if isinstance(came, Outcome) else None) is pull


def test_a_get_that_is_cut_while_a_tag_is_resolved_fails_the_pull() -> None:
    head = found(docker_content_digest="")
    script = in_turn(head, Reply(200, (), BODY[:5], cut=True))
    assert play(script, target()).outcome.cause is Cause.RESET


def test_a_length_of_nineteen_digits_is_one() -> None:
    script = in_turn(found(content_length=str(2**63 - 1)))
    assert play(script, target()).outcome.cause is Cause.MANIFEST_TOO_LARGE


@pytest.mark.parametrize(
    ("raw", "ended"),
    [
        (b"", True),
        (b"HTTP/1.1 200 O", True),
        (b"HTTP/1.", False),
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n", True),
        (b"HTTP/1.1 200 OK\r\nA: b", True),
        (b"HTTP/1.1 200 OK\r\nConte", False),
        (b"HTTP/1.1 200 OK\r\nA: b\r\nConte", False),
    ],
)
def test_a_head_that_ends_in_a_line_without_colon_is_malformed(raw: bytes, ended: bool) -> None:
    """``ReadMIMEHeader`` takes what came of the last line for a whole one."""
    reader = HeadReader(b"GET")
    assert reader.feed(raw) is None
    assert reader.promising is ended


def test_what_a_token_service_sends_and_nobody_can_unpack_is_no_token() -> None:
    registry = Registry(tokens=lambda _: Trouble(Cause.UNEXPECTED_STATUS))
    assert play(registry, target()).outcome.cause is Cause.TOKEN_SERVICE_FAILING


@pytest.mark.parametrize("credentials", [[], [BOT]])
def test_a_realm_with_a_user_in_it_is_not_asked(credentials: list[Credential]) -> None:
    registry = Registry(asks_for=('Bearer realm="https://a:b@reg.example/token"',))
    played = play(registry, target(), credentials)
    assert (len(played.asks), played.outcome.pull) == (1, Pull.UNKNOWN)
