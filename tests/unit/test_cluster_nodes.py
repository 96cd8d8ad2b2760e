"""Which nodes a view tells of: listed in pages by an API server, or read from manifests."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_cluster_live import ApiServer, kubeconfig, status
from webhook.cluster.live import LiveView
from webhook.cluster.manifests import ManifestView
from webhook.cluster.nodes import Nodes
from webhook.cluster.none import NoCluster
from webhook.cluster.view import Unreadable
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

FIRST = "/api/v1/nodes?limit=500"
SECOND = "/api/v1/nodes?continue=more&limit=500"
IMAGE = "docker.io/library/nginx:1.27"


def node(name: str, *images: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"images": [{"names": list(images)}]}}


def page(*items: dict[str, Any], more: str = "") -> tuple[int, Any]:
    metadata = {"continue": more} if more else {}
    return 200, {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": items}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def view(api: ApiServer, tmp_path: Path) -> Iterator[LiveView]:
    live = LiveView(kubeconfig(tmp_path, api.url))
    yield live
    live.close()


def soon() -> Deadline:
    return Deadline.after(5)


def nodes_in_time(view: LiveView) -> Nodes:
    """Return the nodes once they are known; a list that failed is tried again."""
    end = time.monotonic() + 10
    while not isinstance(found := view.nodes(soon()), Nodes):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def test_nodes_are_listed_page_by_page_and_kept(api: ApiServer, view: LiveView) -> None:
    api.answers[FIRST] = page(node("a"), more="more")
    api.answers[SECOND] = page(node("b", IMAGE))
    for _ in range(2):
        found = view.nodes(soon())
        assert isinstance(found, Nodes)
        assert [n.name for n in found.nodes] == ["a", "b"]
        assert found.holding(IMAGE) == ("b",)
    assert api.asked[:2] == [FIRST, SECOND]
    assert FIRST not in api.asked[2:], "what follows is watched"


@pytest.mark.parametrize("code", [401, 403])
def test_nodes_that_may_not_be_listed_are_unknown_not_absent(
    api: ApiServer, view: LiveView, code: int
) -> None:
    api.answers[FIRST] = (code, status(code, "Forbidden"))
    found = view.nodes(soon())
    assert isinstance(found, Unreadable)
    assert found.cause is Cause.CLUSTER_UNAVAILABLE
    assert "pullproof may not list nodes" in found.why


def test_a_list_that_breaks_off_half_way_is_unknown_and_not_kept(
    api: ApiServer, view: LiveView
) -> None:
    api.answers[FIRST] = page(node("a"), more="more")
    api.answers[SECOND] = (500, status(500, "InternalError"))
    assert isinstance(view.nodes(soon()), Unreadable)
    api.answers[SECOND] = page(node("b"))
    assert sorted(node.name for node in nodes_in_time(view).nodes) == ["a", "b"]


@pytest.mark.parametrize("items", [None, {}, "x", [None], [7], [[]]])
def test_a_list_of_another_shape_raises_nothing(api: ApiServer, view: LiveView, items: Any) -> None:
    api.answers[FIRST] = (200, {"kind": "NodeList", "metadata": None, "items": items})
    found = view.nodes(soon())
    assert isinstance(found, Nodes | Unreadable)
    assert isinstance(found, Unreadable) or not found.holding(IMAGE)


def test_manifests_tell_of_the_nodes_that_they_describe(tmp_path: Path) -> None:
    (tmp_path / "nodes.yaml").write_text(
        "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n"
        f"status: {{images: [{{names: ['{IMAGE}']}}]}}\n"
    )
    found = ManifestView(tmp_path).nodes(soon())
    assert isinstance(found, Nodes)
    assert found.holding(IMAGE) == ("a",)


def test_without_a_cluster_no_node_is_known() -> None:
    assert NoCluster().nodes(soon()) == Nodes()
