"""Several hosts for one registry, as a hosts.toml names them: order, errors, credentials."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.scripted.values import (
    BASIC,
    BODY,
    BOT,
    DIGEST,
    Answer,
    Played,
    Script,
    challenge,
    found,
    header,
    play,
    reply,
    target,
    token,
)
from webhook.registry.outcome import Cause, Pull
from webhook.registry.settings import Depth, RegistrySettings
from webhook.registry.wire import Ask, Trouble

TAG = "/v2/acme/app/manifests/1"
TWO = """
[host."https://one.example"]
[host."https://two.example"]
"""


@pytest.fixture
def pulled(tmp_path: Path) -> Callable[..., Played]:
    def run(
        toml: str, script: Script, image: str = "reg.example/acme/app:1", **more: object
    ) -> Played:
        folder = tmp_path / "reg.example"
        folder.mkdir(exist_ok=True)
        (folder / "hosts.toml").write_text(toml)
        depth = more.get("depth", Depth.EXISTS)
        assert isinstance(depth, Depth)
        where = target(image, depth, RegistrySettings(hosts_dir=tmp_path))
        return play(script, where, [BOT] if more.get("secret") else [])

    return run


def by_host(**answers: Answer) -> Script:
    """Answer each request as the first label of its host says."""

    def script(ask: Ask) -> Answer:
        return answers[(urlsplit(ask.url).hostname or "").partition(".")[0]]

    return script


def asked(played: Played) -> list[str]:
    return [f"{ask.method} {urlsplit(ask.url).hostname}" for ask in played.asks]


def test_mirrors_are_asked_in_the_order_of_the_file_and_then_the_registry(
    pulled: Callable[..., Played],
) -> None:
    played = pulled(TWO, by_host(one=reply(404), two=Trouble(Cause.REFUSED), reg=found()))
    assert asked(played) == ["HEAD one.example", "HEAD two.example", "HEAD reg.example"]
    assert played.outcome.pull is Pull.OK


def test_a_mirror_is_told_for_which_registry_it_stands(pulled: Callable[..., Played]) -> None:
    """``RegistryHost.isProxy``: ``?ns=`` wherever the host is not the registry."""
    played = pulled(TWO, by_host(one=reply(404), two=reply(404), reg=found()))
    assert [ask.url for ask in played.asks] == [
        f"https://one.example{TAG}?ns=reg.example",
        f"https://two.example{TAG}?ns=reg.example",
        f"https://reg.example{TAG}",
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 502, 503])
def test_any_error_of_a_mirror_leads_to_the_next_host(
    status: int, pulled: Callable[..., Played]
) -> None:
    played = pulled(TWO, by_host(one=reply(status), two=found(), reg=reply(500)))
    assert played.outcome.pull is Pull.OK
    assert asked(played)[-1] == "HEAD two.example"


def test_only_the_last_host_is_asked_once_more_after_a_passing_fault(
    pulled: Callable[..., Played],
) -> None:
    ended = Trouble(Cause.RESET, ended=True)
    for fault, times in ((reply(503), 2), (ended, 5)):
        played = pulled(TWO, by_host(one=fault, two=fault, reg=fault))
        assert asked(played) == [
            "HEAD one.example",
            "HEAD two.example",
            *["HEAD reg.example"] * times,
        ]


@pytest.mark.parametrize(
    ("one", "reg", "cause"),
    [
        (reply(404), reply(403), Cause.DENIED_OR_MISSING),
        (reply(403), reply(404), Cause.DENIED_OR_MISSING),
        (reply(500), reply(404), Cause.SERVER_ERROR),
        (Trouble(Cause.REFUSED), reply(404), Cause.MANIFEST_UNKNOWN),
        (reply(404), Trouble(Cause.REFUSED), Cause.MANIFEST_UNKNOWN),
        (Trouble(Cause.DNS_NOT_FOUND), Trouble(Cause.REFUSED), Cause.DNS_NOT_FOUND),
        (challenge(BASIC), reply(404), Cause.MANIFEST_UNKNOWN),
        (found(content_length="4393217"), reply(403), Cause.MANIFEST_TOO_LARGE),
        (reply(502), reply(403), Cause.SERVER_ERROR),
    ],
)
def test_of_several_errors_the_one_that_came_furthest_is_told(
    one: Answer, reg: Answer, cause: Cause, pulled: Callable[..., Played]
) -> None:
    """Too large > other 4xx and 5xx > 404 > no answer; of equals the first."""
    played = pulled('[host."https://one.example"]', by_host(one=one, reg=reg))
    assert (played.outcome.pull, played.outcome.cause) == (Pull.FAILS, cause)


def test_what_is_no_4xx_and_no_5xx_ends_the_search(pulled: Callable[..., Played]) -> None:
    played = pulled(TWO, by_host(one=reply(304), two=found(), reg=found()))
    assert (asked(played), played.outcome.pull) == (["HEAD one.example"], Pull.FAILS)


def test_a_mirror_that_gave_no_answer_is_remembered_beside_a_404(
    pulled: Callable[..., Played],
) -> None:
    silent = by_host(one=Trouble(Cause.DNS_NOT_FOUND), two=reply(404), reg=reply(404))
    assert pulled(TWO, silent).outcome.unheard
    heard = by_host(one=reply(404), two=reply(404), reg=reply(404))
    assert not pulled(TWO, heard).outcome.unheard


def test_a_mirror_that_we_would_not_ask_leaves_the_pull_unknown(
    pulled: Callable[..., Played],
) -> None:
    refused = Trouble(Cause.EGRESS_REFUSED, "it is a loopback address")
    outcome = pulled(TWO, by_host(one=refused, two=reply(404), reg=reply(404))).outcome
    assert (outcome.pull, outcome.cause) == (Pull.UNKNOWN, Cause.EGRESS_REFUSED)
    served = pulled(TWO, by_host(one=refused, two=reply(404), reg=found())).outcome
    assert served.pull is Pull.OK


def test_a_tag_needs_a_host_that_resolves_and_a_digest_one_that_pulls(
    pulled: Callable[..., Played],
) -> None:
    toml = '[host."https://one.example"]\ncapabilities = ["pull"]\n'
    script = by_host(one=found(), reg=found())
    assert asked(pulled(toml, script)) == ["HEAD reg.example"]
    by_digest = f"reg.example/acme/app@{DIGEST}"
    assert asked(pulled(toml, script, by_digest)) == ["HEAD one.example"]


def test_where_no_host_may_resolve_nobody_is_asked(pulled: Callable[..., Played]) -> None:
    toml = 'server = "https://one.example"\ncapabilities = ["pull"]\n'
    played = pulled(toml, by_host(one=found()))
    assert (played.asks, played.outcome.cause) == ([], Cause.MANIFEST_UNKNOWN)


def test_the_content_is_asked_for_at_every_host_again_whatever_it_may_do(
    pulled: Callable[..., Played],
) -> None:
    """``dockerFetcher.Fetch`` goes over all hosts, capable or not, from the first on."""
    toml = '[host."https://one.example"]\ncapabilities = ["push"]\n'

    def script(ask: Ask) -> Answer:
        return reply(404) if "one." in ask.url else found(BODY)

    played = pulled(toml, script, depth=Depth.PLATFORM)
    assert asked(played) == ["HEAD reg.example", "GET one.example", "GET reg.example"]
    assert played.outcome.pull is Pull.OK


def test_of_the_fetchs_errors_the_first_hosts_is_told(pulled: Callable[..., Played]) -> None:
    def script(ask: Ask) -> Answer:
        if ask.method == "HEAD":
            return found()
        return reply(403) if "one." in ask.url else reply(500)

    played = pulled(TWO, script, depth=Depth.PLATFORM)
    assert played.outcome.cause is Cause.DENIED_OR_MISSING


def test_a_path_replaces_the_usual_one_only_where_the_file_says_so(
    pulled: Callable[..., Played],
) -> None:
    toml = """
[host."https://one.example/api"]
[host."https://two.example/api/registry"]
override_path = true
"""
    played = pulled(toml, by_host(one=reply(404), two=found()))
    assert [urlsplit(ask.url).path for ask in played.asks] == [
        f"/api{TAG}",
        "/api/registry/acme/app/manifests/1",
    ]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("name", "pull"), [("x-key", Pull.UNKNOWN), ("Authorization", Pull.FAILS)])
def test_a_redirects_target_that_refuses_what_a_header_might_have_opened_proves_nothing(
    pulled: Callable[..., Played], status: int, name: str, pull: Pull
) -> None:
    """Go sends the headers of a file along, save those that it binds to their host."""

    def script(ask: Ask) -> Answer:
        if "store" in ask.url:
            return reply(status)
        return reply(307, location="https://store.example/x")

    played = pulled(f'[header]\n{name} = "hunter2"\n', script)
    assert played.outcome.pull is pull
    if pull is Pull.UNKNOWN:
        assert played.outcome.cause is Cause.CREDENTIAL_WITHHELD
    assert header(played.asks[-1], name.lower()) == ""


def test_a_foreign_token_service_that_refuses_what_a_header_might_have_opened_proves_nothing(
    pulled: Callable[..., Played],
) -> None:
    line = 'Bearer realm="https://auth.example/token",service="x"'

    def script(ask: Ask) -> Answer:
        return reply(403) if "auth.example" in ask.url else challenge(line)

    played = pulled('[header]\nx-key = "hunter2"\n', script)
    assert (played.outcome.pull, played.outcome.cause) == (
        Pull.UNKNOWN,
        Cause.CREDENTIAL_WITHHELD,
    )


def test_headers_go_to_their_own_host_alone(pulled: Callable[..., Played]) -> None:
    toml = '[host."https://one.example".header]\nx-key = "hunter2"\n'

    def script(ask: Ask) -> Answer:
        if "one." in ask.url:
            return reply(302, location="https://elsewhere.example/x")
        return reply(404)

    played = pulled(toml, script)
    assert [(urlsplit(a.url).hostname, header(a, "x-key")) for a in played.asks] == [
        ("one.example", "hunter2"),
        ("elsewhere.example", ""),
        ("reg.example", ""),
        ("reg.example", ""),
    ]


def test_a_mirror_that_the_file_names_is_handed_the_registrys_credential(
    pulled: Callable[..., Played],
) -> None:
    """The credentials are those of the image's host, for the mirror as well."""

    def script(ask: Ask) -> Answer:
        return found() if header(ask, "authorization") else challenge(BASIC)

    played = pulled(TWO, script, secret=True)
    assert [(urlsplit(a.url).hostname, a.user) for a in played.asks] == [
        ("one.example", None),
        ("one.example", "bot"),
    ]


def test_over_plain_http_it_is_handed_out_where_the_file_says_http(
    pulled: Callable[..., Played],
) -> None:
    def script(ask: Ask) -> Answer:
        return found() if header(ask, "authorization") else challenge(BASIC)

    played = pulled('[host."http://one.example"]', script, secret=True)
    assert played.outcome.pull is Pull.OK
    assert {urlsplit(ask.url).scheme for ask in played.asks} == {"http"}


def test_a_realm_at_a_host_of_the_file_is_the_registrys_own(
    pulled: Callable[..., Played],
) -> None:
    def script(ask: Ask) -> Answer:
        if ask.url.startswith("https://two.example/token"):
            return token(access_token="t")
        if header(ask, "authorization"):
            return found()
        return challenge('Bearer realm="https://two.example/token"')

    played = pulled(TWO, script, secret=True)
    assert (played.outcome.pull, len(played.asks)) == (Pull.OK, 3)


def test_a_file_that_containerd_cannot_act_on_fails_before_anybody_is_asked(
    pulled: Callable[..., Played],
) -> None:
    played = pulled('[host."https://one.example"]\nca = "absent.pem"\n', by_host())
    assert (played.asks, played.outcome.cause) == ([], Cause.TLS_FAILING)
