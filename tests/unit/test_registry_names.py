"""Names resolved on threads of their own."""

import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from webhook.deadline import Deadline
from webhook.registry.names import NEW_THREADS, Addresses, Names
from webhook.registry.outcome import Cause
from webhook.registry.wire import Trouble

SOON = 5.0
ONE = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.close()


def resolving(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_thousands_of_instant_lookups_leave_nobody_waiting(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup that ends before anybody waits for it calls back while the lock is wanted."""
    resolving(monkeypatch, lambda *_, **__: ONE)

    def many(first: int) -> None:
        for number in range(1500):
            got = names.addresses(f"h{(first + number) % 7}.example", Deadline.after(SOON))
            assert got == Addresses((ip_address("192.0.2.1"),))

    threads = [threading.Thread(target=many, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert names._flights == {}


def test_one_flight_a_host_and_who_waits_leaves_at_the_deadline(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, calls = threading.Event(), []

    def slow(host: str, *_: Any, **__: Any) -> Any:
        calls.append(host)
        gate.wait(SOON)
        return ONE

    resolving(monkeypatch, slow)
    began = time.monotonic()
    for _ in range(3):
        got = names.addresses("slow.example", Deadline.after(0.05))
        assert isinstance(got, Trouble) and got.cause is Cause.DEADLINE
    assert time.monotonic() - began < 1
    gate.set()
    assert isinstance(names.addresses("slow.example", Deadline.after(SOON)), Addresses)
    assert calls == ["slow.example"]


def test_names_that_hang_do_not_delay_a_name_that_resolved_before(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def lookup(host: str, *_: Any, **__: Any) -> Any:
        if host.startswith("dead"):
            gate.wait(SOON)
        return ONE

    resolving(monkeypatch, lookup)
    names.addresses("good.example", Deadline.after(SOON))
    for number in range(NEW_THREADS * 2):
        names.addresses(f"dead{number}.example", Deadline.after(0.0))
    began = time.monotonic()
    assert isinstance(names.addresses("good.example", Deadline.after(SOON)), Addresses)
    assert time.monotonic() - began < 1
    gate.set()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), Cause.DNS_NOT_FOUND),
        (socket.gaierror(socket.EAI_NODATA, "x"), Cause.DNS_NOT_FOUND),
        (socket.gaierror(socket.EAI_AGAIN, "x"), Cause.DNS_FAILING),
        (socket.gaierror(socket.EAI_FAIL, "x"), Cause.DNS_FAILING),
        (socket.gaierror(socket.EAI_SYSTEM, "x"), Cause.DNS_FAILING),
        (UnicodeError("label too long"), Cause.DNS_NOT_FOUND),
        (OSError(24, "too many open files"), Cause.DNS_FAILING),
    ],
)
def test_only_what_says_that_there_is_no_such_name_is_told_as_that(
    names: Names, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Cause
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise error

    resolving(monkeypatch, fails)
    got = names.addresses("x.example", Deadline.after(SOON))
    assert isinstance(got, Trouble) and got.cause is cause


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1"])
def test_spellings_that_only_c_takes_for_an_address_are_no_host(names: Names, host: str) -> None:
    got = names.addresses(host, Deadline.after(SOON))
    assert isinstance(got, Trouble) and got.cause is Cause.DNS_NOT_FOUND


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".example", "a\0b", ""])
def test_no_host_makes_it_raise(names: Names, host: str) -> None:
    assert isinstance(names.addresses(host, Deadline.after(SOON)), Trouble | Addresses)


def test_a_bug_in_a_lookup_surfaces_and_the_next_one_is_tried(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    resolving(monkeypatch, bug)
    for _ in range(NEW_THREADS + 2):
        with pytest.raises(ZeroDivisionError):
            names.addresses("x.example", Deadline.after(SOON))
