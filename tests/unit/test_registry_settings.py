"""Host globs of RegistryConfig, as the policy file's page states them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registry.settings import host_matches


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("docker.io", "docker.io", True),
        ("docker.io", "Docker.io", False),
        ("docker.io", "docker.io:443", False),
        ("docker.io:443", "docker.io", False),
        ("*.corp.example", "reg.corp.example", True),
        ("*.corp.example", "a.b.corp.example", False),
        ("**.corp.example", "a.b.corp.example", True),
        ("reg-*.example", "reg-1.example", True),
        ("*", "localhost", True),
        ("*", "a.b", False),
        ("**", "a.b.c", True),
        ("**", "a.b.c:5000", False),
        ("**:5000", "a.b.c:5000", True),
        ("a.example:*", "a.example:5000", True),
        ("a.example:*", "a.example", False),
        ("[::1]:5000", "[::1]:5000", True),
        ("[::1]", "[::1]", True),
        ("[::1]", "[::1]:5000", False),
        ("[::*]:5000", "[::1]:5000", True),
        ("re?.example", "reg.example", False),
        ("re[g].example", "reg.example", False),
        ("[!a]eg.example", "reg.example", False),
        ("reg.example", "regxexample", False),
        ("", "reg.example", False),
    ],
)
def test_a_star_stays_within_a_label_two_cross_and_nothing_else_is_special(
    pattern: str, host: str, matches: bool
) -> None:
    assert host_matches(pattern, host) is matches


@given(st.text("ab.[]?*!:1-", max_size=12))
def test_whatever_holds_no_star_matches_itself_alone(text: str) -> None:
    """In a host ``*`` stays within one label; ``**`` crosses; nothing else is special."""
    assert host_matches(text, text)
    if "*" not in text:
        assert not host_matches(text, text + "x")


def test_a_hostile_host_is_judged_in_no_time() -> None:
    began = time.perf_counter()
    assert not host_matches("*a" * 40 + ".b", "a" * 255)
    assert not host_matches("**a." * 40 + "b", "a." * 127)
    assert time.perf_counter() - began < 0.5
