"""Which parts there are: the Go module each comes from, and its pinned version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Raised when the way of building changes, so that no cached binary of the old way is used.
RECIPE_VERSION = 1

KUBERNETES = (1, 37, 0)
ETCD = (3, 7, 3)
REGISTRY = (3, 1, 2)
CONTAINERD = (2, 4, 2)
CONTAINERD_1_7 = (1, 7, 34)
RUNC = (1, 5, 2)

Version = tuple[int, int, int]


class PartUnavailableError(Exception):
    """A real component can be neither found nor built; a test that needs it must fail."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is not to be had: {why}")
        self.name = name


@dataclass(frozen=True)
class OnPath:
    """Which binary of the PATH would do in place of the pinned one."""

    arguments: tuple[str, ...]
    pattern: str
    oldest: Version
    newest: Version
    accepted: str

    def judge(self, output: str) -> tuple[bool, str]:
        found = re.search(self.pattern, output, re.MULTILINE)
        if found is None:
            return False, "it shows no version of this component"
        version = (int(found["major"]), int(found["minor"]), int(found["patch"]))
        fits = self.oldest <= version <= self.newest
        return fits, f"it is {found[0].strip()}, not {self.accepted}"


@dataclass(frozen=True)
class Part:
    name: str
    module: str
    package: str
    version: str
    seconds: int
    ldflags: str = ""
    sources: str | None = None
    on_path: OnPath | None = None
    # Its C parts need a compiler; all else is built without one.
    cgo: bool = False

    @property
    def folder(self) -> Path:
        return HERE / self.module


_NUMBERS = r"v?(?P<major>\d+)\.(?P<minor>\d+)\.(?P<patch>\d+)\S*"
_LAST = 10**6


def _dotted(version: Version) -> str:
    return "v" + ".".join(map(str, version))


def _kubernetes(
    name: str,
    seconds: int,
    *,
    arguments: tuple[str, ...] = ("--version",),
    says: str = "Kubernetes",
) -> Part:
    major, minor, _ = KUBERNETES
    variables = {
        "gitVersion": _dotted(KUBERNETES),
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    return Part(
        name=name,
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        version=_dotted(KUBERNETES),
        seconds=seconds,
        ldflags=" ".join(
            f"-X k8s.io/component-base/version.{key}={value}" for key, value in variables.items()
        ),
        on_path=OnPath(
            arguments=arguments,
            pattern=rf"^{says} {_NUMBERS}",
            oldest=(major, minor - 1, 0),
            newest=(major, minor + 1, _LAST),
            accepted=f"within one minor of {_dotted(KUBERNETES)}",
        ),
    )


_ALL = (
    Part(
        name="etcd",
        module="etcd",
        package="go.etcd.io/etcd/server/v3",
        version=_dotted(ETCD),
        seconds=25,
        on_path=OnPath(
            arguments=("--version",),
            pattern=rf"^etcd Version: {_NUMBERS}",
            oldest=(3, 5, 0),
            newest=(3, _LAST, _LAST),
            accepted="v3.5 or newer of major 3",
        ),
    ),
    _kubernetes("kube-apiserver", 240),
    _kubernetes("kube-controller-manager", 65),
    _kubernetes("kubelet", 20),
    _kubernetes("kubectl", 15, arguments=("version", "--client"), says="Client Version:"),
    Part(
        name="registry",
        module="registry",
        package="github.com/distribution/distribution/v3/cmd/registry",
        version=_dotted(REGISTRY),
        seconds=40,
        on_path=OnPath(
            arguments=("--version",),
            pattern=rf"github\.com/(?:docker/)?distribution(?:/distribution)?(?:/v3)? {_NUMBERS}",
            oldest=(3, 0, 0),
            newest=(3, _LAST, _LAST),
            accepted="of major 3",
        ),
    ),
    Part(
        name="oracle",
        module="kubernetes",
        package="./oracle",
        version=_dotted(KUBERNETES),
        seconds=10,
        sources="oracle",
    ),
    Part(
        name="puller",
        module="kubernetes",
        package="./puller",
        version=_dotted(KUBERNETES),
        seconds=15,
        sources="puller",
    ),
    Part(
        name="providersoracle",
        module="kubernetes",
        package="./providersoracle",
        version=_dotted(KUBERNETES),
        seconds=15,
        sources="providersoracle",
    ),
    Part(
        name="scheduling",
        module="kubernetes",
        package="./scheduling",
        version=_dotted(KUBERNETES),
        seconds=15,
        sources="scheduling",
    ),
    Part(
        name="hostsoracle",
        module="containerd",
        package="./hostsoracle",
        version=_dotted(CONTAINERD),
        seconds=15,
        sources="hostsoracle",
    ),
    Part(
        name="imagesoracle",
        module="containerd",
        package="./imagesoracle",
        version=_dotted(CONTAINERD),
        seconds=30,
        sources="imagesoracle",
    ),
    # The differential suite compares with exactly these: none of the PATH will do.
    Part(
        name="containerd",
        module="containerd",
        package="github.com/containerd/containerd/v2/cmd/containerd",
        version=_dotted(CONTAINERD),
        seconds=60,
        ldflags=f"-X github.com/containerd/containerd/v2/version.Version={_dotted(CONTAINERD)}",
    ),
    Part(
        name="containerd-shim-runc-v2",
        module="containerd",
        package="github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        version=_dotted(CONTAINERD),
        seconds=15,
        ldflags=f"-X github.com/containerd/containerd/v2/version.Version={_dotted(CONTAINERD)}",
    ),
    Part(
        name="runc",
        module="runc",
        package="github.com/opencontainers/runc",
        version=_dotted(RUNC),
        seconds=20,
        ldflags=f"-X main.version={'.'.join(map(str, RUNC))}",
        on_path=OnPath(
            arguments=("--version",),
            pattern=rf"^runc version {_NUMBERS}",
            oldest=(1, 1, 0),
            newest=(1, _LAST, _LAST),
            accepted="of major 1, from 1.1 on",
        ),
        cgo=True,
    ),
    Part(
        name="containerd-1.7",
        module="containerd17",
        package="github.com/containerd/containerd/cmd/containerd",
        version=_dotted(CONTAINERD_1_7),
        seconds=60,
        ldflags=f"-X github.com/containerd/containerd/version.Version={_dotted(CONTAINERD_1_7)}",
    ),
    Part(
        name="proxyoracle",
        module="containerd",
        package="./proxyoracle",
        version=_dotted(CONTAINERD),
        seconds=15,
        sources="proxyoracle",
    ),
    Part(
        name="challengeoracle",
        module="containerd",
        package="./challengeoracle",
        version=_dotted(CONTAINERD),
        seconds=15,
        sources="challengeoracle",
    ),
)

PARTS: dict[str, Part] = {part.name: part for part in _ALL}
