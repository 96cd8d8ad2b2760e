"""Many questions side by side: shared flights, deadlines, freshness, lanes, the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.scripted.values import (
    AMY,
    BASIC,
    BOT,
    Answer,
    Registry,
    found,
    header,
    image,
    reply,
    target,
)
from webhook.credentials.keyring import Credential
from webhook.deadline import Deadline
from webhook.registry import lanes as lanes_module
from webhook.registry.lanes import SILENT_LANE, STRANGERS_LANE, THREADS, Lanes, OverloadedError
from webhook.registry.memory import MAX_ENTRIES, Memory
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.resolver import Question, Resolver
from webhook.registry.settings import CacheTimes, Depth, RegistryEntry, RegistrySettings
from webhook.registry.tags import near_tags
from webhook.registry.wire import Ask, Reply, Trouble

SOON = 5.0


class Sender:
    """A transport that asks a function, and counts."""

    def __init__(self, answer: Callable[[Ask, Deadline], Answer]) -> None:
        self.asks: list[Ask] = []
        self.closed = False
        self._answer = answer

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        self.asks.append(ask)
        return self._answer(ask, deadline)

    def close(self) -> None:
        self.closed = True


@contextmanager
def resolver(
    answer: Callable[[Ask, Deadline], Answer],
    settings: RegistrySettings | None = None,
    *,
    flight_seconds: float = 2.0,
    max_waiting: int = 32,
) -> Iterator[tuple[Resolver, Sender]]:
    sender = Sender(answer)
    made = Resolver(
        settings or RegistrySettings(depth=Depth.EXISTS),
        sender,
        flight_seconds=flight_seconds,
        max_waiting=max_waiting,
    )
    try:
        yield made, sender
    finally:
        made.close()


def at_once(answer: Answer) -> Callable[[Ask, Deadline], Answer]:
    return lambda _ask, _deadline: answer


def ask(*names: str, by: tuple[Credential, ...] = ()) -> list[Question]:
    return [Question(image(name), by) for name in names]


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


NAME = "reg.example/acme/app:1"


# -- side by side, each asked once ----------------------------------------------------------


def test_images_are_asked_side_by_side_and_answered_in_their_order() -> None:
    gate = threading.Barrier(4)

    def answer(one: Ask, _: Deadline) -> Answer:
        gate.wait(SOON)
        return reply(403) if "/b/" in one.url else found()

    with resolver(answer) as (made, _sender):
        names = [f"{letter}.example/{letter}/x:1" for letter in "abcd"]
        got = made.predict_all(ask(*names), Deadline.after(SOON))
    assert [o.pull for o in got] == [Pull.OK, Pull.FAILS, Pull.OK, Pull.OK]


def test_equal_questions_of_one_review_are_one_exchange() -> None:
    with resolver(at_once(found())) as (made, sender):
        made.predict_all(ask(*[NAME] * 20, by=(BOT,)), Deadline.after(SOON))
        assert len(sender.asks) == 1
        made.predict_all(ask(NAME, by=(BOT,)), Deadline.after(SOON))
        assert len(sender.asks) == 1


def test_even_an_answer_that_is_never_kept_serves_all_equal_questions_of_one_review() -> None:
    with resolver(at_once(Trouble(Cause.REFUSED))) as (made, sender):
        got = made.predict_all(ask(*[NAME] * 200), Deadline.after(SOON))
    assert {o.cause for o in got} == {Cause.REFUSED}
    assert len(sender.asks) == 1


def test_reviews_that_ask_the_same_at_once_share_a_flight() -> None:
    go = threading.Event()

    def answer(_ask: Ask, _deadline: Deadline) -> Answer:
        go.wait(SOON)
        return found()

    with resolver(answer) as (made, sender):
        got: list[Outcome] = []
        threads = [
            threading.Thread(
                target=lambda: got.extend(made.predict_all(ask(NAME), Deadline.after(SOON)))
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(sender.asks) == 1)
        go.set()
        for thread in threads:
            thread.join(SOON)
    assert len(sender.asks) == 1
    assert [o.pull for o in got] == [Pull.OK] * 8


def test_thousands_of_instant_flights_leave_nobody_waiting() -> None:
    """A flight that has already landed calls back in the thread that asks for it."""
    with resolver(at_once(Trouble(Cause.REFUSED))) as (made, _sender):
        done = threading.Event()

        def many() -> None:
            for number in range(1500):
                made.predict_all(ask(f"reg.example/a/b:{number % 3}"), Deadline.after(SOON))
            done.set()

        threads = [threading.Thread(target=many, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert made._flights == {}
        wait_until(lambda: made._lanes._lanes == {})


# -- deadlines -------------------------------------------------------------------------------


def test_a_review_leaves_at_its_deadline_and_the_flight_lands_for_the_next() -> None:
    go = threading.Event()

    def answer(_ask: Ask, _deadline: Deadline) -> Answer:
        go.wait(SOON)
        return found()

    with resolver(answer) as (made, sender):
        began = time.monotonic()
        (first,) = made.predict_all(ask(NAME), Deadline.after(0.1))
        assert 0.1 <= time.monotonic() - began < 0.6
        assert (first.pull, first.cause) == (Pull.UNKNOWN, Cause.DEADLINE)
        go.set()
        wait_until(lambda: made._flights == {})
        (second,) = made.predict_all(ask(NAME), Deadline.after(0.0))
    assert second.pull is Pull.OK
    assert len(sender.asks) == 1


def test_what_only_explains_has_a_second_and_no_more() -> None:
    left: list[float] = []

    def answer(one: Ask, deadline: Deadline) -> Answer:
        left.append(deadline.left())
        return Trouble(Cause.DEADLINE) if one.explains else reply(404)

    with resolver(answer, flight_seconds=5.0) as (made, _sender):
        (got,) = made.predict_all(ask(NAME), Deadline.after(SOON))
    assert got.cause is Cause.MANIFEST_UNKNOWN
    assert left[0] > 4.0 and left[1] <= 1.0


# -- what is remembered -------------------------------------------------------------------------


def test_no_denial_rests_on_an_answer_older_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    memory = Memory(CacheTimes())
    key = memory.key(target(), ())
    missing = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, asked_at=clock[0])
    memory.keep(key, missing)
    assert memory.recall(key, denial=True) == missing
    clock[0] += 1.01
    assert memory.recall(key, denial=True) is None
    assert memory.recall(key) == missing
    clock[0] += 4
    assert memory.recall(key) is None


def test_an_answer_is_as_old_as_the_last_request_that_it_rests_on() -> None:
    def answer(one: Ask, _: Deadline) -> Answer:
        if one.explains:
            time.sleep(0.2)
        return reply(404)

    with resolver(answer) as (made, _sender):
        (got,) = made.predict_all(ask(NAME), Deadline.after(SOON))
    assert time.monotonic() - got.asked_at >= 0.2


def test_a_denial_does_not_join_a_flight_that_set_out_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhook.registry.resolver.FRESH_SECONDS", 0.05)
    go = threading.Event()
    first = threading.Event()

    def answer(one: Ask, _: Deadline) -> Answer:
        if one.explains:
            return reply(404)
        if not first.is_set():
            first.set()
            go.wait(SOON)
            return reply(404)
        return found()

    with resolver(answer) as (made, _sender):
        made.predict_all(ask(NAME), Deadline.after(0.1))
        (fresh,) = made.predict_all(ask(NAME), Deadline.after(SOON), denial=True)
        assert fresh.pull is Pull.OK
        go.set()
        wait_until(lambda: made._flights == {})
        time.sleep(0.05)
        (kept,) = made.predict_all(ask(NAME), Deadline.after(SOON))
    assert kept.pull is Pull.OK, "an older answer that lands later must not win"


def test_a_rejected_password_is_not_sent_again_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry(asks_for=(BASIC,), takes=lambda _: False)
    with resolver(lambda one, _: registry(one)) as (made, sender):
        question = ask(NAME, by=(BOT,))
        made.predict_all(question, Deadline.after(SOON))
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 59)
        made.predict_all(question, Deadline.after(SOON), denial=True)
        assert sum(header(one, "authorization") != "" for one in sender.asks) == 1
        made.predict_all(ask(NAME, by=(AMY,)), Deadline.after(SOON), denial=True)
        assert sum(header(one, "authorization") != "" for one in sender.asks) == 2
        monkeypatch.setattr(time, "monotonic", lambda: now + 62)
        made.predict_all(question, Deadline.after(SOON + 62), denial=True)
        assert sum(header(one, "authorization") != "" for one in sender.asks) == 3


def test_a_key_never_mixes_credentials() -> None:
    memory = Memory(CacheTimes())
    bot = Credential("secret/a", "k", "bot", "pw")
    others: list[tuple[Credential, ...]] = [
        (),
        (bot,),
        (bot, bot),
        (replace(bot, password="p"),),
        (replace(bot, username="botp", password="w"),),
        (replace(bot, source="secret/abot", username="", password="pw"),),
        (replace(bot, source="secret/b"),),
        (replace(bot, password="pw\ud800"),),
        (AMY, BOT),
        (BOT, AMY),
    ]
    keys = {memory.key(target(), tried) for tried in others}
    assert len(keys) == len(others)
    assert memory.key(target(), (bot,)) == memory.key(target(), (replace(bot),))
    assert Memory(CacheTimes()).key(target(), (bot,)) != memory.key(target(), (bot,))
    assert "pw" not in str(keys)


@pytest.mark.parametrize(
    "cause",
    [
        Cause.DEADLINE,
        Cause.OVERLOADED,
        Cause.REFUSED,
        Cause.RESET,
        Cause.DNS_NOT_FOUND,
        Cause.SERVER_ERROR,
        Cause.TOO_MANY_REQUESTS,
        Cause.TOKEN_SERVICE_FAILING,
        Cause.CERTIFICATE_EXPIRED,
        Cause.CREDENTIAL_WITHHELD,
        Cause.EGRESS_REFUSED,
    ],
)
def test_what_failed_in_passing_is_never_kept(cause: Cause) -> None:
    memory = Memory(CacheTimes())
    key = memory.key(target(), ())
    for pull in (Pull.FAILS, Pull.UNKNOWN):
        memory.keep(key, Outcome(pull, cause, asked_at=time.monotonic()))
        assert memory.recall(key) is None


def test_the_memory_is_bounded() -> None:
    memory, where = Memory(CacheTimes()), target()
    for number in range(MAX_ENTRIES + 10):
        memory.keep((where, str(number)), Outcome(Pull.OK, asked_at=time.monotonic()))
    assert len(memory._kept) == MAX_ENTRIES
    assert memory.recall((where, "0")) is None


# -- overload, bugs, the end -----------------------------------------------------------------


def test_past_its_seats_a_review_is_overloaded_but_what_is_known_is_told() -> None:
    go = threading.Event()

    def answer(one: Ask, _: Deadline) -> Answer:
        if "slow" in one.url:
            go.wait(SOON)
        return found()

    with resolver(answer, max_waiting=1) as (made, _sender):
        made.predict_all(ask(NAME), Deadline.after(SOON))
        slow = threading.Thread(
            target=made.predict_all, args=(ask("reg.example/slow/x:1"), Deadline.after(SOON))
        )
        slow.start()
        wait_until(lambda: made._seats._value == 0)
        got = made.predict_all(ask(NAME, "reg.example/new/x:1"), Deadline.after(SOON))
        go.set()
        slow.join(SOON)
        (after,) = made.predict_all(ask("reg.example/new/x:1"), Deadline.after(SOON))
    assert [(o.pull, o.cause) for o in got] == [
        (Pull.OK, None),
        (Pull.UNKNOWN, Cause.OVERLOADED),
    ]
    assert after.pull is Pull.OK


def test_a_bug_surfaces_to_whoever_waits_and_leaks_no_lane() -> None:
    def answer(_ask: Ask, _deadline: Deadline) -> Answer:
        raise ZeroDivisionError

    with resolver(answer) as (made, _sender):
        for _ in range(STRANGERS_LANE + 8):
            with pytest.raises(ZeroDivisionError):
                made.predict_all(ask(NAME), Deadline.after(SOON))
        assert made._flights == {}
        assert made._lanes._lanes == {}


def test_closing_while_a_flight_is_under_way_leaves_nobody_waiting() -> None:
    go = threading.Event()
    settings = RegistrySettings(
        depth=Depth.EXISTS, registries=(RegistryEntry("reg.example", concurrency=1),)
    )

    def answer(_ask: Ask, _deadline: Deadline) -> Answer:
        go.wait(SOON)
        return found()

    with resolver(answer, settings) as (made, sender):
        got: list[Outcome] = []
        names = [f"reg.example/a/b:{n}" for n in range(5)]
        review = threading.Thread(
            target=lambda: got.extend(made.predict_all(ask(*names), Deadline.after(SOON)))
        )
        review.start()
        wait_until(lambda: len(sender.asks) == 1)
        made.close()
        go.set()
        review.join(2)
        assert not review.is_alive()
        (late,) = made.predict_all(ask("reg.example/late/x:1"), Deadline.after(SOON))
    assert [o.pull for o in got] == [Pull.OK] + [Pull.UNKNOWN] * 4
    assert {o.cause for o in got[1:]} == {Cause.OVERLOADED}
    assert late.cause is Cause.OVERLOADED
    assert sender.closed


# -- lanes ---------------------------------------------------------------------------------------


def test_eighty_questions_to_a_dead_host_do_not_delay_a_good_one() -> None:
    def answer(one: Ask, deadline: Deadline) -> Answer:
        if "dead" in one.url:
            time.sleep(deadline.left())
            return Trouble(Cause.DEADLINE)
        return found()

    with resolver(answer, flight_seconds=0.5) as (made, _sender):
        made.predict_all(ask(NAME), Deadline.after(SOON))
        dead = [f"dead{n % 80}.example/a/b:1" for n in range(80)]
        flood = threading.Thread(
            target=made.predict_all, args=(ask(*dead), Deadline.after(SOON)), daemon=True
        )
        flood.start()
        wait_until(lambda: len(made._flights) > STRANGERS_LANE)
        took = []
        for number in range(20):
            began = time.monotonic()
            made.predict_all(ask(f"reg.example/acme/app:n{number}"), Deadline.after(SOON))
            took.append(time.monotonic() - began)
        flood.join(SOON)
    assert max(took) < 0.3


def lanes() -> Lanes[str]:
    return Lanes()


def test_a_lane_is_as_wide_as_it_says_and_in_order_of_arrival() -> None:
    made, gate, most = lanes(), threading.Event(), [0]
    running: list[int] = []
    order: list[int] = []
    lock = threading.Lock()

    def job(number: int) -> str:
        with lock:
            running.append(number)
            order.append(number)
            most[0] = max(most[0], len(running))
        gate.wait(SOON)
        with lock:
            running.remove(number)
        return str(number)

    futures = [made.submit("a", 3, lambda n=n: job(n)) for n in range(12)]  # type: ignore[misc]
    wait_until(lambda: len(running) == 3)
    gate.set()
    assert [f.result(SOON) for f in futures] == [str(n) for n in range(12)]
    assert most[0] == 3
    assert sorted(order[:3]) == [0, 1, 2]
    made.close()


def test_a_host_that_fell_silent_shares_the_small_lane_with_what_waited_for_it() -> None:
    made, gate = lanes(), threading.Event()
    running = [0]
    lock = threading.Lock()

    def job() -> str:
        with lock:
            running[0] += 1
        gate.wait(SOON)
        return ""

    made.heard("dead")
    futures = [made.submit("dead", 2, job) for _ in range(60)]
    wait_until(lambda: running[0] == 2)
    made.silent("dead")
    futures += [made.submit("dead", 2, job) for _ in range(10)]
    wait_until(lambda: running[0] == 2 + SILENT_LANE - 6 or running[0] == 12)
    gate.set()
    for future in futures:
        future.result(SOON)
    assert running[0] == 70
    made.close()


def test_silent_hosts_and_strangers_leave_threads_to_those_that_answer() -> None:
    assert SILENT_LANE + STRANGERS_LANE < THREADS
    made, gate = lanes(), threading.Event()
    for number in range(100):
        made.submit(f"new{number}", 32, lambda: str(gate.wait(SOON)))
        made.silent(f"dead{number}")
        made.submit(f"dead{number}", 32, lambda: str(gate.wait(SOON)))
    made.heard("good")
    assert made.submit("good", 32, lambda: "quick").result(1) == "quick"
    gate.set()
    made.close()


def test_too_many_jobs_and_jobs_that_waited_too_long_are_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes_module, "MAX_QUEUED", 3)
    monkeypatch.setattr(lanes_module, "QUEUED_SECONDS", 0.05)
    made, gate = lanes(), threading.Event()
    first = made.submit("a", 1, lambda: str(gate.wait(SOON)))
    waiting = [made.submit("a", 1, lambda: "ran") for _ in range(5)]
    with pytest.raises(OverloadedError):
        waiting[4].result(0)
    time.sleep(0.1)
    gate.set()
    assert first.result(SOON) == "True"
    for future in waiting:
        with pytest.raises(OverloadedError):
            future.result(SOON)
    assert made.submit("a", 1, lambda: "again").result(SOON) == "again"
    made.close()


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    """A pod of a thousand bad images must not keep the next pod's one image waiting."""
    lanes: Lanes[int] = Lanes(threads=4)
    held = threading.Event()
    first = lanes.submit("reg.example", 1, lambda: int(held.wait(5)))
    begun: list[int] = []

    def job(number: int) -> Callable[[], int]:
        def run() -> int:
            begun.append(number)
            return number

        return run

    past, later = time.monotonic() - 1, time.monotonic() + 60
    left = [lanes.submit("reg.example", 1, job(n), lambda: past) for n in range(100)]
    wanted = lanes.submit("reg.example", 1, job(100), lambda: later)
    held.set()
    assert (first.result(5), wanted.result(5)) == (1, 100)
    assert begun == [100]
    for future in left:
        with pytest.raises(OverloadedError):
            future.result(5)
    lanes.close()


def test_a_callback_may_come_straight_back_to_the_lanes() -> None:
    made, done = lanes(), threading.Event()

    def again(_: object) -> None:
        made.submit("a", 1, lambda: "second").add_done_callback(lambda _: done.set())

    made.submit("a", 1, lambda: "first").add_done_callback(again)
    assert done.wait(SOON)
    made.close()


def test_near_tags_of_a_hostile_list_cost_little() -> None:
    hostile = ["aba" * 41 + f"{number:03}" for number in range(1000)]
    began = time.perf_counter()
    near_tags("aab" * 40, hostile)
    assert time.perf_counter() - began < 0.4
