"""Which addresses may be dialled, for whose sake, by what table."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registry.egress import Guard, unwrapped
from webhook.registry.settings import Egress, RegistryEntry, RegistrySettings
from webhook.registry.urls import is_loopback, joined, origin_of, sendable

OPEN = Guard(RegistrySettings())
CLOSED = Guard(RegistrySettings(egress=Egress(private_ranges=False)))


def refuses(guard: Guard, address: str, host: str = "reg.example", port: int = 443) -> bool:
    return guard.refusal(host, port, ip_address(address)) is not None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "169.254.170.2",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::7f00:1",
        "224.0.0.1",
        "ff02::1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_that_are_no_registrys_are_refused(address: str) -> None:
    assert refuses(OPEN, address)
    assert refuses(CLOSED, address)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "fd12::1",
        "fec0::1",
        "::ffff:10.1.1.1",
    ],
)
def test_private_addresses_are_refused_by_choice(address: str) -> None:
    assert not refuses(OPEN, address)
    assert refuses(CLOSED, address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_dialled(address: str) -> None:
    assert not refuses(CLOSED, address)


def guard(*allow: str, deny: tuple[str, ...] = (), match: str = "docker.io") -> Guard:
    nets = tuple(ip_network(text) for text in deny)
    egress = Egress(private_ranges=False, deny=nets, allow=allow)
    return Guard(RegistrySettings(egress=egress, registries=(RegistryEntry(match),)))


def test_what_configuration_names_may_be_loopback_private_or_denied() -> None:
    named = guard("reg.example:443", deny=("10.0.0.0/8",))
    assert not refuses(named, "127.0.0.1")
    assert not refuses(named, "10.0.0.1")
    assert refuses(named, "10.0.0.1", port=444)
    assert refuses(named, "10.0.0.1", host="other.example")


def test_what_configuration_names_is_still_no_metadata_service() -> None:
    """A named host's DNS may be in wrong hands."""
    named = guard("reg.example:443")
    for address in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0", "100.100.100.200"):
        assert refuses(named, address)


def test_a_metadata_services_address_is_dialled_where_that_very_address_is_named() -> None:
    named = guard("169.254.169.254:5000")
    assert not refuses(named, "169.254.169.254", host="169.254.169.254", port=5000)
    assert refuses(named, "169.254.169.254", host="169.254.169.254", port=80)
    local = Egress(local=True, allow=("169.254.169.254:5000",))
    person = Guard(RegistrySettings(egress=local))
    assert refuses(person, "169.254.169.254", host="169.254.169.254", port=5000)


def test_a_link_local_registry_is_dialled_where_it_is_named() -> None:
    named = guard("cache.example:5000")
    assert not refuses(named, "169.254.20.10", host="cache.example", port=5000)
    assert refuses(named, "169.254.20.10", host="other.example", port=5000)


def test_our_own_api_server_is_no_registry_under_any_name() -> None:
    own = frozenset({"kubernetes.default.svc:443", "10.96.0.1:443"})
    guarded = Guard(RegistrySettings(egress=Egress(api_server=own)))
    assert refuses(guarded, "10.96.0.1")
    assert refuses(guarded, "::ffff:10.96.0.1")
    assert refuses(guarded, "10.0.0.9", host="Kubernetes.default.svc")
    assert not refuses(guarded, "10.96.0.1", port=5000)
    allowed = Egress(api_server=own, allow=("reg.example:443",))
    assert not refuses(Guard(RegistrySettings(egress=allowed)), "10.96.0.1")


@pytest.mark.parametrize(
    ("match", "host", "port", "refused"),
    [
        ("localhost:5000", "localhost", 5000, False),
        ("LOCALHOST:5000", "localhost", 5000, False),
        ("localhost:5000", "localhost", 5001, True),
        ("[::1]:5000", "::1", 5000, False),
        ("localhost", "localhost", 443, False),
        ("localhost", "localhost", 5000, True),
        ("local*:5000", "localhost", 5000, True),
        ("**", "localhost", 443, True),
    ],
)
def test_an_entry_names_its_host_and_port_but_a_glob_names_none(
    match: str, host: str, port: int, refused: bool
) -> None:
    assert refuses(guard(match=match), "127.0.0.1", host, port) is refused


def test_the_deny_list_holds_in_both_spellings_of_an_address() -> None:
    assert refuses(guard(deny=("1.1.1.0/24",)), "::ffff:1.1.1.1")
    assert refuses(guard(deny=("64:ff9b::/96",)), "64:ff9b::101:101")
    assert not refuses(guard(deny=("1.1.1.0/24",)), "1.1.2.1")


@given(st.ip_addresses())
def test_every_address_has_an_answer(address: object) -> None:
    """No address makes the guard raise, and what is refused unwrapped is refused wrapped."""
    parsed = ip_address(str(address))
    for one in (OPEN, CLOSED):
        if one.refusal("h", 443, unwrapped(parsed)) is not None:
            assert one.refusal("h", 443, parsed) is not None


# -- how hosts and URLs are read -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.9.9.9:80", True),
        ("[::1]:5000", True),
        ("[::ffff:127.0.0.1]:5000", True),
        ("[::1]", False),
        ("LOCALHOST:5000", False),
        ("localhost.example", False),
        ("127.1:5000", False),
        ("2130706433", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_what_containerd_takes_for_it(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://Reg.Example/a", "https://reg.example/a"),
        ("https://reg.example:443/a?b=c%2F", "https://reg.example/a?b=c%2F"),
        ("https://reg.example:8443", "https://reg.example:8443/"),
        ("https://u:p@reg.example/a#f", "https://reg.example/a"),
        ("https://a\\@b/x", "https://b/x"),
        ("https://[::1]:5000/v2", "https://[::1]:5000/v2"),
        ("https://[::1].evil.example/", "https://[::1]/"),
        ("https://reg_1.example/é b", "https://reg_1.example/%C3%A9%20b"),
        ("https://a/\ud800", "https://a/%3F"),
        ("ftp://a/", None),
        ("https://", None),
        ("https://a:99999/", None),
        ("https://a:x/", None),
        ("https://[::1%25lo]/", None),
        ("https://bücher.example/", None),
        ("https://a b/", None),
        ("//a/b", None),
        ("", None),
    ],
)
def test_what_is_sent_is_rebuilt_from_what_was_judged(url: str, sent: str | None) -> None:
    assert sendable(url) == sent


@given(st.text())
def test_what_is_sent_has_the_origin_that_was_judged(text: str) -> None:
    """Two parsers that disagree on a hostile URL would judge one host and dial another."""
    for url in (text, f"https://{text}", f"https://a/{text}", f"https://a@{text}"):
        sent = sendable(url)
        assert sent is None or (origin_of(sent) == origin_of(url) and sent.isascii())
        onward = joined("https://reg.example/v2/", text)
        assert onward is None or origin_of(onward) is not None
