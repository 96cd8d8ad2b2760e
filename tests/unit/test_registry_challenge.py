"""``WWW-Authenticate`` as ``auth/parse.go`` of containerd reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registry.challenge import Scheme, parse_challenges


def one(line: str) -> tuple[Scheme, dict[str, str]]:
    (found,) = parse_challenges([line])
    return found.scheme, dict(found.parameters)


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        ("Bearer", {}),
        ('Bearer realm="https://a/t"', {"realm": "https://a/t"}),
        ('bEaReR ReAlM="x",SERVICE=y', {"realm": "x", "service": "y"}),
        ("Bearer realm=token-1.0", {"realm": "token-1.0"}),
        ('Bearer   \t realm="x"  ,\t service="y"', {"realm": "x", "service": "y"}),
        ('Bearer realm="x" service="y"', {"realm": "x"}),
        ('Bearer realm ="x"', {}),
        ('Bearer realm= "x"', {"realm": ""}),
        ('Bearer realm="",service="y"', {"realm": "", "service": "y"}),
        ('Bearer realm="a,b c=d"', {"realm": "a,b c=d"}),
        (r'Bearer realm="a\"b\\c\d"', {"realm": 'a"b\\cd'}),
        ('Bearer realm="unfinished', {"realm": ""}),
        (r'Bearer realm="unfinished\"', {"realm": ""}),
        ('Bearer service="y",realm="un', {"service": "y", "realm": ""}),
        ('Bearer realm="1",realm="2"', {"realm": "2"}),
        ('Bearer ,realm="x"', {}),
        ('Bearer realm="x",,service="y"', {"realm": "x"}),
        ('Bearer,realm="x"', {}),
        ('Bearer realm="x",Basic realm="y"', {"realm": "x"}),
        ("Bearer realm=https://a/t", {"realm": "https"}),
        ('Bearer réalm="x"', {}),
    ],
)
def test_parameters_are_read_up_to_the_first_that_go_would_not_read(
    line: str, parameters: dict[str, str]
) -> None:
    assert one(line) == (Scheme.BEARER, parameters)


@pytest.mark.parametrize(
    "line", ["", " Bearer x=y", "Negotiate", '"Bearer"', "Bearers x=y", "=", "é"]
)
def test_a_line_of_another_scheme_is_no_challenge(line: str) -> None:
    assert parse_challenges([line]) == ()


def test_of_several_lines_bearer_comes_before_digest_before_basic() -> None:
    lines = ["Basic realm=a", "Digest realm=b", "Negotiate", "Bearer realm=c", "Basic realm=d"]
    found = [(c.scheme.name, c.parameters["realm"]) for c in parse_challenges(lines)]
    assert found == [("BEARER", "c"), ("DIGEST", "b"), ("BASIC", "a"), ("BASIC", "d")]


@given(st.lists(st.text(max_size=60), max_size=4))
def test_no_text_makes_it_raise(lines: list[str]) -> None:
    """Octets that are no token end what is read, nothing more."""
    for found in parse_challenges(lines):
        assert all(key == key.lower() for key in found.parameters)


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_any_text_comes_back_from_its_quoted_form(text: str) -> None:
    """A backslash in a quoted string takes the next octet as it is."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert one(f'Bearer realm="{quoted}",end=x') == (Scheme.BEARER, {"realm": text, "end": "x"})
