"""What is asked for one pull, rule by rule of containerd's resolver and authoriser."""

import hashlib
import json
from base64 import b64encode
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tests.scripted.values import (
    AMY,
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
from webhook.registry.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MANIFEST_LIMIT,
    OCI_INDEX,
    OCI_MANIFEST,
)
from webhook.registry.outcome import Cause, Pull
from webhook.registry.settings import Depth, RegistryEntry, RegistrySettings
from webhook.registry.tags import near_tags
from webhook.registry.wire import Ask, Reply, Trouble

MANIFEST = "/v2/acme/app/manifests/1"
TAGS = "/v2/acme/app/tags/list"
BY_DIGEST = f"reg.example/acme/app@{DIGEST}"
HELD = f"/v2/acme/app/manifests/{DIGEST}"
BLOB = f"/v2/acme/app/blobs/{DIGEST}"
ACCEPTED = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json, */*"
)
VOUCHED = RegistrySettings(
    registries=(RegistryEntry("reg.example", token_services=("auth.example",)),)
)
PLAIN = RegistrySettings(registries=(RegistryEntry("reg.example", plain_http=True),))


def basic_of(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return "Basic " + b64encode(pair).decode()


# -- the first HEAD --------------------------------------------------------------------------


def test_a_head_without_credentials_is_enough_where_the_registry_is_open() -> None:
    played = play(in_turn(found()), target(), [BOT])
    assert played.lines == [f"HEAD {MANIFEST}"]
    assert (played.outcome.pull, played.outcome.digest) == (Pull.OK, DIGEST)
    assert played.outcome.source == ""
    assert header(played.asks[0], "accept") == ACCEPTED


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (404, Cause.MANIFEST_UNKNOWN),
        (403, Cause.DENIED_OR_MISSING),
        (402, Cause.UNEXPECTED_STATUS),
        (304, Cause.UNEXPECTED_STATUS),
        (502, Cause.SERVER_ERROR),
    ],
)
def test_a_refusal_of_the_unauthenticated_head_is_final(status: int, cause: Cause) -> None:
    played = play(in_turn(reply(status)), target(), [BOT])
    assert (played.outcome.pull, played.outcome.cause) == (Pull.FAILS, cause)
    assert played.outcome.before_credentials
    assert all(ask.user is None for ask in played.asks)
    assert sum(MANIFEST in ask.url for ask in played.asks) == 1


@pytest.mark.parametrize("first", [reply(403), reply(404), reply(502), Trouble(Cause.RESET)])
def test_the_next_credential_begins_anew_whatever_came_before_the_first(first: Answer) -> None:
    """kuberuntime's ``PullImage``: every error leads to the next credential, one full pull each."""
    manifests = in_turn(first, found())
    played = play(
        lambda ask: manifests(ask) if MANIFEST in ask.url else reply(404), target(), [BOT, AMY]
    )
    assert played.outcome.pull is Pull.OK
    assert sum(MANIFEST in ask.url for ask in played.asks) == 2


def test_a_credential_that_is_no_utf_8_never_reaches_the_runtime() -> None:
    """gRPC: ``string field contains invalid UTF-8``; so fails a pull that needs none, too."""
    broken = Credential("secret/octets", "reg.example", "bot", "p\udcff")
    played = play(in_turn(found()), target(), [broken])
    assert (played.asks, played.outcome.pull) == ([], Pull.FAILS)
    assert (played.outcome.cause, played.outcome.source) == (
        Cause.CREDENTIAL_UNDECODABLE,
        "secret/octets",
    )
    assert play(in_turn(found()), target(), [broken, BOT]).outcome.pull is Pull.OK


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        ("0177.0.0.1:5000", Cause.DNS_NOT_FOUND),
        ("127.0.0.256", Cause.DNS_NOT_FOUND),
        (f"{'h.' * 125}long", Cause.DNS_NOT_FOUND),
        ("reg.example:0", Cause.REFUSED),
    ],
)
def test_what_only_url_parsers_stumble_over_is_told_as_go_tells_it(host: str, cause: Cause) -> None:
    """``net.isDomainName`` and ``netip.ParseAddr``; a connection to port 0 is refused."""
    played = play(in_turn(found()), target(f"{host}/acme/app:1"))
    assert (played.asks, played.outcome.cause) == ([], cause)


def test_a_port_that_https_can_leave_out_stays_when_plain_http_is_tried() -> None:
    """``NewHTTPFallback`` changes the scheme alone; 0443 is not 443 to ``ConfigureHosts``."""
    plain = Trouble(Cause.PLAIN_HTTP)
    played = play(in_turn(plain, found()), target("localhost:0443/acme/app:1"))
    assert played.asks[-1].url.startswith("http://localhost:443/v2/")


def test_a_port_beyond_32_bits_is_dialled_as_go_dials_it() -> None:
    """``net.parsePort`` runs over: 4294967739 is 443."""
    played = play(in_turn(found()), target("reg.example:4294967739/acme/app:1"))
    assert [ask.url for ask in played.asks] == ["https://reg.example/v2/acme/app/manifests/1"]


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_passing_fault_is_asked_once_more(status: int) -> None:
    healed = play(in_turn(reply(status), found()), target())
    assert healed.outcome.pull is Pull.OK
    assert len(play(in_turn(reply(status)), target()).asks) == 2


def test_faults_that_change_are_asked_five_times_at_most() -> None:
    faults = [reply(status) for status in (500, 503, 500, 503, 500, 503)]
    played = play(in_turn(*faults), target())
    assert (len(played.asks), played.outcome.cause) == (5, Cause.SERVER_ERROR)


@pytest.mark.parametrize(
    ("status", "cause"), [(408, Cause.UNEXPECTED_STATUS), (429, Cause.TOO_MANY_REQUESTS)]
)
def test_a_registry_that_wants_patience_is_asked_five_times(status: int, cause: Cause) -> None:
    """``retryRequest``: 408 and 429 always, at once, without a look at Retry-After."""
    played = play(in_turn(reply(status)), target(), [BOT])
    assert (len(played.asks), played.outcome.cause) == (5, cause)
    assert played.outcome.before_credentials
    healed = play(in_turn(*[reply(status)] * 4, found()), target())
    assert healed.outcome.pull is Pull.OK


def test_a_connection_that_ends_without_a_word_is_tried_again_where_no_host_is_left() -> None:
    """``doWithTransportRetries``: an EOF is transient, a reset is not."""
    ended = Trouble(Cause.RESET, "the connection broke off", ended=True)
    assert play(in_turn(*[ended] * 4, found()), target()).outcome.pull is Pull.OK
    assert len(play(in_turn(ended), target()).asks) == 5
    assert len(play(in_turn(Trouble(Cause.RESET)), target()).asks) == 1


@pytest.mark.parametrize("status", [501, 502])
def test_other_faults_are_not_asked_again(status: int) -> None:
    assert len(play(in_turn(reply(status)), target()).asks) == 1


@pytest.mark.parametrize(
    ("cause", "pull"),
    [
        (Cause.DEADLINE, Pull.UNKNOWN),
        (Cause.OVERLOADED, Pull.UNKNOWN),
        (Cause.EGRESS_REFUSED, Pull.UNKNOWN),
        (Cause.REFUSED, Pull.FAILS),
        (Cause.DNS_NOT_FOUND, Pull.FAILS),
        (Cause.CERTIFICATE_EXPIRED, Pull.FAILS),
    ],
)
def test_no_answer_is_called_by_its_cause(cause: Cause, pull: Pull) -> None:
    played = play(in_turn(Trouble(cause, "why")), target(), [BOT])
    assert (played.outcome.pull, played.outcome.cause) == (pull, cause)
    assert played.outcome.requests[0].trouble is cause
    assert len(played.asks) == 1


# -- which of them is missing ----------------------------------------------------------------


def missing(tags: Answer) -> Answer:
    return play(in_turn(reply(404), tags), target()).outcome  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("tags", "cause"),
    [
        (reply(200, b'{"tags":["1.0","2"]}'), Cause.TAG_NOT_FOUND),
        (reply(200, b'{"tags":null}'), Cause.TAG_NOT_FOUND),
        (reply(200, b'{"tags":["1"]}'), Cause.MANIFEST_UNKNOWN),
        (reply(200, b"<html>"), Cause.MANIFEST_UNKNOWN),
        (Reply(200, (), b'{"tags":["2"]}', truncated=True), Cause.MANIFEST_UNKNOWN),
        (reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}'), Cause.REPOSITORY_NOT_FOUND),
        (reply(404, b'{"errors":[{"code":"OTHER"}]}'), Cause.MANIFEST_UNKNOWN),
        (reply(404, b'{"errors":["NAME_UNKNOWN"]}'), Cause.MANIFEST_UNKNOWN),
        (reply(500), Cause.MANIFEST_UNKNOWN),
        (challenge(BEARER), Cause.MANIFEST_UNKNOWN),
        (Trouble(Cause.DEADLINE), Cause.MANIFEST_UNKNOWN),
    ],
)
def test_the_tags_list_tells_what_is_missing(tags: Answer, cause: Cause) -> None:
    played = play(in_turn(reply(404), tags), target(), [BOT])
    assert played.outcome.cause is cause
    assert played.lines == [f"HEAD {MANIFEST}", f"GET {TAGS}"]
    assert played.outcome.before_credentials
    assert played.asks[1].explains and not played.asks[0].explains


def test_near_tags_are_named_and_what_is_no_tag_is_left_out() -> None:
    tags = ["1.27", "1.28", "zzzz", "<script>", "1.2\n7", 7]
    body = json.dumps({"tags": tags}).encode()
    played = play(in_turn(reply(404), reply(200, body)), target("reg.example/acme/app:1.26"))
    assert played.outcome.tags == ("1.27", "1.28")
    assert played.outcome.tag_count == 3


@pytest.mark.parametrize(
    ("wanted", "tags", "near"),
    [
        ("1.26", ["1.31", "1.28", "1.27", "1.20"], ("1.27", "1.28", "1.20")),
        ("v2.0.1", ["v2.0.0", "latest", "v1.9.0"], ("v2.0.0", "v1.9.0")),
        (
            "1.27-alpin",
            ["1.27", "1.27-alpine", "1.26-alpine"],
            ("1.27-alpine", "1.26-alpine", "1.27"),
        ),
        ("stable", ["1", "2"], ()),
    ],
)
def test_of_tags_that_read_alike_the_nearest_number_comes_first(
    wanted: str, tags: list[str], near: tuple[str, ...]
) -> None:
    assert near_tags(wanted, tags) == near


# -- digests -------------------------------------------------------------------------------


def test_a_digest_that_is_no_manifest_is_looked_for_among_the_blobs() -> None:
    played = play(in_turn(reply(404)), target(BY_DIGEST))
    assert played.lines == [f"HEAD {HELD}", f"HEAD {BLOB}"]
    assert played.outcome.cause is Cause.DIGEST_NOT_FOUND


def test_a_digest_found_among_the_blobs_is_of_no_use() -> None:
    blob = reply(200, content_type="application/octet-stream", content_length="3")
    played = play(in_turn(reply(404), blob), target(BY_DIGEST))
    assert played.outcome.cause is Cause.MEDIA_TYPE_UNSUPPORTED


def test_insufficient_scope_for_a_digest_and_no_blob_means_not_found() -> None:
    def behind(ask: Ask) -> Answer:
        scope = BEARER + ',error="insufficient_scope"'
        return reply(404) if "/blobs/" in ask.url else challenge(scope)

    assert play(Registry(behind=behind), target(BY_DIGEST)).outcome.cause is Cause.DIGEST_NOT_FOUND


def test_no_blob_is_looked_for_after_other_refusals() -> None:
    played = play(in_turn(reply(403)), target(BY_DIGEST))
    assert played.lines == [f"HEAD {HELD}"]


def test_a_tag_beside_a_digest_is_not_asked_for() -> None:
    played = play(in_turn(found()), target(f"reg.example/acme/app:nope@{DIGEST}"))
    assert played.lines == [f"HEAD {HELD}"]


# -- HEAD that does not serve --------------------------------------------------------------


def test_a_registry_without_head_is_asked_by_get() -> None:
    played = play(in_turn(reply(405), found()), target())
    assert played.lines == [f"HEAD {MANIFEST}", f"GET {MANIFEST}"]
    assert (played.outcome.pull, played.outcome.digest) == (Pull.OK, DIGEST)


def test_a_registry_without_head_whose_get_lacks_headers_is_asked_once_more_as_any_other() -> None:
    played = play(in_turn(reply(405), found(docker_content_digest="")), target())
    assert len(played.asks) == 3
    assert (played.outcome.pull, played.outcome.digest) == (Pull.OK, DIGEST)


@pytest.mark.parametrize("lacking", ["docker-content-digest", "content-length"])
def test_a_head_without_digest_or_length_is_followed_by_get(lacking: str) -> None:
    head = found()
    left = tuple(h for h in head.headers if h[0] != lacking)
    played = play(in_turn(Reply(200, left), found()), target())
    assert played.lines == [f"HEAD {MANIFEST}", f"GET {MANIFEST}"]
    assert (played.outcome.pull, played.outcome.digest) == (Pull.OK, DIGEST)


def test_a_digest_needs_no_digest_header() -> None:
    assert len(play(in_turn(found(docker_content_digest="")), target(BY_DIGEST)).asks) == 1


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "٣", "9" * 5000, ""])
def test_a_length_that_is_none_counts_as_missing(length: str) -> None:
    played = play(in_turn(found(content_length=length), found()), target())
    assert (len(played.asks), played.outcome.pull) == (2, Pull.OK)


def test_a_digest_header_that_is_no_digest_fails() -> None:
    played = play(in_turn(found(docker_content_digest="sha256:xyz")), target())
    assert played.outcome.cause is Cause.MANIFEST_MALFORMED


def test_a_length_of_zero_fails() -> None:
    """``unable to fetch descriptor … which reports content size of zero``."""
    played = play(in_turn(found(content_length="0")), target())
    assert played.outcome.cause is Cause.MANIFEST_MALFORMED
    emptied = play(in_turn(reply(405), reply(200, content_type=OCI_MANIFEST)), target())
    assert emptied.outcome.cause is Cause.MANIFEST_MALFORMED


@pytest.mark.parametrize(("more", "pull"), [(0, Pull.OK), (1, Pull.FAILS)])
def test_the_size_limit_is_containerds(more: int, pull: Pull) -> None:
    size = str(4 * 1048 * 1048 + more)
    played = play(in_turn(found(content_length=size)), target())
    assert played.outcome.pull is pull
    assert played.outcome.cause is (Cause.MANIFEST_TOO_LARGE if more else None)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_get_that_fails_fails_the_pull(status: int) -> None:
    deep = target(depth=Depth.PLATFORM)
    played = play(in_turn(found(), reply(status)), deep)
    assert played.outcome.pull is Pull.FAILS
    assert played.lines[:2] == [f"HEAD {MANIFEST}", f"GET {HELD}"]


def test_the_manifest_itself_is_checked_where_the_depth_asks_for_it() -> None:
    deep = target(depth=Depth.PLATFORM)
    assert play(in_turn(found(), found()), deep).outcome.pull is Pull.OK
    other = play(in_turn(found(), reply(200, BODY.replace(b"2", b"3"))), deep)
    assert other.outcome.cause is Cause.DIGEST_MISMATCH
    long = Reply(200, (), b"x" * MANIFEST_LIMIT, truncated=True)
    assert play(in_turn(found(), long), deep).outcome.cause is Cause.DIGEST_MISMATCH


def test_a_head_that_tells_another_length_than_get_gives_fails() -> None:
    """``short read: expected N bytes but got M`` and ``read exceeds expected size``."""
    for length in (len(BODY) - 1, len(BODY) + 1):
        head = found(content_length=str(length))
        played = play(in_turn(head, found()), target(depth=Depth.PLATFORM))
        assert played.outcome.cause is Cause.DIGEST_MISMATCH


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 100_000, b""])
def test_a_manifest_that_is_no_json_object_fails(body: bytes) -> None:
    head = found(body) if body else found()
    played = play(in_turn(head, found(body)), target(depth=Depth.PLATFORM))
    assert played.outcome.cause in (Cause.MANIFEST_MALFORMED, Cause.DIGEST_MISMATCH)


def test_an_index_tells_its_platforms_and_nothing_else_that_was_written() -> None:
    platforms = [
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "amd64"},
        {"os": "<b>", "architecture": "\n"},
        None,
    ]
    entry = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": len(BODY)}
    entries = [entry | {"platform": platform} for platform in platforms]
    index = found(json.dumps({"manifests": entries}).encode(), OCI_INDEX)
    offered = play(in_turn(index), target(depth=Depth.PLATFORM)).outcome.platforms
    assert offered == ("linux/arm64/v8", "linux/amd64", "unknown/unknown", "")


# -- media types -----------------------------------------------------------------------------


@pytest.mark.parametrize("type_", [DOCKER_MANIFEST, DOCKER_INDEX, OCI_MANIFEST, OCI_INDEX])
def test_the_four_types_of_accept_pull_with_parameters_too(type_: str) -> None:
    assert play(in_turn(found(type_=f"{type_};charset=utf-8")), target()).outcome.pull is Pull.OK


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", "its media type is app"),
        ("text/plain", "its media type is text/plain"),
        ("application/json", "its media type is application/json"),
        ("text/html; charset=utf-8", "its media type is text/html"),
        (OCI_MANIFEST.upper(), "its media type is APPLICATION"),
        (f"{OCI_MANIFEST} ;x", "it names no media type"),
        ("", "it names no media type"),
        ("evil\n/x", "it names no media type"),
        ("a" * 500 + "/b", "it names no media type"),
    ],
)
def test_other_types_fail_and_only_a_type_is_repeated(type_: str, words: str) -> None:
    outcome = play(in_turn(found(type_=type_)), target()).outcome
    assert outcome.cause is Cause.MEDIA_TYPE_UNSUPPORTED
    assert outcome.detail.startswith(words)


# -- Bearer ----------------------------------------------------------------------------------


def test_without_credentials_the_token_is_got_anonymously() -> None:
    played = play(Registry(), target())
    assert played.lines == [f"HEAD {MANIFEST}", "GET /token", f"HEAD {MANIFEST}"]
    query = parse_qs(urlsplit(played.asks[1].url).query)
    assert query == {"service": ["reg"], "scope": ["repository:acme/app:pull"]}
    assert header(played.asks[2], "authorization") == "Bearer t0k"
    assert (played.outcome.pull, played.outcome.source) == (Pull.OK, "")


def test_with_a_password_the_token_is_posted_for() -> None:
    played = play(Registry(), target(), [BOT])
    post = played.asks[1]
    assert played.lines[1:] == ["POST /token as bot", f"HEAD {MANIFEST} as bot"]
    assert dict(parse_qsl((post.body or b"").decode())) == {
        "grant_type": "password",
        "username": "bot",
        "password": "hunter2",
        "service": "reg",
        "client_id": "containerd-client",
        "scope": "repository:acme/app:pull",
    }
    assert header(post, "content-type").startswith("application/x-www-form-urlencoded")
    assert played.outcome.source == "secret/bot"


@pytest.mark.parametrize("status", [400, 401, 404, 405])
def test_a_token_service_that_knows_no_post_is_asked_by_get_with_basic(status: int) -> None:
    registry = Registry(tokens=lambda a: reply(status) if a.method == "POST" else token(token="x"))
    played = play(registry, target(), [BOT])
    assert played.lines[1:3] == ["POST /token as bot", "GET /token as bot"]
    assert header(played.asks[2], "authorization") == basic_of(BOT)
    assert played.outcome.pull is Pull.OK


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (403, Cause.PERMISSION_DENIED),
        (429, Cause.TOO_MANY_REQUESTS),
        (500, Cause.TOKEN_SERVICE_FAILING),
        (402, Cause.TOKEN_SERVICE_FAILING),
    ],
)
def test_other_answers_to_post_are_final(status: int, cause: Cause) -> None:
    played = play(Registry(tokens=in_turn(reply(status))), target(), [BOT])
    assert (played.outcome.cause, len(played.asks)) == (cause, 2)


def test_a_wrong_password_is_rejected_after_post_and_get() -> None:
    played = play(Registry(tokens=in_turn(reply(401))), target(), [BOT])
    assert played.outcome.cause is Cause.CREDENTIALS_REJECTED
    assert played.lines[1:] == ["POST /token as bot", "GET /token as bot"]
    assert played.outcome.source == "secret/bot"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_anonymous_token_means_that_credentials_are_missing(status: int) -> None:
    played = play(Registry(tokens=in_turn(reply(status))), target())
    assert played.outcome.cause is Cause.CREDENTIALS_MISSING
    assert not played.outcome.before_credentials


@pytest.mark.parametrize(
    ("body", "by_get", "by_post"),
    [
        (b'{"token":"a"}', "Bearer a", None),
        (b'{"access_token":"b"}', "Bearer b", "Bearer b"),
        (b'{"token":"a","access_token":"b"}', "Bearer b", "Bearer b"),
        (b'{"token":"a","access_token":null}', "Bearer a", None),
        (b'{"access_token":"b"} and more', "Bearer b", "Bearer b"),
        (b'{"access_token":"b","expires_in":300}', "Bearer b", "Bearer b"),
        (b'{"access_token":"b","expires_in":"300"}', None, None),
        (b'{"access_token":"b","issued_at":"2026-01-02T03:04:05.678Z"}', "Bearer b", "Bearer b"),
        (b'{"access_token":"b","issued_at":"yesterday"}', None, None),
        (b'{"access_token":7}', None, None),
        (b'{"access_token":"b\\r\\nx: y"}', None, None),
        (b'{"access_token":""}', None, None),
        (b'["b"]', None, None),
        (b"", None, None),
        (b"\xff\xfe", None, None),
        (b"[" * 100_000, None, None),
    ],
)
def test_a_token_is_taken_as_go_decodes_it(
    body: bytes, by_get: str | None, by_post: str | None
) -> None:
    for credentials, expected in (([], by_get), ([BOT], by_post)):
        played = play(Registry(tokens=in_turn(reply(200, body))), target(), credentials)
        if expected is None:
            assert played.outcome.cause is Cause.TOKEN_SERVICE_FAILING
        else:
            assert header(played.asks[-1], "authorization") == expected


def test_the_scope_of_the_challenge_is_asked_for_beside_our_own() -> None:
    registry = Registry(asks_for=('Bearer realm="https://reg.example/token?a=b",scope="z:z:z y"',))
    query = parse_qsl(urlsplit(play(registry, target()).asks[1].url).query)
    scopes = [("scope", s) for s in ("repository:acme/app:pull", "y", "z:z:z")]
    assert query == [("a", "b"), *scopes]


def test_a_granted_token_that_does_not_do_is_denied_or_missing() -> None:
    lines = BEARER + ',error="insufficient_scope"'
    for credentials in ([], [BOT]):
        registry = Registry(asks_for=(lines,), takes=lambda _: False)
        played = play(registry, target(), credentials)
        assert played.outcome.cause is Cause.DENIED_OR_MISSING
        assert len(played.asks) == 3


def test_a_token_that_is_refused_without_a_word_was_no_use() -> None:
    registry = Registry(takes=lambda _: False)
    assert play(registry, target()).outcome.cause is Cause.CREDENTIALS_MISSING
    assert play(registry, target(), [BOT]).outcome.cause is Cause.CREDENTIALS_REJECTED


def test_a_token_that_ran_out_between_two_requests_is_got_once_more() -> None:
    tokens = iter(["one", "two"])
    registry = Registry(
        tokens=lambda _: token(token=next(tokens)),
        takes=lambda a: a == "Bearer two",
    )

    def script(ask: Ask) -> Answer:
        if ask.method == "HEAD" and header(ask, "authorization") == "Bearer one":
            return found()
        return registry(ask)

    played = play(script, target(depth=Depth.PLATFORM))
    assert played.outcome.pull is Pull.OK
    # The token at hand does not serve; then containerd's own way: none, and a second one.
    assert [header(ask, "authorization") for ask in played.asks] == [
        "",
        "",
        "Bearer one",
        "Bearer one",
        "",
        "",
        "Bearer two",
    ]


def test_a_registry_may_ask_for_basic_after_a_token() -> None:
    """Each 401 is answered by what it asks for, not by what the last one asked for."""

    def script(ask: Ask) -> Answer:
        if ask.url.startswith("https://reg.example/token"):
            return token(access_token="t")
        held = header(ask, "authorization")
        if held.startswith("Basic"):
            return found()
        return challenge(BASIC if held else BEARER)

    assert play(script, target(), [BOT]).outcome.pull is Pull.OK


# -- Basic and the rest ------------------------------------------------------------------------


def test_basic_is_sent_once_and_a_refusal_is_a_rejection() -> None:
    registry = Registry(asks_for=(BASIC,), takes=lambda a: a == basic_of(AMY))
    assert play(registry, target(), [AMY]).lines == [f"HEAD {MANIFEST}", f"HEAD {MANIFEST} as amy"]
    played = play(registry, target(), [BOT])
    assert played.outcome.cause is Cause.CREDENTIALS_REJECTED
    assert sum(ask.user == "bot" for ask in played.asks) == 1


def test_a_rejection_without_a_challenge_is_one_all_the_same() -> None:
    played = play(in_turn(challenge(BASIC), reply(401)), target(), [BOT])
    assert played.outcome.cause is Cause.CREDENTIALS_REJECTED


def test_a_basic_credential_that_the_manifest_refuses_is_sent_for_it_once_in_each_way() -> None:
    script = in_turn(challenge(BASIC), found(), challenge(BASIC))
    played = play(script, target(depth=Depth.PLATFORM), [BOT])
    assert played.outcome.cause is Cause.CREDENTIALS_REJECTED
    assert [ask.user for ask in played.asks] == [None, "bot", "bot", None, "bot"]


def test_403_after_a_credential_is_a_want_of_permission() -> None:
    for line in (BASIC, BEARER):
        registry = Registry(asks_for=(line,), behind=in_turn(reply(403)))
        assert play(registry, target(), [BOT]).outcome.cause is Cause.PERMISSION_DENIED
    assert play(registry, target()).outcome.cause is Cause.DENIED_OR_MISSING


@pytest.mark.parametrize("username", ["", "bot"])
def test_a_credential_without_user_or_password_is_anonymous_to_bearer_and_fails_basic(
    username: str,
) -> None:
    half = Credential("secret/half", "reg.example", username, "" if username else "pw")
    bearer = play(Registry(), target(), [half])
    assert bearer.lines[1] == "GET /token"
    assert bearer.outcome.pull is Pull.OK
    basic = play(Registry(asks_for=(BASIC,)), target(), [half])
    assert basic.outcome.cause is Cause.CREDENTIALS_MISSING
    assert len(basic.asks) == 1


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Negotiate",),
        ("Digest realm=x",),
        ("Bearer",),
        ('Bearer realm=""',),
        ('Bearer service="x"', BASIC),
    ],
)
def test_a_challenge_that_containerd_cannot_answer_sends_no_credential(
    lines: tuple[str, ...],
) -> None:
    played = play(in_turn(challenge(*lines)), target(), [BOT])
    assert played.outcome.cause is Cause.CHALLENGE_UNSUPPORTED
    assert len(played.asks) == 1


def test_bearer_is_preferred_and_digest_passed_over() -> None:
    both = play(Registry(asks_for=(BASIC, "Digest realm=x", BEARER)), target(), [BOT])
    assert both.lines[1] == "POST /token as bot"
    basic = play(Registry(asks_for=("Digest realm=x", BASIC)), target(), [BOT])
    assert header(basic.asks[1], "authorization") == basic_of(BOT)


# -- several credentials -----------------------------------------------------------------------


def test_credentials_are_tried_in_order_and_the_first_success_wins() -> None:
    registry = Registry(asks_for=(BASIC,), takes=lambda a: a == basic_of(AMY))
    played = play(registry, target(), [BOT, AMY, BOT])
    assert (played.outcome.pull, played.outcome.source) == (Pull.OK, "secret/amy")
    assert [r.user for r in played.outcome.requests] == [None, "bot", None, "amy"]


def test_of_several_refusals_the_one_that_tells_most_is_told() -> None:
    def behind(ask: Ask) -> Answer:
        return reply(403 if header(ask, "authorization") == basic_of(BOT) else 404)

    registry = Registry(asks_for=(BASIC,), behind=behind)
    assert play(registry, target(), [BOT, AMY]).outcome.cause is Cause.MANIFEST_UNKNOWN


def test_one_credential_that_could_not_be_tried_leaves_the_pull_unknown() -> None:
    def behind(ask: Ask) -> Answer:
        rejected = header(ask, "authorization") == basic_of(BOT)
        return challenge(BASIC) if rejected else Trouble(Cause.DEADLINE)

    registry = Registry(asks_for=(BASIC,), behind=behind)
    for order in ([BOT, AMY], [AMY, BOT]):
        assert play(registry, target(), order).outcome.pull is Pull.UNKNOWN


# -- redirects and what may be handed to whom ----------------------------------------------------


def test_a_redirect_is_followed_without_the_credential() -> None:
    away = reply(307, location="https://cdn.example/blob?sig=s3cret")

    def behind(ask: Ask) -> Answer:
        return found() if "cdn.example" in ask.url else away

    def script(ask: Ask) -> Answer:
        return behind(ask) if "cdn" in ask.url else Registry(asks_for=(BASIC,), behind=behind)(ask)

    played = play(script, target(), [BOT])
    assert played.outcome.pull is Pull.OK
    assert not played.outcome.own_host
    assert header(played.asks[-1], "authorization") == ""
    assert played.asks[-1].user is None
    assert "s3cret" not in str(played.outcome)


@pytest.mark.parametrize("location", ["/v2/other", "https://reg.example:443/x", "//reg.example/y"])
def test_a_redirect_on_the_same_origin_keeps_the_credential(location: str) -> None:
    def behind(ask: Ask) -> Answer:
        return reply(301, location=location) if MANIFEST in ask.url else found()

    played = play(Registry(asks_for=(BASIC,), behind=behind), target(), [BOT])
    assert header(played.asks[-1], "authorization") == basic_of(BOT)
    assert played.outcome.own_host


@pytest.mark.parametrize(
    "location",
    [
        "http://reg.example/x",
        "https://reg.example:444/x",
        "https://reg.example:0/x",
        "https://reg.example.evil.example/x",
        "https://reg.example@evil.example/x",
        "https://evil.example\\@reg.example/x",
        "https://evil.example#@reg.example/",
        "https://[::1].reg.example/x",
        "//evil.example/x",
    ],
)
def test_no_other_origin_gets_the_credential(location: str) -> None:
    def behind(ask: Ask) -> Answer:
        return reply(302, location=location) if MANIFEST in ask.url else found()

    def script(ask: Ask) -> Answer:
        return Registry(asks_for=(BASIC,), behind=behind)(ask) if MANIFEST in ask.url else found()

    for ask in play(script, target(), [BOT]).asks:
        own = ask.url.startswith("https://reg.example/")
        assert own or header(ask, "authorization") == ""
        assert "@" not in urlsplit(ask.url).netloc


def test_a_redirect_target_that_asks_for_a_credential_does_not_get_it() -> None:
    def script(ask: Ask) -> Answer:
        here = ask.url.startswith("https://reg.example/")
        return reply(302, location="https://cdn.example/x") if here else challenge(BEARER, BASIC)

    with_one = play(script, target(), [BOT]).outcome
    assert (with_one.pull, with_one.cause) == (Pull.UNKNOWN, Cause.CREDENTIAL_WITHHELD)
    # Nothing can go astray without one: it is asked as containerd does.
    without = play(script, target()).outcome
    assert (without.pull, without.cause) == (Pull.FAILS, Cause.CREDENTIALS_MISSING)


def test_ten_requests_along_one_chain_are_the_most() -> None:
    """``stopped after 10 redirects``: Go follows nine of them."""
    played = play(in_turn(reply(302, location="/again")), target())
    assert (len(played.asks), played.outcome.cause) == (10, Cause.REDIRECT_LOOP)
    nine = [reply(302, location=f"/{n}") for n in range(9)]
    assert play(in_turn(*nine, found()), target()).outcome.pull is Pull.OK


@pytest.mark.parametrize(
    "location",
    [
        "ftp://x/",
        "javascript:x",
        "http://[",
        "http://[::1",
        "https://x:99999/",
        "https://a\u2100b/",
        "https://exa mple/",
        "https://[fe80::1%25eth0]/",
        "data:,",
    ],
)
def test_a_redirect_to_no_http_address_is_told_as_one(location: str) -> None:
    outcome = play(in_turn(reply(302, location=location)), target()).outcome
    assert (outcome.pull, outcome.cause) == (Pull.FAILS, Cause.UNEXPECTED_STATUS)


def realm_at(realm: str, settings: RegistrySettings, *credentials: Credential) -> list[str]:
    def script(ask: Ask) -> Answer:
        return (
            token(access_token="t") if "token" in ask.url else challenge(f'Bearer realm="{realm}"')
        )

    return play(script, target(settings=settings), credentials).lines[1:2]


def test_a_realm_gets_the_password_only_if_it_is_the_registrys_own_or_configured() -> None:
    ordinary = RegistrySettings()
    assert realm_at("https://reg.example/token", ordinary, BOT) == ["POST /token as bot"]
    assert realm_at("https://auth.example/token", ordinary, BOT) == []
    assert realm_at("https://reg.example:8443/token", ordinary, BOT) == []
    elsewhere = "POST https://auth.example/token as bot"
    assert realm_at("https://auth.example/token", VOUCHED, BOT) == [elsewhere]
    assert realm_at("https://AUTH.example:443/token", VOUCHED, BOT) == [elsewhere]
    assert realm_at("https://auth.example:444/token", VOUCHED, BOT) == []
    assert realm_at("https://x.auth.example/token", VOUCHED, BOT) == []
    assert realm_at("https://any.example/token", ordinary) == ["GET https://any.example/token"]


def test_a_realm_on_plain_http_is_asked_only_where_the_registry_is_configured_so() -> None:
    for realm in ("http://reg.example/token", "http://auth.example/token"):
        assert realm_at(realm, RegistrySettings(), BOT) == []
        assert realm_at(realm, RegistrySettings()) == []
    assert realm_at("http://reg.example/token", PLAIN, BOT) == ["POST /token as bot"]


def test_what_is_withheld_leaves_the_pull_unknown_and_names_no_host() -> None:
    lines = 'Bearer realm="https://auth.evil.example/token"'
    outcome = play(in_turn(challenge(lines)), target(), [BOT]).outcome
    assert (outcome.pull, outcome.cause) == (Pull.UNKNOWN, Cause.CREDENTIAL_WITHHELD)
    assert "evil" not in outcome.detail
    plain = play(in_turn(challenge('Bearer realm="http://reg.example/t"')), target()).outcome
    assert (plain.pull, plain.cause) == (Pull.UNKNOWN, Cause.EGRESS_REFUSED)


def test_docker_hub_and_its_token_service_are_a_known_pair() -> None:
    line = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'

    def script(ask: Ask) -> Answer:
        if "auth.docker.io" in ask.url:
            return token(access_token="t")
        return found() if header(ask, "authorization") else challenge(line)

    played = play(script, target("nginx"), [BOT])
    assert played.lines == [
        "HEAD https://registry-1.docker.io/v2/library/nginx/manifests/latest",
        "POST https://auth.docker.io/token as bot",
        "HEAD https://registry-1.docker.io/v2/library/nginx/manifests/latest as bot",
    ]


# -- token services that redirect ------------------------------------------------------------


def moved(location: str, status: int) -> Registry:
    answers = in_turn(reply(status, location=location))
    return Registry(tokens=lambda a: answers(a) if a.method == "POST" else token(access_token="t"))


def test_a_token_service_that_moved_on_the_same_host_is_followed() -> None:
    for status in (307, 308):
        tokens = in_turn(reply(status, location="/token?v=2"), token(access_token="t"))
        played = play(Registry(tokens=tokens), target(), [BOT])
        assert [a.method for a in played.asks] == ["HEAD", "POST", "POST", "HEAD"]
        assert played.outcome.pull is Pull.OK


def test_a_post_that_turns_into_a_get_loses_its_password() -> None:
    for status in (301, 302, 303):
        played = play(moved("/token?v=2", status), target(), [BOT])
        assert played.asks[2].method == "GET"
        assert played.asks[2].body is None
        assert header(played.asks[2], "authorization") == ""


def test_a_token_redirect_to_another_host_takes_no_password_along() -> None:
    for location in ("https://evil.example/token", "http://reg.example/token"):
        played = play(moved(location, 307), target(), [BOT])
        assert played.outcome.pull is Pull.UNKNOWN
        assert len(played.asks) == 2


def test_an_anonymous_token_redirect_is_followed_anywhere_by_https() -> None:
    tokens = in_turn(reply(302, location="https://auth.example/token"))

    def script(ask: Ask) -> Answer:
        if "auth.example" in ask.url:
            return token(token="t")
        return Registry(tokens=tokens)(ask)

    assert play(script, target()).outcome.pull is Pull.OK
    loop = play(Registry(tokens=in_turn(reply(302, location="/token"))), target())
    assert (loop.outcome.cause, len(loop.asks)) == (Cause.REDIRECT_LOOP, 11)


# -- loopback ------------------------------------------------------------------------------------


def test_a_loopback_registry_that_speaks_plain_http_is_asked_so() -> None:
    local = target("localhost:5000/acme/app:1")
    plain = Trouble(Cause.PLAIN_HTTP)
    played = play(lambda a: plain if a.url.startswith("https") else found(), local)
    assert [ask.url.partition(":")[0] for ask in played.asks] == ["https", "http"]
    assert not any(ask.trust.verify for ask in played.asks)
    assert played.outcome.pull is Pull.OK


def test_no_other_registry_falls_back_to_plain_http() -> None:
    played = play(in_turn(Trouble(Cause.PLAIN_HTTP)), target())
    assert (len(played.asks), played.outcome.cause) == (1, Cause.PLAIN_HTTP)


def test_a_registry_on_loopback_is_followed_as_leniently_as_containerd_does_it() -> None:
    away = reply(302, location="https://cdn.example/x")
    played = play(in_turn(away, found()), target("localhost:5000/acme/app:1"))
    assert [ask.trust.verify for ask in played.asks] == [False, False]


def test_a_password_goes_to_no_other_host_whose_certificate_nobody_looks_at() -> None:
    entry = RegistryEntry("localhost:5000", token_services=("auth.example",))
    realm = challenge('Bearer realm="https://auth.example/token"')
    where = target("localhost:5000/acme/app:1", settings=RegistrySettings(registries=(entry,)))
    played = play(in_turn(realm, token(access_token="t"), found()), where, [BOT])
    assert [ask.trust.verify for ask in played.asks] == [False, True, False]


def test_the_scheme_of_a_host_that_no_socket_can_dial_is_told_as_such() -> None:
    outcome = play(in_turn(found()), target("reg.example:99999/acme/app:1")).outcome
    assert outcome.cause is Cause.ADDRESS_INVALID


def test_the_digest_of_a_get_is_that_of_its_bytes() -> None:
    played = play(in_turn(found(docker_content_digest=""), found()), target())
    assert played.outcome.digest == "sha256:" + hashlib.sha256(BODY).hexdigest()
