"""A Kubernetes Secret as the kubelet reads it: a type and named bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DOCKER_CONFIG_JSON_TYPE = "kubernetes.io/dockerconfigjson"
DOCKER_CONFIG_JSON_KEY = ".dockerconfigjson"
DOCKERCFG_TYPE = "kubernetes.io/dockercfg"
DOCKERCFG_KEY = ".dockercfg"


@dataclass(frozen=True, slots=True)
class Secret:
    """One Secret object; its bytes are never printed."""

    namespace: str
    name: str
    type: str
    data: Mapping[str, bytes] = field(repr=False)
    uid: str = ""
