"""The objects of some manifests, laid over a view: what they will make comes first.

A folder that is about to be applied may bring its own pull secrets. Whatever it
does not bring is the view's to answer.
"""

from collections.abc import Iterable, Mapping

from webhook.cluster.manifests import Manifest, ManifestError
from webhook.cluster.nodes import Nodes
from webhook.cluster.view import Absent, ClusterView, ServiceAccount, Unreadable
from webhook.cluster.yamltext import quoted
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

Key = tuple[str, str]


class Overlay:
    """Secrets and ServiceAccounts over another view; a :class:`ClusterView` itself.

    Where an object stands twice, the last one holds, as after ``kubectl apply``. An
    object without a namespace belongs to ``namespace``, one without a name to nobody.
    """

    def __init__(
        self, base: ClusterView, manifests: Iterable[Manifest], namespace: str = "default"
    ) -> None:
        self._base = base
        self._secrets: dict[Key, Secret | Unreadable] = {}
        self._accounts: dict[Key, ServiceAccount] = {}
        for manifest in manifests:
            if manifest.api_version != "v1" or not manifest.given_name:
                continue
            key = (manifest.namespace(namespace), manifest.given_name)
            if manifest.kind == "Secret":
                self._secrets[key] = _secret(manifest, namespace)
            elif manifest.kind == "ServiceAccount":
                self._accounts[key] = manifest.service_account(namespace)

    def secret(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> Secret | Absent | Unreadable:
        own = self._secrets.get((namespace, name))
        return own or self._base.secret(namespace, name, deadline, fresh=fresh)

    def service_account(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> ServiceAccount | Absent | Unreadable:
        own = self._accounts.get((namespace, name))
        return own or self._base.service_account(namespace, name, deadline, fresh=fresh)

    def namespace_labels(
        self, namespace: str, deadline: Deadline
    ) -> Mapping[str, str] | Unreadable:
        return self._base.namespace_labels(namespace, deadline)

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable:
        return self._base.nodes(deadline)


def _secret(manifest: Manifest, namespace: str) -> Secret | Unreadable:
    """Read a Secret; one that holds something else for now is not known, rather than wrong.

    What sops has encrypted, or what a later step fills in, is only a fault where a
    pod needs it, and not one of the credentials in it.
    """
    where = f"secret {quoted(manifest.given_name)} of {quoted(str(manifest.file), 200)}"
    if manifest.root.child("sops") is not None:
        return Unreadable(Cause.SECRET_UNREADABLE, f"{where} is encrypted with sops")
    try:
        return manifest.secret(namespace)
    except ManifestError as error:
        line = f"{where}, line {error.line}"
        return Unreadable(Cause.SECRET_UNREADABLE, f"{line}, is none that the API server takes")
