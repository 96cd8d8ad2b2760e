"""Nodes and namespaces are listed in pages, then watched, whatever the API server does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.scripted_api import ScriptedApi, in_pages, listed
from tests.unit.test_cluster_live import kubeconfig
from webhook.cluster import informer, watched
from webhook.cluster.live import LiveView
from webhook.cluster.nodes import Fleet, Nodes
from webhook.cluster.view import Unreadable
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

IMAGE = "docker.io/library/nginx:1.27"
OTHER = "docker.io/library/redis:7"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(informer, "RELIST_SECONDS", 0.1)
    monkeypatch.setattr(informer, "_SHORT", 0.02)
    monkeypatch.setattr(watched, "SNAPSHOT_SECONDS", 0.05)


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    server = ScriptedApi()
    yield server
    server.close()


@pytest.fixture
def view(api: ScriptedApi, tmp_path: Path) -> Iterator[LiveView]:
    live = LiveView(kubeconfig(tmp_path, api.url))
    yield live
    live.close()


def node(name: str, *images: str, version: str = "11", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "resourceVersion": version},
        "spec": spec,
        "status": {"images": [{"names": [image]} for image in images]},
    }


def names(view: LiveView) -> list[str]:
    found = view.nodes(Deadline.after(5))
    assert isinstance(found, Nodes), found
    return sorted(one.name for one in found.nodes)


def soon(what: Callable[[], bool]) -> bool:
    """Tell whether something becomes true within seconds."""
    end = time.monotonic() + 10
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def holding(view: LiveView, image: str) -> tuple[str, ...]:
    found = view.nodes(Deadline.after(5))
    return found.holding(image) if isinstance(found, Nodes) else ()


def test_a_list_comes_in_pages_of_500_and_a_watch_goes_on_from_its_version(
    api: ScriptedApi, view: LiveView
) -> None:
    api.nodes.pages = in_pages([node(f"n{i:04}") for i in range(1001)], 500)
    assert len(names(view)) == 1001
    assert api.nodes.watching.wait(5)
    assert [q.get("continue") for q in api.nodes.lists] == [None, "500", "1000"]
    assert {q["limit"] for q in api.nodes.lists} == {"500"}
    [watch] = api.nodes.watched
    assert watch["resourceVersion"] == "10"
    assert watch["allowWatchBookmarks"] == "true"
    assert 240 <= int(watch["timeoutSeconds"]) <= 300


def test_what_is_added_modified_and_deleted_is_seen(api: ScriptedApi, view: LiveView) -> None:
    api.nodes.pages = lambda _: (200, listed([node("a"), node("b")]))
    assert names(view) == ["a", "b"]
    api.nodes.send("ADDED", node("c", IMAGE))
    assert soon(lambda: holding(view, IMAGE) == ("c",))
    api.nodes.send("MODIFIED", node("a", IMAGE))
    assert soon(lambda: sorted(holding(view, IMAGE)) == ["a", "c"])
    api.nodes.send("MODIFIED", node("c", OTHER))
    api.nodes.send("DELETED", node("b"))
    assert soon(lambda: holding(view, IMAGE) == ("a",) and names(view) == ["a", "c"])
    assert len(api.nodes.lists) == 1


def test_a_heartbeat_makes_no_new_snapshot(api: ScriptedApi, view: LiveView) -> None:
    api.nodes.pages = lambda _: (200, listed([node("a", IMAGE), node("b")]))
    first = view.nodes(Deadline.after(5))
    for version in range(20, 40):
        api.nodes.send("MODIFIED", node("a", IMAGE, version=str(version)))
    api.nodes.send("MODIFIED", node("b", OTHER))
    assert soon(lambda: holding(view, OTHER) == ("b",))
    second = view.nodes(Deadline.after(5))
    assert isinstance(first, Nodes)
    assert isinstance(second, Nodes)
    assert second.scheduling is first.scheduling, "images alone change nothing for the scheduler"


def test_changes_are_gathered_into_few_snapshots(
    api: ScriptedApi, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "SNAPSHOT_SECONDS", 0.3)
    api.nodes.pages = lambda _: (200, listed([node("a")]))
    names(view)
    made: list[Fleet] = []
    build = Fleet.snapshot

    def counted(fleet: Fleet) -> Nodes:
        made.append(fleet)
        return build(fleet)

    monkeypatch.setattr(Fleet, "snapshot", counted)
    for number in range(200):
        api.nodes.send("ADDED", node(f"n{number}"))
    assert soon(lambda: len(names(view)) == 201)
    assert len(made) <= 5


def test_a_watch_that_ends_goes_on_from_the_last_bookmark(api: ScriptedApi, view: LiveView) -> None:
    api.nodes.pages = lambda _: (200, listed([node("a")]))
    names(view)
    api.nodes.send("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": "99"}})
    api.nodes.end()
    assert soon(lambda: len(api.nodes.watched) >= 2)
    assert [q["resourceVersion"] for q in api.nodes.watched][:2] == ["10", "99"]
    assert len(api.nodes.lists) == 1


@pytest.mark.parametrize("by_event", [True, False])
def test_a_version_that_is_gone_is_listed_anew_and_what_went_is_let_go(
    api: ScriptedApi, view: LiveView, by_event: bool
) -> None:
    api.nodes.pages = lambda _: (200, listed([node("a"), node("b")]))
    assert names(view) == ["a", "b"]
    assert api.nodes.watching.wait(5)
    api.nodes.pages = lambda _: (200, listed([node("b"), node("c")], version="50"))
    gone = {"kind": "Status", "code": 410, "reason": "Expired"}
    if by_event:
        api.nodes.send("ERROR", gone)
    else:
        answers = iter([(410, gone)])
        api.nodes.watches = lambda _: next(answers, (500, {}))
        api.nodes.end()
    assert soon(lambda: names(view) == ["b", "c"])
    assert len(api.nodes.lists) == 2


def test_a_list_that_expires_half_way_begins_anew(api: ScriptedApi, view: LiveView) -> None:
    pages = in_pages([node("a"), node("b")], 1)
    once = iter([True])

    def expiring(query: Mapping[str, str]) -> tuple[int, Any]:
        if "continue" in query and next(once, False):
            return 410, {"kind": "Status", "code": 410}
        return pages(query)  # type: ignore[no-any-return] # it answers as any page

    api.nodes.pages = expiring
    view.nodes(Deadline.after(5))
    assert soon(lambda: isinstance(view.nodes(Deadline.after(5)), Nodes))
    assert names(view) == ["a", "b"]


@pytest.mark.parametrize("code", [401, 403])
def test_what_may_not_be_listed_is_undecided_at_once_and_tried_again(
    api: ScriptedApi, view: LiveView, code: int
) -> None:
    api.nodes.pages = lambda _: (code, {"kind": "Status", "code": code})
    found = view.nodes(Deadline.after(60))
    assert isinstance(found, Unreadable)
    assert found.cause is Cause.CLUSTER_UNAVAILABLE
    assert found.why == f"pullproof may not list nodes: the API server answers {code}"
    api.nodes.pages = lambda _: (200, listed([node("a")]))
    assert soon(lambda: isinstance(view.nodes(Deadline.after(1)), Nodes))


def test_where_a_watch_is_not_allowed_lists_follow_each_other(
    api: ScriptedApi, view: LiveView, caplog: pytest.LogCaptureFixture
) -> None:
    api.nodes.pages = lambda _: (200, listed([node("a")]))
    api.nodes.watches = lambda _: (403, {"kind": "Status", "code": 403})
    with caplog.at_level(logging.WARNING):
        assert names(view) == ["a"]
        api.nodes.pages = lambda _: (200, listed([node("b")]))
        assert soon(lambda: names(view) == ["b"])
        assert soon(lambda: len(api.nodes.lists) >= 4)
    assert [r.message for r in caplog.records].count(
        "may not watch nodes (403): they are listed every 0 s"
    ) == 1


def test_a_first_list_without_an_end_is_left_at_the_deadline(
    api: ScriptedApi, view: LiveView
) -> None:
    def slow(_: Mapping[str, str]) -> tuple[int, Any]:
        api.over.wait(5)
        return 200, listed([])

    api.nodes.pages = slow
    began = time.monotonic()
    found = view.nodes(Deadline.after(0.2))
    assert time.monotonic() - began < 2
    assert isinstance(found, Unreadable)
    assert found.why == "cannot list nodes: no answer in time"
    assert view.watched() is not None
    api.over.set()


def test_what_was_known_is_kept_while_the_api_server_fails_but_not_for_ever(
    api: ScriptedApi, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.nodes.pages = lambda _: (200, listed([node("a")]))
    assert names(view) == ["a"]
    api.nodes.watches = lambda _: (500, {"kind": "Status", "code": 500})
    api.nodes.end()
    assert soon(lambda: len(api.nodes.watched) > 3)
    assert names(view) == ["a"]
    monkeypatch.setattr(informer, "MAX_AGE", 0.0)
    found = view.nodes(Deadline.after(1))
    assert isinstance(found, Unreadable)
    assert "nodes were last heard of" in found.why


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b'{"items": null}',
        b'{"items": [1]}',
        b'{"items": [{}',
        b'{"items": [{}] "a": 1}',
        b"\xff",
        b"[" * 100_000,
        b'{"items": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_list_is_undecided(api: ScriptedApi, view: LiveView, body: bytes) -> None:
    api.nodes.pages = lambda _: (200, body)
    found = view.nodes(Deadline.after(5))
    assert isinstance(found, Unreadable)
    assert found.why == "cannot list nodes: the API server's answer cannot be read"


@pytest.mark.parametrize(
    "event", [b'{"type": "ADDED"}', b'{"object": 1}', b"[]", b"{}", b"{", b"1"]
)
def test_an_event_of_another_shape_leads_to_a_new_list(
    api: ScriptedApi, view: LiveView, event: bytes
) -> None:
    def wrong(_: Mapping[str, str]) -> tuple[int, bytes]:
        api.nodes.watches = None
        api.nodes.pages = lambda _: (200, listed([node("b")]))
        return 200, event + b"\n"

    api.nodes.watches = wrong
    api.nodes.pages = lambda _: (200, listed([node("a")]))
    assert soon(lambda: names(view) == ["b"])
    api.nodes.send("ADDED", node("c"))
    assert soon(lambda: names(view) == ["b", "c"])


def test_namespaces_are_watched_once_the_view_is_started(api: ScriptedApi, view: LiveView) -> None:
    space = {"metadata": {"name": "shop", "labels": {"tier": "a"}, "resourceVersion": "3"}}
    api.namespaces.pages = lambda _: (200, listed([space]))
    view.start()
    assert soon(lambda: view.watched() is None)
    assert view.namespace_labels("shop", Deadline.after(1)) == {"tier": "a"}
    changed = {"metadata": {"name": "shop", "labels": {"tier": "b"}, "resourceVersion": "4"}}
    api.namespaces.send("MODIFIED", changed)
    assert soon(lambda: view.namespace_labels("shop", Deadline.after(1)) == {"tier": "b"})
    api.namespaces.send("DELETED", changed)
    assert soon(lambda: isinstance(view.namespace_labels("shop", Deadline.after(1)), Unreadable))


def test_closing_cuts_an_open_watch_at_once(api: ScriptedApi, tmp_path: Path) -> None:
    live = LiveView(kubeconfig(tmp_path, api.url))
    live.start()
    assert api.nodes.watching.wait(5)
    assert api.namespaces.watching.wait(5)
    began = time.monotonic()
    live.close()
    assert time.monotonic() - began < 0.9
    assert isinstance(LiveView.nodes(live, Deadline.after(0.1)), Nodes | Unreadable)


def test_what_nodes_leave_open_is_logged_once(
    api: ScriptedApi, view: LiveView, caplog: pytest.LogCaptureFixture
) -> None:
    full = node("full", *(f"r.example/{i}:1" for i in range(50)))
    api.nodes.pages = lambda _: (200, listed([full, node("bare")]))
    with caplog.at_level(logging.WARNING):
        names(view)
        api.nodes.send("ADDED", node("late"))
        assert soon(lambda: len(names(view)) == 3)
    lines = [record.message for record in caplog.records]
    assert (
        len(
            [
                line
                for line in lines
                if "the lists of 1 of 2 nodes are as long as they can be" in line
            ]
        )
        == 1
    )
    assert len([line for line in lines if "2 of 2 nodes tell no platform" in line]) == 1
