"""The races in a row: a cluster in memory that lets another writer in at the worst moment."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certs.agree import ATTEMPTS, Done, agree, bundle_of, identity_in, publish
from certs.authority import LEAF_LIFETIME, Pair, new_authority
from certs.bundle import verifies
from certs.cluster import ApiServer, ClusterError, Object, _failure
from certs.identity import Identity, fault_of, new_identity

NAMES = ["hook.ns.svc"]


class Memory:
    """One Secret and one configuration, with the API server's optimistic lock.

    ``meanwhile`` runs between a read and the write that follows it.
    """

    def __init__(self) -> None:
        self.version = 0
        self.stored: dict[str, Any] | None = None
        self.webhooks: dict[str, Any] = {}
        self.meanwhile: list[Callable[[], None]] = []
        self.writes: list[str] = []

    def put(self, data: dict[str, bytes], kind: str = "kubernetes.io/tls") -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        self.stored = {"metadata": {"resourceVersion": self._next()}, "type": kind, "data": encoded}

    def configure(self, *bundles: bytes) -> None:
        self.webhooks = {
            "metadata": {"resourceVersion": self._next()},
            "webhooks": [
                {"clientConfig": {"caBundle": base64.b64encode(bundle).decode()}}
                for bundle in bundles
            ],
        }

    def bundles(self) -> list[bytes]:
        return [bundle_of(webhook) for webhook in self.webhooks["webhooks"]]

    def secret(self, namespace: str, name: str) -> Object:
        if self.stored is None:
            raise ClusterError(f"{namespace}/{name}", 404)
        return copy.deepcopy(self.stored)

    def create_secret(self, namespace: str, name: str, body: Object) -> Object:
        self._interrupt()
        if self.stored is not None:
            raise ClusterError(f"{namespace}/{name}", 409)
        return self._store("create", body)

    def replace_secret(self, namespace: str, name: str, body: Object) -> Object:
        self._interrupt()
        if self.stored is None:
            raise ClusterError(f"{namespace}/{name}", 404)
        if body["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            raise ClusterError(f"{namespace}/{name}", 409)
        return self._store("replace", body)

    def configuration(self, name: str) -> Object:
        if not self.webhooks:
            raise ClusterError(name, 404)
        return copy.deepcopy(self.webhooks)

    def patch_configuration(self, name: str, patch: Sequence[Object]) -> Object:
        self._interrupt()
        first, *rest = patch
        assert first["path"] == "/metadata/resourceVersion"
        if first["value"] != self.webhooks["metadata"]["resourceVersion"]:
            raise ClusterError(name, 409)
        for change in rest:
            index = int(change["path"].split("/")[2])
            self.webhooks["webhooks"][index]["clientConfig"]["caBundle"] = change["value"]
        self.webhooks["metadata"]["resourceVersion"] = self._next()
        self.writes.append("patch")
        return self.webhooks

    def _store(self, how: str, body: Object) -> Object:
        self.stored = json.loads(json.dumps(body))
        self.stored["metadata"]["resourceVersion"] = self._next()
        self.writes.append(how)
        return self.stored

    def _next(self) -> str:
        self.version += 1
        return str(self.version)

    def _interrupt(self) -> None:
        if self.meanwhile:
            self.meanwhile.pop(0)()


def data(identity: Identity) -> dict[str, bytes]:
    pair = identity.pair
    return {"ca.crt": identity.ca, "tls.crt": pair.certificate, "tls.key": pair.key}


def test_who_finds_no_secret_creates_it() -> None:
    cluster = Memory()
    agreed = agree(cluster, "ns", "tls", NAMES)
    assert agreed.done is Done.CREATED
    assert agreed.identity == identity_in(cluster.secret("ns", "tls"))
    assert fault_of(agreed.identity, NAMES) is None


def test_who_loses_the_creation_reads_the_winner() -> None:
    cluster, winner = Memory(), new_identity(NAMES)
    cluster.meanwhile = [lambda: cluster.put(data(winner))]
    agreed = agree(cluster, "ns", "tls", NAMES)
    assert (agreed.identity, agreed.done) == (winner, Done.UNCHANGED)
    assert cluster.writes == []


def test_who_loses_the_replacement_reads_the_winner() -> None:
    cluster, winner = Memory(), new_identity(NAMES)
    cluster.put({"tls.crt": b"half"})
    cluster.meanwhile = [lambda: cluster.put(data(winner))]
    agreed = agree(cluster, "ns", "tls", NAMES)
    assert (agreed.identity, agreed.done) == (winner, Done.UNCHANGED)


def test_a_secret_that_is_deleted_before_its_replacement_is_created() -> None:
    cluster = Memory()
    cluster.put({})
    cluster.meanwhile = [lambda: setattr(cluster, "stored", None)]
    assert agree(cluster, "ns", "tls", NAMES).done is Done.CREATED


def broken_ones() -> list[tuple[Identity, str]]:
    now = datetime.now(UTC)
    fine, other = new_identity(NAMES), new_identity(NAMES)
    return [
        (new_identity(NAMES, now=now - LEAF_LIFETIME), "ends at"),
        (new_identity(NAMES, now=now - LEAF_LIFETIME + timedelta(days=29)), "ends at"),
        (new_identity(NAMES, now=now + timedelta(days=2)), "not valid before"),
        (new_identity(["else.ns.svc"]), "does not name hook.ns.svc"),
        (Identity(other.ca, fine.pair), "not signed by the authority"),
        (Identity(fine.ca, Pair(fine.pair.certificate, other.pair.key)), "does not belong"),
        (Identity(fine.ca, Pair(fine.pair.certificate, b"hunter2")), "not an unencrypted PEM"),
        (Identity(b"", fine.pair), "no PEM certificate"),
    ]


@pytest.mark.parametrize(("broken", "why"), broken_ones(), ids=lambda value: str(value)[:30])
def test_what_cannot_be_used_is_replaced_and_the_reason_told(broken: Identity, why: str) -> None:
    cluster = Memory()
    cluster.put({**data(broken), "more": b"x"})
    agreed = agree(cluster, "ns", "tls", NAMES)
    assert agreed.done is Done.REPLACED
    assert why in agreed.why
    assert "hunter2" not in agreed.why
    assert fault_of(identity_in(cluster.secret("ns", "tls")), NAMES) is None
    assert "more" in cluster.secret("ns", "tls")["data"]


def test_one_with_a_month_left_is_kept() -> None:
    cluster = Memory()
    old = new_identity(NAMES, now=datetime.now(UTC) - LEAF_LIFETIME + timedelta(days=31))
    cluster.put(data(old))
    assert agree(cluster, "ns", "tls", NAMES).identity == old


def test_a_secret_of_another_type_is_never_overwritten() -> None:
    cluster = Memory()
    cluster.put({}, "kubernetes.io/dockerconfigjson")
    with pytest.raises(ClusterError, match="not one of ours"):
        agree(cluster, "ns", "tls", NAMES)
    assert cluster.writes == []


def test_somebody_who_writes_all_the_time_ends_it() -> None:
    cluster = Memory()
    cluster.put({})
    cluster.meanwhile = [lambda: cluster.put({})] * ATTEMPTS
    with pytest.raises(ClusterError, match="changes faster"):
        agree(cluster, "ns", "tls", NAMES)


def test_a_refusal_ends_it() -> None:
    def refuse() -> None:
        raise ClusterError("cannot create Secret ns/tls", 403)

    cluster = Memory()
    cluster.meanwhile = [refuse]
    with pytest.raises(ClusterError, match="cannot create Secret ns/tls"):
        agree(cluster, "ns", "tls", NAMES)


def test_every_webhook_believes_the_authority_and_those_of_before() -> None:
    cluster, identity = Memory(), new_identity(NAMES)
    other = new_authority("other").certificate
    cluster.configure(b"", other, identity.ca)
    assert publish(cluster, "hooks", identity.ca) == 2
    assert all(verifies(bundle, identity.pair.certificate) for bundle in cluster.bundles())
    assert other in cluster.bundles()[1]
    assert publish(cluster, "hooks", identity.ca) == 0
    assert cluster.writes == ["patch"]


def test_two_replicas_with_two_authorities_are_both_believed() -> None:
    cluster, first, second = Memory(), new_identity(NAMES), new_identity(NAMES)
    cluster.configure(b"")
    cluster.meanwhile = [lambda: cluster.configure(first.ca)]
    publish(cluster, "hooks", second.ca)
    [bundle] = cluster.bundles()
    assert verifies(bundle, first.pair.certificate)
    assert verifies(bundle, second.pair.certificate)


def test_no_failure_quotes_what_was_sent_or_stored() -> None:
    class Refusal(Exception):  # noqa: N818
        status = 422
        body = '{"message": "data[tls.key]: hunter2"}'

    assert "hunter2" not in str(_failure("create Secret a/b", Refusal("hunter2")))
    assert "hunter2" not in str(_failure("create Secret a/b", ValueError("hunter2")))
    assert "hunter2" not in repr(Identity(b"", Pair(b"", b"hunter2")))


def test_past_its_time_nobody_is_called() -> None:
    called: list[str] = []
    api = object.__new__(ApiServer)
    api._until = 0
    with pytest.raises(ClusterError, match="no answer in time"):
        api._call("get it", lambda **_: called.append("called"))
    assert called == []
