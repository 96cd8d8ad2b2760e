from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import issue, new_authority
from certs.bundle import MOST_AUTHORITIES, verifies, with_authority

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def authority(name: str, days: float = 365) -> bytes:
    return new_authority(name, now=NOW, lifetime=timedelta(days=days)).certificate


OURS, OTHER = authority("ours"), authority("other")


def test_the_first_authority_stands_alone() -> None:
    assert with_authority(b"", OURS, now=NOW) == OURS


def test_an_authority_is_appended_to_those_of_others() -> None:
    assert with_authority(OTHER, OURS, now=NOW) == OTHER + OURS


@pytest.mark.parametrize(
    "bundle",
    [OURS, OTHER + OURS, OURS + OTHER, b"# a word\n" + OURS.replace(b"\n", b"\r\n")],
    ids=["alone", "last", "first", "otherwise written"],
)
def test_nothing_changes_where_the_authority_is_in_it(bundle: bytes) -> None:
    assert with_authority(bundle, OURS, now=NOW) is None


def test_expired_authorities_go() -> None:
    later = NOW + timedelta(days=2)
    assert with_authority(authority("short", days=1) + OURS, OURS, now=later) == OURS


def test_doubles_and_what_cannot_be_read_go() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nhalf\n-----END CERTIFICATE-----\n"
    assert with_authority(OURS + broken + OURS, OURS, now=NOW) == OURS


def test_past_the_bound_the_one_that_stands_first_goes() -> None:
    many = [authority(f"ca {number}") for number in range(MOST_AUTHORITIES + 3)]
    result = with_authority(b"".join(many), OURS, now=NOW)
    assert result == b"".join([*many[4:], OURS])


def test_past_the_bound_ours_stays_wherever_it_stands() -> None:
    many = [authority(f"ca {number}") for number in range(MOST_AUTHORITIES)]
    result = with_authority(OURS + b"".join(many), OURS, now=NOW)
    assert result == b"".join([*many[1:], OURS])


def test_what_is_no_certificate_is_never_published() -> None:
    with pytest.raises(ValueError, match="no PEM certificate"):
        with_authority(OURS, b"hunter2", now=NOW)


def test_a_bundle_verifies_what_any_valid_authority_in_it_signed() -> None:
    signer = new_authority(now=NOW, lifetime=timedelta(days=10))
    leaf = issue(signer, ["a"], now=NOW).certificate
    assert verifies(OTHER + signer.certificate, leaf, now=NOW)
    assert not verifies(OTHER, leaf, now=NOW)
    assert not verifies(b"", leaf, now=NOW)
    assert not verifies(signer.certificate, leaf, now=NOW + timedelta(days=11))
