"""The corpus itself: it can be read, laid out, and holds as much as was promised."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.differential.corpus import load
from tests.differential.identities import ZONE
from tests.differential.model import Case
from tests.differential.plot import Surveyor
from tests.differential.report import MOST_EXCEPTIONS, MOST_WAIVED, load_exceptions
from tests.differential.runtimes import Failure, Pulled
from tests.differential.verdict import right_causes
from webhook.registry.outcome import Cause

LEAST = {"reference": 150, "keyring": 150, "exchange": 350}
LEAST_OF_HOSTS_TLS_AND_PROXY = 120
LEAST_CASES = 1000


# What a reference, a keyring or an exchange can show.
@pytest.fixture(scope="module")
def corpus() -> list[Case]:
    return load()


def test_every_cause_that_a_case_expects_is_one_of_ours(corpus: list[Case]) -> None:
    known = {cause.value for cause in Cause}
    assert {case.expect.cause for case in corpus} - {None} <= known


def test_an_ok_pull_is_expected_without_a_cause(corpus: list[Case]) -> None:
    both = [c.id for c in corpus if c.expect.pull == "ok" and c.expect.cause is not None]
    assert both == []


def test_every_case_can_be_laid_out_and_names_itself_in_its_hosts(corpus: list[Case]) -> None:
    common = dict.fromkeys(
        ("ca", "ca_pem", "client_cert", "client_key", "client_pem", "other_key"), "x"
    )
    kinds = [f"{auth}-{t}" for auth in ("none", "basic", "token") for t in ("http", "https")]
    surveyor = Surveyor(
        common, dict.fromkeys(kinds, "dist.lab:5000"), dict.fromkeys(kinds, "dist.lab:5001")
    )
    for case in corpus:
        plot = surveyor.lay_out(case)
        for site in plot.sites:
            assert len(site.name.removesuffix(f".{ZONE}")) <= 63, case.id


def test_two_cases_never_serve_the_same_bytes(corpus: list[Case]) -> None:
    """Else containerd would have the second one's manifest already."""
    surveyor = Surveyor({}, {}, {})
    seen: dict[str, str] = {}
    for case in corpus:
        if any(server.distribution for server in case.servers) or not case.servers:
            continue
        try:
            plot = surveyor.lay_out(case)
        except ValueError:
            continue  # its placeholders are the lab's, as above
        for digest in plot.sites[0].shelf.manifests:
            assert seen.setdefault(digest, case.id) == case.id


def test_the_exceptions_are_few_and_name_cases(corpus: list[Case]) -> None:
    exceptions = load_exceptions()
    assert len(exceptions) <= MOST_EXCEPTIONS
    assert set(exceptions) <= {case.id for case in corpus}
    assert all(reason.strip() for reason in exceptions.values())


def test_few_cases_are_waived(corpus: list[Case]) -> None:
    waived = Counter(tag for case in corpus for tag in case.tags if tag in ("withheld", "egress"))
    assert waived.total() <= MOST_WAIVED


def test_the_corpus_is_as_large_as_was_promised(corpus: list[Case]) -> None:
    groups: Counter[str] = Counter(case.group for case in corpus)
    assert len(corpus) >= LEAST_CASES
    assert {g: groups[g] for g, least in LEAST.items() if groups[g] < least} == {}
    assert groups["hosts"] + groups["tls"] + groups["proxy"] >= LEAST_OF_HOSTS_TLS_AND_PROXY


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        (
            "failed to resolve image: r/a:1: not found",
            {"tag-not-found", "repository-not-found", "manifest-unknown", "digest-not-found"},
        ),
        ("dial tcp: lookup r on 127.0.0.53:53: no such host", {"dns-not-found", "host-misspelled"}),
        ("dial tcp: lookup r on 127.0.0.53:53: server misbehaving", {"dns-failing"}),
        ("dial tcp 10.9.0.1:443: connect: connection refused", {"refused"}),
        ("rejecting 4500495 byte manifest for r/a:1: not found", {"manifest-too-large"}),
        ("get image config descriptor: content digest sha256:00: not found", {"platform-none"}),
    ],
)
def test_the_real_parts_words_are_understood(text: str, causes: set[str]) -> None:
    pulled = Pulled("fails", "pull", (Failure("Unknown", text),))
    assert right_causes(pulled, sent=False) == causes


def test_a_text_that_nobody_taught_us_has_no_right_cause() -> None:
    pulled = Pulled("fails", "pull", (Failure("Unknown", "the dog ate it"),))
    assert right_causes(pulled, sent=False) == frozenset()
