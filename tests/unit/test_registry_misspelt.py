"""A registry that does not exist, one slip from one that does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.images.reference import Reference, parse
from webhook.registry.misspelt import PUBLIC_REGISTRIES, is_one_slip, with_misspelling
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistryEntry, RegistrySettings, Vantage

NO_SUCH_HOST = Outcome(Pull.FAILS, Cause.DNS_NOT_FOUND, detail="no such host")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.-"


def told(image: str, settings: RegistrySettings | None = None) -> Outcome:
    reference = parse(image)
    assert isinstance(reference, Reference)
    return with_misspelling(NO_SUCH_HOST, reference, settings or RegistrySettings())


@pytest.mark.parametrize(
    ("image", "meant"),
    [
        ("dokcer.io/library/nginx", "docker.io"),
        ("gchr.io/acme/app", "ghcr.io"),
        ("qay.io/x", "quay.io"),
        ("quayy.io/x", "quay.io"),
        ("registry.k9s.io/pause", "registry.k8s.io"),
        ("Docke.io/x/y", "docker.io"),
        ("ghcr.oi:443/x", "ghcr.io"),
    ],
)
def test_one_slip_from_a_public_registry_is_told_as_misspelt(image: str, meant: str) -> None:
    outcome = told(image)
    assert (outcome.pull, outcome.cause) == (Pull.FAILS, Cause.HOST_MISSPELLED)
    assert meant in outcome.detail


@pytest.mark.parametrize(
    "image", ["registry.corp/x", "docker.oi.corp/x", "ghcr.io/x", "us.gcr.io/x", "gchr.io:5000/x"]
)
def test_two_slips_another_port_or_a_registry_of_the_list_are_not(image: str) -> None:
    assert told(image).cause is Cause.DNS_NOT_FOUND


def test_a_host_that_answers_is_never_called_misspelt() -> None:
    reference = parse("gchr.io/x")
    assert isinstance(reference, Reference)
    refused = replace(NO_SUCH_HOST, cause=Cause.REFUSED)
    assert with_misspelling(refused, reference, RegistrySettings()) is refused


def test_a_configured_registry_counts_only_where_we_stand_as_a_node_does() -> None:
    entries = (RegistryEntry(match="registry.corp"),)
    at_pod = RegistrySettings(registries=entries)
    assert told("regsitry.corp/x", at_pod).cause is Cause.DNS_NOT_FOUND
    at_node = replace(at_pod, vantage=Vantage.NODE)
    assert told("regsitry.corp/x", at_node).cause is Cause.HOST_MISSPELLED


def test_a_configured_registry_is_itself_never_misspelt() -> None:
    entries = (RegistryEntry(match="gchr.io"),)
    assert told("gchr.io/x", RegistrySettings(registries=entries)).cause is Cause.DNS_NOT_FOUND


@given(st.sampled_from(sorted(PUBLIC_REGISTRIES)), st.data())
def test_every_single_slip_is_found(right: str, data: st.DataObject) -> None:
    """One slip: a letter left out, added, replaced, or swapped with the next."""
    at = data.draw(st.integers(0, len(right) - 1))
    letter = data.draw(st.sampled_from(LETTERS))
    slips = [
        right[:at] + right[at + 1 :],
        right[:at] + letter + right[at:],
        right[:at] + letter + right[at + 1 :],
        right[:at] + right[at : at + 2][::-1] + right[at + 2 :],
    ]
    for slip in slips:
        assert is_one_slip(right, slip) is (slip != right)


@given(st.text("ab.", max_size=6), st.text("ab.", max_size=6))
def test_what_is_one_slip_one_way_is_one_slip_the_other_way(one: str, other: str) -> None:
    assert is_one_slip(one, other) is is_one_slip(other, one)
