"""What a registry's headers say of its quota, and that nonsense there is as if not sent."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scripted.values import BASIC, BODY, BOT, Played, Registry, found, play, reply, target
from webhook.registry.outcome import Pull
from webhook.registry.quota import LONGEST, Quota, quota_of
from webhook.registry.recall import Recall
from webhook.registry.settings import Depth, RegistrySettings
from webhook.registry.wire import Ask, Reply

HUB = found(ratelimit_limit="100;w=21600", ratelimit_remaining="76;w=21600")


@pytest.mark.parametrize(
    ("remaining", "limit", "quota"),
    [
        (["76;w=21600"], ["100;w=21600"], Quota(76, 100, 21600)),
        (["0;w=21600"], ["100;w=21600"], Quota(0, 100, 21600)),
        (["76"], ["100"], Quota(76, 100)),
        (["76"], ["100;w=60"], Quota(76, 100, 60)),
        (["76 ; W=60\t; burst=10"], [], Quota(76, None, 60)),
        (["100"], ["100"], Quota(100, 100)),
        (["9999999999"], [], Quota(9999999999)),
        (["007"], [], Quota(7)),
        (["5;w=0"], [], Quota(5)),
    ],
)
def test_what_is_left_is_read_with_and_without_its_window(
    remaining: Sequence[str], limit: Sequence[str], quota: Quota
) -> None:
    assert quota_of(remaining, limit) == quota


@pytest.mark.parametrize(
    "limit",
    [[], [""], ["many"], ["100", "100"], ["100, 100"], ["75"], ["100;w=60"], ["100;w=x"]],
)
def test_a_limit_that_does_not_fit_what_is_left_is_as_if_not_sent(limit: Sequence[str]) -> None:
    assert quota_of(["76;w=21600"], limit) == Quota(76, None, 21600)


def test_a_limit_of_nothing_is_none() -> None:
    assert quota_of(["0"], ["0"]) == Quota(0)


NONSENSE: tuple[list[str], ...] = (
    *([], [""], [" "], ["76", "76"], ["76, 75"], ["-1"], ["+1"], ["1.5"], ["1e3"], ["0x10"]),
    *(["12345678901"], ["9" * 5000], ["76;"], ["76;;w=1"], ["76;w"], ["76;w="], ["76;w=-1"]),
    *(["76;w=1;w=1"], ["76;w=12345678901"], ["76;w=six"], [";w=60"], ["w=60"], ["76 w=60"]),
    *(
        ["\u0667\u0666"],
        ["\uff17\uff16"],
        ["76\n"],
        ["76\x00"],
        ["\x1b[31m76"],
        ["76;w=60\r\nx: y"],
    ),
    *(["1_000"], ["1 000"], ['76;q="a"'], ["76;note=<script>"], ["76" + ";a=b" * LONGEST]),
)


@pytest.mark.parametrize("remaining", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_as_if_not_sent(remaining: Sequence[str]) -> None:
    assert quota_of(remaining, ["100;w=21600"]) is None


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_no_header_raises_or_gives_a_number_that_it_does_not_hold(
    remaining: list[str], limit: list[str]
) -> None:
    """Digits, ten at most, and then parameters: anything else is as if not sent."""
    quota = quota_of(remaining, limit)
    if quota is None:
        return
    (value,) = remaining
    assert re.match(rf"[ \t]*0*{quota.remaining}[ \t]*(;|$)", value, re.ASCII)
    assert quota.limit is None or quota.limit >= quota.remaining


@given(
    st.integers(0, 10**10 - 1),
    st.integers(1, 10**10 - 1),
    st.sampled_from(["", " ", "\t "]),
)
def test_every_number_of_ten_digits_is_read(number: int, window: int, space: str) -> None:
    assert quota_of([f"{number}{space};{space}w={window}{space}"], []) == Quota(
        number, None, window
    )


# -- on the way of a pull --------------------------------------------------------------------


def test_the_quota_is_that_of_the_head_that_resolved_the_name() -> None:
    played = play(lambda _: HUB, target())
    assert played.lines == ["HEAD /v2/acme/app/manifests/1"]
    assert played.outcome.quota == Quota(76, 100, 21600, "reg.example", "")


def test_a_registry_that_tells_nothing_has_none() -> None:
    played = play(lambda _: found(ratelimit_limit="100"), target())
    assert (played.outcome.pull, played.outcome.quota) == (Pull.OK, None)


def test_the_quota_is_the_account_s_where_it_was_asked_as_one() -> None:
    """The first HEAD is anonymous and refused: what it is told of is another's quota."""
    refused = reply(
        401, b"", www_authenticate=BASIC, ratelimit_remaining="1;w=60", ratelimit_limit="1;w=60"
    )
    guarded = Registry(asks_for=(BASIC,), behind=lambda _: HUB)

    def answer(ask: Ask) -> Reply:
        came = guarded(ask)
        assert isinstance(came, Reply)
        return refused if came.status == 401 else came

    played = play(answer, target(), [BOT])
    assert played.outcome.quota == Quota(76, 100, 21600, "reg.example", "bot")


def test_docker_hub_is_told_by_the_name_that_references_have() -> None:
    played = play(lambda _: HUB, target("nginx:1"))
    assert played.asks[0].url.startswith("https://registry-1.docker.io/")
    assert played.outcome.quota is not None
    assert played.outcome.quota.host == "docker.io"


def test_what_a_redirect_s_target_tells_is_not_the_registry_s() -> None:
    def moved(ask: Ask) -> Reply:
        if "reg.example" in ask.url:
            return reply(307, b"", location="https://cdn.example/m", ratelimit_remaining="9")
        return HUB

    played = play(moved, target())
    assert (played.outcome.pull, played.outcome.quota) == (Pull.OK, None)


def test_a_redirect_on_the_registry_s_own_host_is_its_own() -> None:
    def moved(ask: Ask) -> Reply:
        return HUB if ask.url.endswith("/m") else reply(307, b"", location="/m")

    assert play(moved, target()).outcome.quota == Quota(76, 100, 21600, "reg.example")


def test_what_comes_after_the_head_changes_nothing() -> None:
    """At depth ``platform`` the manifest is fetched: the quota stays that of the HEAD."""

    def answer(ask: Ask) -> Reply:
        left = "76" if ask.method == "HEAD" else "12"
        return found(BODY, ratelimit_remaining=left)

    played = play(answer, target(depth=Depth.PLATFORM))
    assert [ask.method for ask in played.asks] == ["HEAD", "GET"]
    assert played.outcome.quota == Quota(76, host="reg.example")


def test_each_pull_has_the_quota_of_its_own_head_though_the_content_was_seen() -> None:
    recall, left = Recall(3600.0), iter(["9", "8"])

    def answer(ask: Ask) -> Reply:
        return found(ratelimit_remaining=next(left)) if ask.method == "HEAD" else found()

    first, second = (play(answer, target(depth=Depth.PLATFORM), recall=recall) for _ in range(2))
    assert first.outcome.quota == Quota(9, host="reg.example")
    assert second.outcome.quota == Quota(8, host="reg.example")
    assert [ask.method for ask in second.asks] == ["HEAD"]


def test_authority_that_is_known_already_asks_for_the_same_account() -> None:
    recall = Recall(3600.0)
    guarded = Registry(behind=lambda _: HUB)
    for asks in (["HEAD", "POST", "HEAD"], ["HEAD"]):
        played = play(guarded, target(), [BOT], recall=recall)
        assert [ask.method for ask in played.asks] == asks
        assert played.outcome.quota == Quota(76, 100, 21600, "reg.example", "bot")


def mirrored(folder: Path, toml: str, answer: Callable[[Ask], Reply]) -> Played:
    (folder / "reg.example").mkdir()
    (folder / "reg.example" / "hosts.toml").write_text(toml)
    return play(answer, target(settings=RegistrySettings(hosts_dir=folder)))


def test_a_mirror_that_answers_tells_its_own_quota(tmp_path: Path) -> None:
    played = mirrored(tmp_path, '[host."https://m.corp"]', lambda _: HUB)
    assert played.outcome.quota == Quota(76, 100, 21600, "m.corp")


def test_a_mirror_that_has_nothing_leaves_the_quota_to_the_registry(tmp_path: Path) -> None:
    def answer(ask: Ask) -> Reply:
        if "m.corp" in ask.url:
            return reply(404, b"", ratelimit_remaining="1")
        return HUB

    played = mirrored(tmp_path, '[host."https://m.corp"]', answer)
    assert played.outcome.quota == Quota(76, 100, 21600, "reg.example")


def test_whose_quota_a_header_of_the_file_asks_for_nobody_says(tmp_path: Path) -> None:
    toml = '[host."https://m.corp"]\n[host."https://m.corp".header]\nAuthorization = "Basic eDp5"'
    played = mirrored(tmp_path, toml, lambda _: HUB)
    assert (played.outcome.pull, played.outcome.quota) == (Pull.OK, None)
