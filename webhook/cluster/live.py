"""A cluster as its API server tells of it: single objects, read by name."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webhook.cluster.answers import Answer, failed
from webhook.cluster.flights import Flights
from webhook.cluster.nodes import Nodes
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.cluster.watched import WatchedNamespaces, WatchedNodes
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.names import addresses_of
from webhook.registry.outcome import Cause

CONNECTIONS = 64
MAX_BODY = 4 * 1024 * 1024
"""Bytes of one object; the API server itself stores no more than 1.5 MiB."""
MAX_KEPT_DATA = 64 * 1024
"""Bytes of a Secret's data; a larger one is read anew each time, so that memory is bounded."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_WHY_LIMIT = 256
_PORTS = {"https": 443, "http": 80}
_CHUNK = 64 * 1024


class ClusterConfigError(Exception):
    """No API server can be named: a kubeconfig that does not serve, or no cluster around."""


@dataclass(frozen=True, slots=True)
class _Labels:
    labels: Mapping[str, str]


Found = Secret | ServiceAccount | _Labels | Absent | Unreadable
Call = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Query:
    """One object to be read, and how its JSON becomes a value of ours."""

    kind: str
    resource: str
    namespace: str
    name: str
    build: Callable[[Mapping[str, Any]], Found] = field(compare=False)

    def __str__(self) -> str:
        place = f' in namespace "{self.namespace}"' if self.namespace else ""
        return f'get {self.resource} "{self.name}"{place}'


class LiveView:
    """Reads one API server with the official client; answers are kept for 10 s.

    Nodes are watched from the first time that they are read, or from :meth:`start`,
    which has the namespaces watched as well. ``kubeconfig`` None means the cluster in
    which this process runs. Raises :class:`ClusterConfigError` where no API server can
    be named; contacts nobody before the first read. Close it when done.
    """

    def __init__(self, kubeconfig: Path | None = None) -> None:
        # The client takes most of a second to import; commands without a cluster do not wait.
        from kubernetes import client  # noqa: PLC0415

        self._client = client.ApiClient(_configuration(kubeconfig))
        self._core = client.CoreV1Api(self._client)
        self._version = client.VersionApi(self._client)
        self._flights: Flights[Found] = Flights(keeps=_may_be_kept)
        self._nodes = WatchedNodes(self._core.list_node)
        self._namespaces = WatchedNamespaces(self._core.list_namespace)
        self._reached = False

    def start(self) -> None:
        """Begin to watch nodes and namespaces, as a server does, before the first review."""
        self._nodes.start()
        self._namespaces.start()

    def secret(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> Secret | Absent | Unreadable:
        query = _Query("Secret", "secrets", namespace, name, _secret)
        found = self._read(query, self._core.read_namespaced_secret, deadline, fresh=fresh)
        return found if isinstance(found, Secret | Absent | Unreadable) else _unexpected(query)

    def service_account(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> ServiceAccount | Absent | Unreadable:
        query = _Query("ServiceAccount", "serviceaccounts", namespace, name, _account)
        call = self._core.read_namespaced_service_account
        found = self._read(query, call, deadline, fresh=fresh)
        if isinstance(found, ServiceAccount | Absent | Unreadable):
            return found
        return _unexpected(query)

    def namespace_labels(
        self, namespace: str, deadline: Deadline
    ) -> Mapping[str, str] | Unreadable:
        """Return a namespace's labels; one that is not watched, or not yet seen, is read."""
        watched = self._namespaces.labels(namespace)
        if watched is not None:
            return watched
        query = _Query("Namespace", "namespaces", "", namespace, _labels)
        found = self._read(query, self._core.read_namespace, deadline, fresh=False)
        if isinstance(found, _Labels):
            return found.labels
        if isinstance(found, Absent):
            return Unreadable(Cause.CLUSTER_UNAVAILABLE, f"cannot {query}: there is none")
        return found if isinstance(found, Unreadable) else _unexpected(query)

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable:
        """Return the nodes as they were a moment ago; not synced yet is not known."""
        return self._nodes.read(deadline)

    def watched(self) -> str | None:
        """Return None where nodes and namespaces are all known now, else what is not."""
        informers = (self._nodes.informer, self._namespaces.informer)
        problems = [problem for one in informers if (problem := one.problem()) is not None]
        return "; ".join(problems) or None

    def addresses(self) -> frozenset[str]:
        """Return how the API server is reached, ``host:port``: by its name and by what that gives.

        A name that does not resolve now is left as it is: nobody else can reach it by it either.
        """
        parts = urlsplit(self._client.configuration.host)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        return frozenset(f"{address}:{port}" for address in (host, *addresses_of(host)))

    def reached(self) -> bool:
        """Tell whether the API server ever answered."""
        return self._reached

    def probe(self, deadline: Deadline) -> str | None:
        """Ask the API server for its version: None when it answered, else why not."""
        answer = self._ask(self._version.get_code, {}, deadline)
        if answer.status == 0:
            return answer.why
        # Who may not ask for the version has been answered all the same.
        is_fine = answer.status in {HTTPStatus.OK, HTTPStatus.FORBIDDEN}
        return None if is_fine else f"the API server answers {answer.status} to its version"

    def close(self) -> None:
        """Close the connections; reads under way end by their deadlines."""
        self._flights.close()
        self._nodes.close()
        self._namespaces.close()
        self._client.close()

    def _read(self, query: _Query, call: Call, deadline: Deadline, *, fresh: bool) -> Found:
        names = [query.name, *([query.namespace] if query.namespace else [])]
        if not all(_NAME.fullmatch(name) for name in names):
            # No object can have such a name, and in an address it could lead elsewhere.
            return Absent()
        arguments = {"name": query.name}
        if query.namespace:
            arguments["namespace"] = query.namespace

        def ask(until: Deadline) -> Found:
            return _understand(query, self._ask(call, arguments, until))

        found = self._flights.read(query, ask, deadline, fresh=fresh)
        return found if found is not None else _unavailable(query, "no answer in time")

    def _ask(
        self,
        call: Call,
        arguments: Mapping[str, Any],
        deadline: Deadline,
    ) -> Answer:
        left = deadline.left()
        if left <= 0:
            return Answer(0, why="no answer in time")
        try:
            response = call(**arguments, _preload_content=False, _request_timeout=left)
            answer = Answer(int(response.status), _body(response, deadline))
        except Exception as error:  # noqa: BLE001 - what the client raises is nowhere listed
            answer = failed(error)
        self._reached = self._reached or 0 < answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return answer


def _configuration(kubeconfig: Path | None) -> Any:
    from kubernetes import client, config  # noqa: PLC0415

    configuration = client.Configuration()
    # HTTPS_PROXY is meant for the way out of a cluster, not for its own API server;
    # a kubeconfig's proxy-url is set below.
    configuration.proxy = None
    configuration.no_proxy = None
    configuration.retries = False
    configuration.connection_pool_maxsize = CONNECTIONS
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                config_file=str(kubeconfig),
                client_configuration=configuration,
                persist_config=False,
            )
    except config.ConfigException as error:
        what = "in-cluster" if kubeconfig is None else str(kubeconfig)
        raise ClusterConfigError(f"{what}: {_one_line(str(error))}") from None
    except Exception as error:  # noqa: BLE001 - others (YAML's, base64's) may quote credentials
        what = "in-cluster" if kubeconfig is None else str(kubeconfig)
        raise ClusterConfigError(f"{what}: cannot be used: {type(error).__name__}") from None
    return configuration


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_WHY_LIMIT]


def _body(response: Any, deadline: Deadline) -> Mapping[str, Any]:
    """Read a response within its bounds; raises for anything but a JSON object."""
    content = bytearray()
    try:
        while chunk := response.read1(_CHUNK):
            content += chunk
            if deadline.passed:
                raise TimeoutError
            if len(content) > MAX_BODY:
                raise ValueError("too large")
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()
    parsed = json.loads(content)
    if not isinstance(parsed, dict):
        raise ValueError("no object")
    return parsed


def _understand(query: _Query, answer: Answer) -> Found:
    if answer.status == 0:
        return _unavailable(query, answer.why)
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unreadable(
            Cause.SECRET_UNREADABLE,
            f"pullproof may not {query}: the API server answers {answer.status}",
        )
    if answer.status == HTTPStatus.NOT_FOUND and _says_not_found(query, answer.body):
        return Absent()
    if answer.status != HTTPStatus.OK or answer.body.get("kind", query.kind) != query.kind:
        return _unavailable(query, f"the API server answers {answer.status}")
    try:
        return query.build(answer.body)
    except (AttributeError, KeyError, TypeError, ValueError):
        return _unavailable(query, f"the answer is no {query.kind}")


def _says_not_found(query: _Query, body: Mapping[str, Any]) -> bool:
    """Tell the API server's own "not found" of this object from any other 404."""
    details = body.get("details")
    named = details.get("name") if isinstance(details, dict) else None
    return body.get("reason") == "NotFound" and named in {None, query.name}


def _unavailable(query: _Query, why: str) -> Unreadable:
    return Unreadable(Cause.CLUSTER_UNAVAILABLE, f"cannot {query}: {why}")


def _unexpected(query: _Query) -> Unreadable:
    return _unavailable(query, f"the answer is no {query.kind}")


def _may_be_kept(found: Found) -> bool:
    if isinstance(found, Secret):
        return sum(map(len, found.data.values())) <= MAX_KEPT_DATA
    return isinstance(found, ServiceAccount | _Labels)


def _secret(body: Mapping[str, Any]) -> Secret:
    metadata = body["metadata"]
    data = body.get("data") or {}
    return Secret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        type=body.get("type") or "Opaque",
        data={key: _decoded(value) for key, value in data.items()},
        uid=metadata.get("uid") or "",
    )


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value or "", validate=True)
    except (TypeError, ValueError):
        # The API server never sends such; empty bytes are no credential either.
        return b""


def _account(body: Mapping[str, Any]) -> ServiceAccount:
    metadata = body["metadata"]
    secrets = body.get("imagePullSecrets") or []
    return ServiceAccount(
        namespace=metadata["namespace"],
        name=metadata["name"],
        image_pull_secrets=tuple(item["name"] for item in secrets if item.get("name")),
    )


def _labels(body: Mapping[str, Any]) -> _Labels:
    labels = body["metadata"].get("labels") or {}
    return _Labels({str(key): str(value) for key, value in labels.items()})
