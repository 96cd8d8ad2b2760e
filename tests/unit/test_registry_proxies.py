"""Which proxy a request goes through; the comparison with Go's own code is another test's."""

from __future__ import annotations

import base64

import pytest

from webhook.registry.proxies import ProxyAddress, proxy_for, proxy_of_environment
from webhook.registry.settings import Proxy

BOTH = Proxy("http://secure:3128", "http://plain:3129")


@pytest.mark.parametrize(
    ("url", "host"), [("https://r.example/v2/", "secure"), ("http://r.example/v2/", "plain")]
)
def test_each_scheme_has_its_own_proxy(url: str, host: str) -> None:
    chosen = proxy_for(url, BOTH)
    assert chosen is not None
    assert chosen.host == host


@pytest.mark.parametrize(
    "url", ["https://localhost/", "https://127.0.0.1:5000/", "http://[::1]/", "http://127.9.9.9/"]
)
def test_this_machine_is_never_reached_by_a_proxy(url: str) -> None:
    assert proxy_for(url, BOTH) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "goes"),
    [
        ("example.com", "https://example.com/", False),
        ("example.com", "https://a.b.example.com:5000/", False),
        ("example.com", "https://notexample.com/", True),
        (".example.com", "https://example.com/", True),
        (".example.com", "https://a.example.com/", False),
        ("*.example.com", "https://a.example.com/", False),
        ("example.com:443", "https://example.com/", False),
        ("example.com:443", "https://example.com:5000/", True),
        ("10.0.0.0/8", "https://10.1.2.3/", False),
        ("10.0.0.0/8", "https://11.1.2.3/", True),
        ("10.1.2.3:5000", "http://10.1.2.3:5000/", False),
        ("fd00::/8", "https://[fd00::1]/", False),
        ("a, b ,*", "https://c.example/", False),
        (" , :80, ", "https://c.example/", True),
        ("EXAMPLE.com", "https://example.com/", False),
    ],
)
def test_a_list_of_hosts_is_read_as_in_the_environment(
    no_proxy: str, url: str, *, goes: bool
) -> None:
    proxy = Proxy("http://p:1", "http://p:1", no_proxy)
    assert (proxy_for(url, proxy) is not None) is goes


def test_a_password_is_in_the_header_and_in_no_repr() -> None:
    chosen = proxy_for("https://r.example/", Proxy("http://me:hunter%402@p.corp"))
    header = "Basic " + base64.b64encode(b"me:hunter@2").decode()
    assert chosen == ProxyAddress("http", "p.corp", 80, header)
    assert chosen.shown == "p.corp:80"
    assert "hunter" not in repr(chosen)
    assert header not in repr(chosen)
    assert "hunter" not in repr(Proxy("http://me:hunter%402@p.corp"))


def test_names_in_upper_case_go_first() -> None:
    environment = {
        "HTTPS_PROXY": "upper",
        "https_proxy": "lower",
        "HTTP_PROXY": "p",
        "no_proxy": "",
    }
    assert proxy_of_environment(environment) == Proxy("upper", "p", "")
    assert proxy_of_environment({}) == Proxy()
