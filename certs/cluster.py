"""The two objects of a cluster that certificates touch: one Secret, one webhook configuration."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

CALL_SECONDS = 10.0
LONGEST_REASON = 300
MANAGER = "pullproof-certs"

Object = Mapping[str, Any]


class ClusterError(Exception):
    """The API server did not do what was asked; ``str()`` is one plain line, never a secret.

    ``status`` is its HTTP status, 0 when it gave none.
    """

    def __init__(self, line: str, status: int = 0) -> None:
        super().__init__(line)
        self.status = status


class Cluster(Protocol):
    """What issuing needs of a cluster; every method raises ClusterError."""

    def secret(self, namespace: str, name: str) -> Object:
        """Return a Secret."""

    def create_secret(self, namespace: str, name: str, body: Object) -> Object:
        """Create a Secret; status 409 when somebody was first."""

    def replace_secret(self, namespace: str, name: str, body: Object) -> Object:
        """Replace a Secret; status 409 when it is no longer the one that ``body`` was read from."""

    def configuration(self, name: str) -> Object:
        """Return a ValidatingWebhookConfiguration."""

    def patch_configuration(self, name: str, patch: Sequence[Object]) -> Object:
        """Apply a JSON patch; status 409 when a resourceVersion in it is an old one."""


class ApiServer:
    """A cluster by its API server, with the official client.

    ``kubeconfig`` None means the cluster in which this process runs. All calls
    together end within ``timeout`` seconds. Raises ClusterError where no API
    server can be named; contacts nobody before the first call. Close it when done.
    """

    def __init__(self, kubeconfig: Path | None, *, timeout: float) -> None:
        # The client takes most of a second to import: files are issued without it.
        from kubernetes import client  # noqa: PLC0415

        self._until = time.monotonic() + timeout
        self._client = client.ApiClient(_configuration(kubeconfig))
        self._core = client.CoreV1Api(self._client)
        self._admission = client.AdmissionregistrationV1Api(self._client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def secret(self, namespace: str, name: str) -> Object:
        call = self._core.read_namespaced_secret
        return self._call(f"get Secret {namespace}/{name}", call, name=name, namespace=namespace)

    def create_secret(self, namespace: str, name: str, body: Object) -> Object:
        return self._call(
            f"create Secret {namespace}/{name}",
            self._core.create_namespaced_secret,
            namespace=namespace,
            body=body,
            field_manager=MANAGER,
        )

    def replace_secret(self, namespace: str, name: str, body: Object) -> Object:
        return self._call(
            f"update Secret {namespace}/{name}",
            self._core.replace_namespaced_secret,
            name=name,
            namespace=namespace,
            body=body,
            field_manager=MANAGER,
        )

    def configuration(self, name: str) -> Object:
        call = self._admission.read_validating_webhook_configuration
        return self._call(f"get ValidatingWebhookConfiguration {name}", call, name=name)

    def patch_configuration(self, name: str, patch: Sequence[Object]) -> Object:
        return self._call(
            f"patch ValidatingWebhookConfiguration {name}",
            self._admission.patch_validating_webhook_configuration,
            name=name,
            body=list(patch),
            field_manager=MANAGER,
        )

    def _call(self, what: str, call: Callable[..., Any], **arguments: Any) -> Object:
        left = self._until - time.monotonic()
        if left <= 0:
            raise ClusterError(f"cannot {what}: no answer in time")
        try:
            response = call(
                **arguments, _preload_content=False, _request_timeout=min(left, CALL_SECONDS)
            )
            parsed = json.loads(response.data)
        except Exception as error:  # noqa: BLE001 - what the client raises is nowhere listed
            # Without its cause: the client's exceptions carry bodies, and those carry keys.
            raise _failure(what, error) from None
        if not isinstance(parsed, dict):
            raise ClusterError(f"cannot {what}: the API server's answer cannot be read")
        return parsed


def _configuration(kubeconfig: Path | None) -> Any:
    from kubernetes import client, config  # noqa: PLC0415

    configuration = client.Configuration()
    # HTTPS_PROXY is meant for the way out of a cluster; a kubeconfig's proxy-url is set below.
    configuration.proxy = None
    configuration.no_proxy = None
    configuration.retries = False
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                config_file=str(kubeconfig),
                client_configuration=configuration,
                persist_config=False,
            )
    except Exception as error:  # noqa: BLE001 - messages of YAML and base64 may quote credentials
        name = type(error).__name__
        if kubeconfig is None:
            line = f"not in a cluster ({name}): --kubeconfig names one"
        else:
            line = f"{kubeconfig}: cannot be used ({name})"
        raise ClusterError(line) from None
    return configuration


def _failure(what: str, error: Exception) -> ClusterError:
    status = getattr(error, "status", None)
    if isinstance(status, int) and status > 0:
        reason = _reason(status, getattr(error, "body", None))
        return ClusterError(f"cannot {what}: the API server answers {status}{reason}", status)
    name = type(error).__name__
    if "Timeout" in name:
        return ClusterError(f"cannot {what}: no answer in time")
    if isinstance(error, ValueError):
        return ClusterError(f"cannot {what}: the API server's answer cannot be read")
    cause = str(getattr(error, "reason", "") or "")
    if "SSLError" in {name, cause.partition("(")[0]}:
        return ClusterError(f"cannot {what}: the API server's certificate was refused")
    return ClusterError(f"cannot {what}: the API server cannot be reached ({name})")


def _reason(status: int, body: Any) -> str:
    # Only of a refusal and of what is not there: other messages may quote what was sent.
    if status not in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        return ""
    try:
        message = json.loads(body)["message"]
    except (TypeError, ValueError, LookupError):
        return ""
    return f" ({' '.join(str(message).split())[:LONGEST_REASON]})"
