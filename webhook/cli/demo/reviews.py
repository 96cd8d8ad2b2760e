"""The AdmissionReview that an API server sends when ``kubectl apply`` creates an object.

Pure. The object is what a *validating* webhook gets: defaulted
(``pkg/apis/*/v1/defaults.go`` of Kubernetes 1.37), changed by the built-in
mutating plugins (ServiceAccount, Priority, DefaultTolerationSeconds), and with
the fields that the registry fills in; ``managedFields`` alone is left out. Compared
field by field with what a kube-apiserver 1.37.0 sent for each of the samples.
"""

import copy
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from webhook.images.reference import parse
from webhook.images.workloads import POD_SPECS, dig, pull_policy

Json = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
FIELD_MANAGER = "kubectl-client-side-apply"

_PLURALS = {
    "CronJob": "cronjobs",
    "Deployment": "deployments",
    "Pod": "pods",
}
_POD_SPEC: Json = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_SPECS: Mapping[str, Json] = {
    "CronJob": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "Deployment": {
        "replicas": 1,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "Pod": {
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "enableServiceLinks": True,
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
    },
}
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a path
_TOKEN_SOURCES = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {
        "downwardAPI": {
            "items": [
                {
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }
            ]
        }
    },
]


class NotAdmitted(Exception):  # noqa: N818  # named for what it is
    """The API server refuses the object itself: no webhook is asked. ``str()`` says why."""


class Accounts:
    """The ServiceAccounts of a cluster; every namespace has ``default``."""

    def __init__(self, documents: Iterable[Mapping[str, Any]] = ()) -> None:
        self._secrets = {
            (doc["metadata"].get("namespace", "default"), doc["metadata"]["name"]): [
                {"name": secret["name"]} for secret in doc.get("imagePullSecrets") or ()
            ]
            for doc in documents
            if doc.get("kind") == "ServiceAccount"
        }

    def pull_secrets(self, namespace: str, name: str) -> list[dict[str, str]]:
        """Return the account's ``imagePullSecrets``; raises NotAdmitted if it does not exist."""
        try:
            return list(self._secrets[namespace, name])
        except KeyError:
            if name == "default":
                return []
        raise NotAdmitted(
            f"error looking up service account {namespace}/{name}:"
            f' serviceaccount "{name}" not found'
        )


def review(
    document: Mapping[str, Any],
    accounts: Accounts,
    *,
    new_uid: Callable[[], uuid.UUID] = uuid.uuid4,
    now: datetime | None = None,
) -> Json:
    """Return the AdmissionReview for the creation of ``document`` (one manifest, with namespace).

    Raises NotAdmitted for a Pod whose account does not exist, KeyError for a kind
    that no sample has.
    """
    group, _, version = document["apiVersion"].rpartition("/")
    kind = {"group": group, "version": version, "kind": document["kind"]}
    resource = {"group": group, "version": version, "resource": _PLURALS[document["kind"]]}
    metadata = document["metadata"]
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": str(new_uid()),
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "operation": "CREATE",
            "userInfo": {
                "username": "kubernetes-admin",
                "groups": ["kubeadm:cluster-admins", "system:authenticated"],
            },
            "object": _admitted(document, accounts, str(new_uid()), now or datetime.now(UTC)),
            "oldObject": None,
            "dryRun": False,
            "options": {
                "kind": "CreateOptions",
                "apiVersion": "meta.k8s.io/v1",
                "fieldManager": FIELD_MANAGER,
                "fieldValidation": "Strict",
            },
        },
    }


def last_applied(document: Mapping[str, Any]) -> str:
    """Return the annotation that kubectl keeps of what was applied: sorted, Go-escaped JSON."""
    plain = copy.deepcopy(dict(document))
    annotations = plain["metadata"].setdefault("annotations", {})
    annotations.pop(LAST_APPLIED, None)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"


def _admitted(document: Mapping[str, Any], accounts: Accounts, uid: str, now: datetime) -> Json:
    kind = document["kind"]
    out = copy.deepcopy(dict(document))
    out["metadata"].setdefault("annotations", {})[LAST_APPLIED] = last_applied(document)
    out["metadata"] |= {"uid": uid, "creationTimestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    out["metadata"]["generation"] = 1
    _fill(out["spec"], _SPECS[kind])
    if kind == "Pod":
        _fill_pod_spec(out["spec"])
        _plug_in_account(out["spec"], out["metadata"]["namespace"], accounts)
        _plug_in_tolerations(out["spec"])
        out["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        return out
    if kind == "CronJob":
        _fill(out["spec"]["jobTemplate"], {"metadata": {}, "spec": {"template": {"metadata": {}}}})
    spec = dig(out, POD_SPECS[document["apiVersion"].rpartition("/")[0], kind])
    if isinstance(spec, dict):
        _fill_pod_spec(spec)
    out.setdefault("status", {})
    return out


def _fill(target: Json, defaults: Mapping[str, Any]) -> None:
    for key, value in defaults.items():
        if isinstance(value, dict):
            _fill(target.setdefault(key, {}), value)
        elif target.get(key) in (None, ""):
            target[key] = value


def _fill_pod_spec(spec: Json) -> None:
    _fill(spec, _POD_SPEC)
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in _containers(spec):
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", pull_policy(None, parse(container["image"])).value)
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _plug_in_account(spec: Json, namespace: str, accounts: Accounts) -> None:
    secrets = accounts.pull_secrets(namespace, spec["serviceAccountName"])
    if secrets and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = secrets
    if spec.get("automountServiceAccountToken") is False:
        return
    volume = "kube-api-access-" + uuid.uuid4().hex[:5]
    mount = {"name": volume, "readOnly": True, "mountPath": _TOKEN_PATH}
    for container in _containers(spec):
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), dict(mount)]
    projected = {"sources": copy.deepcopy(_TOKEN_SOURCES), "defaultMode": 420}
    spec["volumes"] = [*(spec.get("volumes") or ()), {"name": volume, "projected": projected}]


def _plug_in_tolerations(spec: Json) -> None:
    spec.setdefault("tolerations", [])
    spec["tolerations"] += [
        {
            "key": f"node.kubernetes.io/{trouble}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for trouble in ("not-ready", "unreachable")
    ]
