"""What holds whatever a registry answers: bounds, secrets, named causes."""

import re
from urllib.parse import urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scripted.values import BASIC, BEARER, DIGEST, Answer, header, play, target
from webhook.credentials.keyring import Credential
from webhook.registry.manifest import OCI_INDEX, OCI_MANIFEST
from webhook.registry.outcome import Cause, Pull
from webhook.registry.settings import Depth, RegistryEntry, RegistrySettings
from webhook.registry.wire import Ask, Reply, Trouble

PASSWORD = "hunter2-"
MARK = "zqxj"
"""Stands in everything that the registry writes and in nothing of ours."""
MAX_FOR_ONE = 5 * (10 + 20) * 4
"""Four requests, each sent five times along ten hops, each with two token requests of ten."""

VOUCHED = RegistrySettings(
    registries=(RegistryEntry("reg.example", token_services=("auth.example",)),)
)
PLAIN = RegistrySettings(registries=(RegistryEntry("reg.example", plain_http=True),))
ALLOWED = {
    ("https", "reg.example"),
    ("https", "auth.example"),
}

urls = st.one_of(
    st.sampled_from(
        [
            "https://reg.example/token",
            "https://auth.example/token",
            "https://auth.example:8443/token",
            "http://reg.example/token",
            "http://auth.example/token",
            f"https://{MARK}.example/token?{MARK}",
            f"https://reg.example@{MARK}.example/token",
            f"https://{MARK}.example\\@reg.example/",
            f"https://[::1].{MARK}/",
            "//auth.example/again",
            "/again",
            "http://[",
            "https://reg.example:x/",
            "https://reg.example\n.evil/",
        ]
    ),
    st.text(max_size=12).map(lambda text: f"https://{MARK}{text}"),
    st.text(max_size=12).map(lambda text: MARK + text),
)
challenges = st.one_of(
    st.sampled_from([BASIC, BEARER, BEARER + ',error="insufficient_scope"', "Digest x=y"]),
    urls.map(lambda url: f'Bearer realm="{url}",service="{MARK}",scope="{MARK}"'),
    st.text(max_size=20).map(lambda text: text + MARK),
)
lengths = st.one_of(
    st.sampled_from(["0", "2", "4393216", "4393217", "-1", "x" + MARK, "9" * 4400, "٣", ""]),
    st.text(max_size=4),
)
types = st.one_of(
    st.sampled_from([OCI_MANIFEST, OCI_INDEX, "text/html", ""]),
    st.text(max_size=20).map(lambda text: f"{text}\n{MARK}"),
)
digests = st.one_of(st.just(DIGEST), st.text(max_size=8).map(lambda text: MARK + text))
headers = st.one_of(
    st.tuples(st.just("location"), urls),
    st.tuples(st.just("www-authenticate"), challenges),
    st.tuples(st.just("content-length"), lengths),
    st.tuples(st.just("content-type"), types),
    st.tuples(st.just("docker-content-digest"), digests),
    st.tuples(st.text(max_size=5), st.text(max_size=5)),
)
bodies = st.one_of(
    st.sampled_from(
        [
            b"{}",
            b'{"token":"t","access_token":"t"}',
            b'{"access_token":"' + MARK.encode() + b'\\n"}',
            b'{"manifests":[{"platform":{"os":"linux"}},7]}',
            b'{"tags":["' + MARK.encode() + b'\\u0007"]}',
            b"[" * 5000,
        ]
    ),
    st.binary(max_size=20).map(lambda raw: raw + MARK.encode()),
)
statuses = st.one_of(
    st.sampled_from([200, 200, 401, 401, 401, 302, 307, 303, 403, 404, 405, 429, 500, 503]),
    st.integers(-1, 999),
)
replies = st.builds(
    Reply, statuses, st.lists(headers, max_size=6).map(tuple), bodies, truncated=st.booleans()
)
answers: st.SearchStrategy[Answer] = st.one_of(
    replies, replies, replies, st.sampled_from(list(Cause)).map(Trouble)
)
plausible: st.SearchStrategy[Answer] = st.one_of(
    st.builds(
        lambda line: Reply(401, (("www-authenticate", line),)),
        st.one_of(
            st.just(BASIC),
            urls.filter(lambda url: "token" in url).map(lambda url: f'Bearer realm="{url}"'),
        ),
    ),
    st.builds(
        lambda status, url: Reply(status, (("location", url),)),
        st.sampled_from([301, 302, 307, 308]),
        urls,
    ),
    st.just(Reply(200, (), b'{"token":"t","access_token":"t"}')),
    st.just(Reply(401)),
)
"""What makes a conversation go on: where a credential may go astray."""
passwords = st.text(st.characters(exclude_categories=()), max_size=4).map(lambda t: PASSWORD + t)
credentials = st.lists(
    st.builds(
        Credential,
        st.just("secret/a"),
        st.just("reg.example"),
        st.sampled_from(["bot", "bot", "", "\ud800", "a:b"]),
        st.one_of(passwords, passwords, st.just("")),
    ),
    max_size=3,
)
images = st.sampled_from(
    [
        "reg.example/acme/app:1",
        f"reg.example/acme/app@{DIGEST}",
        "REG.example/acme/app",
        "reg_x.example/acme/app",
        "reg.example:99999/acme/app",
        "localhost:5000/acme/app",
        "[::1]:5000/acme/app",
        "[::::]/acme/app",
        "nginx",
    ]
)
quick = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.data(), images, st.sampled_from(Depth), credentials)
def test_any_answers_end_in_an_outcome_with_a_named_cause(
    data: st.DataObject, image: str, depth: Depth, tried: list[Credential]
) -> None:
    """Outcome is data; exceptions are for misuse and bugs. Nothing waits without an end."""
    script = data.draw(st.lists(answers, min_size=1, max_size=12))
    count = 0

    def answer(_: Ask) -> Answer:
        nonlocal count
        count += 1
        return script[count % len(script)]

    played = play(answer, target(image, depth), tried)
    outcome = played.outcome
    assert (outcome.cause is None) == (outcome.pull is Pull.OK)
    assert len(played.asks) <= MAX_FOR_ONE * max(1, len(tried))
    assert len(outcome.requests) == len(played.asks)
    assert MARK not in outcome.detail
    assert outcome.detail.isprintable()
    assert PASSWORD not in str(outcome)
    for tag in outcome.tags:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag)
    for request in outcome.requests:
        assert request.url.isprintable() and request.url.removesuffix("…").isascii()


def is_secret(ask: Ask) -> bool:
    """Tell whether a password or what a password bought goes along."""
    return ask.body is not None or header(ask, "authorization") != ""


@quick
@given(st.data(), st.sampled_from(Depth), credentials)
def test_no_credential_goes_to_a_host_that_nobody_vouches_for(
    data: st.DataObject, depth: Depth, tried: list[Credential]
) -> None:
    """Across hosts only an anonymous token; never over plain HTTP."""

    def answer(ask: Ask) -> Answer:
        parts = urlsplit(ask.url)
        assert (parts.scheme, parts.hostname) in ALLOWED or not is_secret(ask)
        assert "@" not in parts.netloc and "\\" not in ask.url
        if header(ask, "authorization").startswith("Bearer "):
            assert parts.netloc == "reg.example"
        if is_secret(ask) and parts.hostname == "auth.example":
            assert parts.port is None
        return data.draw(st.one_of(plausible, plausible, plausible, answers))

    play(answer, target(depth=depth, settings=VOUCHED), tried)


@quick
@given(st.data(), credentials)
def test_over_plain_http_a_credential_goes_to_a_registry_configured_so_alone(
    data: st.DataObject, tried: list[Credential]
) -> None:
    """A realm is https, or http only for a registry configured insecure."""

    def answer(ask: Ask) -> Answer:
        parts = urlsplit(ask.url)
        if is_secret(ask):
            assert parts.hostname == "reg.example"
        return data.draw(st.one_of(plausible, plausible, plausible, answers))

    play(answer, target(settings=PLAIN), tried)


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
