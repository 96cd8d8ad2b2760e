"""Manifests as people write them, of the few kinds that the tests apply."""

from __future__ import annotations

import base64
import json
from typing import Any

Manifest = dict[str, Any]


def pod(namespace: str, name: str, image: str, **spec: Any) -> Manifest:
    """Return a Pod; `spec` holds more of its spec, such as `imagePullSecrets`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": _pod_spec(image, spec),
    }


def deployment(namespace: str, name: str, image: str, **spec: Any) -> Manifest:
    """Return a Deployment; `spec` holds more of the spec of its pods."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(image, spec)},
        },
    }


def _pod_spec(image: str, more: dict[str, Any]) -> Manifest:
    return {**more, "containers": [{"name": "app", "image": image}]}


def with_secrets(*names: str) -> Manifest:
    """Return the part of a pod's spec that names pull secrets."""
    return {"imagePullSecrets": [{"name": name} for name in names]}


def pull_secret(namespace: str, name: str, logins: dict[str, tuple[str, str]]) -> Manifest:
    """Return what `kubectl create secret docker-registry` makes; `logins` are by registry."""
    config = {
        "auths": {
            host: {"username": user, "password": password}
            for host, (user, password) in logins.items()
        }
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()},
    }


def service_account(namespace: str, name: str, *secrets: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
        **with_secrets(*secrets),
    }
