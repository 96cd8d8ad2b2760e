"""Which proxy a request takes is what Go's own httpproxy says, over any host and any list."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.proxies import WireOracle
from tests.parts.sight import locate_in_sight
from webhook.registry.proxies import ProxyAddress, proxy_for
from webhook.registry.settings import Proxy

DEFAULT_PORTS = {"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}


@pytest.fixture(scope="module")
def wire(pytestconfig: pytest.Config) -> Iterator[WireOracle]:
    locate_in_sight(pytestconfig, ["proxyoracle"])
    with WireOracle() as running:
        yield running


def theirs(wire: WireOracle, url: str, https: str, http: str, no_proxy: str) -> ProxyAddress | None:
    got = wire.proxy(url, https, http, no_proxy)
    assert "error" not in got, got
    if not got["proxy"]:
        return None
    host, scheme = got.get("host", ""), got.get("scheme", "")
    if not host:  # Go dials itself, or nobody: it is no proxy to go through
        return ProxyAddress("", "", None)
    port = got.get("port") or DEFAULT_PORTS.get(scheme)
    number = int(port) if port is not None and int(port) <= 65535 else None
    user, password = got.get("user"), got.get("pass", "")
    basic = None
    if user is not None:
        basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return ProxyAddress(scheme, host, number, basic)


def agree(wire: WireOracle, url: str, https: str, http: str, no_proxy: str) -> None:
    ours = proxy_for(url, Proxy(https, http, no_proxy))
    assert ours == theirs(wire, url, https, http, no_proxy)


LABELS = st.sampled_from(["a", "b", "corp", "example", "com", "registry", "x-y", "localhost", "1"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
V4 = st.sampled_from(
    [
        "10.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "127.0.0.1",
        "127.9.9.9",
        "8.8.8.8",
        "0.0.0.0",
        "10.0.0.01",
    ]
)
V6 = st.sampled_from(
    ["::1", "fd00::1", "2001:db8::5", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "fe80::1"]
)
PORTS = st.sampled_from(["", ":80", ":443", ":5000", ":8443"])
HOSTS = st.one_of(NAMES, NAMES.map(lambda n: n + "."), V4, V6.map(lambda a: f"[{a}]"))
URLS = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}{port}/v2/",
    st.sampled_from(["https", "http"]),
    HOSTS,
    PORTS,
)
BITS = st.sampled_from(
    [
        "/8",
        "/16",
        "/32",
        "/0",
        "/64",
        "/95",
        "/96",
        "/104",
        "/128",
        "/33",
        "/08",
        "/x",
        "/",
        "/255.0.0.0",
    ]
)
ENTRIES = st.one_of(
    st.builds(
        lambda dot, name, port: dot + name + port,
        st.sampled_from(["", ".", "*.", "*", "..", "http://"]),
        NAMES,
        st.one_of(PORTS, st.sampled_from([":", ":x", ":0443"])),
    ),
    st.builds(lambda a, p: a + p, V4, st.one_of(PORTS, BITS)),
    st.builds(lambda a, p: a + p, V6, BITS),
    st.builds(lambda a, p: f"[{a}]{p}", V6, st.one_of(PORTS, BITS)),
    V6,
    st.sampled_from(["*", "", " ", ".", "*.", ":80", "[]", "[]:80", "*:443", "EXAMPLE.COM"]),
    st.sampled_from(["fe80::1%eth0", "[fe80::1%1]:80", "[::1", "::1]", "10.0.0.0/8:80"]),
    st.text(alphabet="ab.*:[]/%1 \tÜ", max_size=8),
)  # fmt: skip
LISTS = st.lists(
    st.builds(lambda pad, entry: pad + entry + pad, st.sampled_from(["", " ", "\t"]), ENTRIES),
    max_size=4,
).map(",".join)
PROXIES = st.one_of(
    st.sampled_from(
        [
            *("proxy.corp:3128", "http://proxy.corp:3128", "https://proxy.corp", "proxy"),
            *("http://u:p@proxy:1/", "http://u@proxy", "u:p%20q@proxy:1", "http://u:p%zz@proxy"),
            *("socks5://proxy", "socks5h://proxy:1", "ftp://proxy:21", "ftp://proxy", "1.2.3.4:1"),
            *("http://", "//proxy:1", "/proxy", "http:proxy:1", ":3128", "http://[::1]:3128"),
            *("http://proxy:99999", "http://proxy:", "http://proxy:x", "http://pro xy"),
            "HTTP://proxy",
            *("http://@proxy:1", "http://:@proxy:1", "http://:p@proxy:1", "http://proxy#x"),
            "[::1]:1",
            *("a b", "%", "*", "proxy?x", "#"),
            *("http://a@b@proxy:1", "http:///x", "1http://proxy", "http://proxy/%zz"),
            "http://proxy\x7f",
        ]
    ),
    st.text(alphabet="htp:/@.[]1%#? ", max_size=12),
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(URLS, LISTS)
def test_any_list_of_hosts_is_read_as_go_reads_it(wire: WireOracle, url: str, hosts: str) -> None:
    """A domain name matches that name and all subdomains; with a leading "." subdomains only."""
    agree(wire, url, "http://proxy:3128", "http://other:3129", hosts)


@settings(max_examples=1000, deadline=None)
@given(PROXIES)
def test_any_address_of_a_proxy_is_read_as_go_reads_it(wire: WireOracle, address: str) -> None:
    """A complete URL or a "host[:port]", in which case the "http" scheme is assumed."""
    agree(wire, "https://registry.example/v2/", address, "", "")
    agree(wire, "http://registry.example/v2/", "", address, "")


@pytest.mark.parametrize("url", ["https://a.example/", "http://a.example/", "https://localhost/"])
def test_each_scheme_has_its_own_proxy(wire: WireOracle, url: str) -> None:
    for https, http in (("s:1", "p:2"), ("s:1", ""), ("", "p:2"), ("", "")):
        agree(wire, url, https, http, "")
