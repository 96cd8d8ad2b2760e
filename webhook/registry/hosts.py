"""Which hosts a node asks for a registry's content, in its order, as containerd finds them.

Rules: ``ConfigureHosts`` and ``HostDirFromRoot`` of containerd 2.4's
``remotes/docker/config``. Over a ``hosts.toml`` that holds nothing but what 1.7
knows, 1.7 finds the same; it reads TOML with another library and other quirks.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from webhook.credentials.gourl import split_host_port
from webhook.registry.gopem import holds_certificate, is_key_pair
from webhook.registry.hosts_disk import Disk
from webhook.registry.hosts_file import HostConfig, parse_hosts_file
from webhook.registry.urls import is_loopback
from webhook.registry.wire import DEFAULT_TRUST, Trust

DOCKER_HUB = "docker.io"
DOCKER_HUB_DIALLED = "registry-1.docker.io"
MOST_REMEMBERED = 1024
"""How many registries' hosts are kept; whoever names images names registries."""


@dataclass(frozen=True, slots=True)
class RegistryHost:
    """One host that is asked for a registry's content, containerd's ``docker.RegistryHost``.

    ``scheme`` is https or http, or whatever stood in the file's URL; ``host`` is dialled,
    ``host[:port]``, and can be empty. ``path`` is where the API begins, as containerd
    keeps it: it may hold doubled slashes (``//v2``), which are joined into one when it
    asks. ``fall_back``: https is tried first, and http where the peer speaks that.
    ``own``: no ``[host]`` table and no ``server`` names it, it is the reference's own.
    ``headers`` are in the file's order; Go sends them sorted.
    """

    scheme: str
    host: str
    path: str
    can_pull: bool = True
    can_resolve: bool = True
    trust: Trust = DEFAULT_TRUST
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    fall_back: bool = False
    own: bool = True


@dataclass(frozen=True, slots=True)
class HostsFault:
    """containerd gives up before it asks anybody; ``detail`` is our own phrase."""

    detail: str


def registry_hosts(registry: str, hosts_dir: Path | None) -> tuple[RegistryHost, ...] | HostsFault:
    """Return the hosts that are asked for the content of ``registry``, in order.

    ``registry`` is the domain of a reference, ``hosts_dir`` containerd's certs.d or
    None where nodes have none. There is always at least one host. The files are read
    again as soon as one of them has changed, as containerd does at every pull.
    """
    if hosts_dir is None:
        return _hosts((HostConfig(),), registry)
    return _REMEMBERED.hosts(registry, str(hosts_dir))


def is_configured(registry: str, hosts_dir: Path | None) -> bool:
    """Tell whether somebody had this registry in mind, or has it served from elsewhere.

    A folder of its own is enough; ``_default`` counts where it names a host.
    """
    if hosts_dir is None:
        return False
    hosts = registry_hosts(registry, hosts_dir)
    if isinstance(hosts, HostsFault) or not all(host.own for host in hosts):
        return True
    names = *_port_spelled_out(registry), registry
    return any((hosts_dir / name).exists() for name in names)


class _FaultError(Exception):
    """Carries the detail of a HostsFault."""


class _Memory:
    """The hosts found last, each with the files that they came from."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: OrderedDict[tuple[str, str], tuple[Disk, tuple[RegistryHost, ...]]]
        self._found = OrderedDict()

    def hosts(self, registry: str, root: str) -> tuple[RegistryHost, ...] | HostsFault:
        key = registry, root
        with self._lock:
            known = self._found.get(key)
        if known is None or not known[0].is_as_it_was():
            disk = Disk()
            try:
                # A fault is looked for anew each time: it need not leave a trace in a stat.
                known = disk, _load(registry, root, disk)
            except _FaultError as fault:
                with self._lock:
                    self._found.pop(key, None)
                return HostsFault(str(fault))
        with self._lock:
            self._found[key] = known
            self._found.move_to_end(key)
            if len(self._found) > MOST_REMEMBERED:
                self._found.popitem(last=False)
        return known[1]


_REMEMBERED = _Memory()


def _load(registry: str, root: str, disk: Disk) -> tuple[RegistryHost, ...]:
    folder = _folder(registry, root, disk)
    configs = _configs(folder, disk) if folder is not None else (HostConfig(),)
    for config in configs:
        _check_certificates(config, disk)
    return _hosts(configs, registry)


def _folder(registry: str, root: str, disk: Disk) -> str | None:
    """Find a registry's folder (``HostDirFromRoot``): a name that is there at all will do."""
    for name in (*_port_spelled_out(registry), registry, "_default"):
        path = os.path.join(root, name)  # noqa: PTH118 - a path as Go keeps it, a string
        try:
            if disk.exists(path):
                return path
        except OSError as error:
            raise _FaultError(f"cannot look up {path}: {error.strerror}") from error
    return None


def _port_spelled_out(registry: str) -> Iterator[str]:
    name, _, port = registry.rpartition(":")
    if name:
        yield f"{name}_{port}_"


def _configs(folder: str, disk: Disk) -> tuple[HostConfig, ...]:
    file = os.path.join(folder, "hosts.toml")  # noqa: PTH118 - as above
    try:
        document = disk.read(file)
    except FileNotFoundError:
        document = b""
    except OSError as error:
        raise _FaultError(f"cannot read {file}: {error.strerror}") from error
    hosts = parse_hosts_file(folder, document) if document else None
    return hosts or (_from_certificates(folder, disk),)


def _from_certificates(folder: str, disk: Disk) -> HostConfig:
    """Return what the certificates in a folder say, as Docker lays them out (``loadCertFiles``)."""
    try:
        names = disk.names(folder)
        paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 - as above
        cas = tuple(path for path in paths if path.endswith(".crt"))
        pairs = tuple(
            (path, key if disk.exists(key := path.removesuffix(".cert") + ".key") else "")
            for path in paths
            if path.endswith(".cert")
        )
    except OSError as error:
        raise _FaultError(f"cannot look into {folder}: {error.strerror}") from error
    return HostConfig(cas=cas or None, client_pairs=pairs)


def _check_certificates(config: HostConfig, disk: Disk) -> None:
    """Raise _FaultError where containerd cannot load them (``updateTLSConfigFromHost``)."""
    for path in config.cas or ():
        if not holds_certificate(_read(path, disk)):
            raise _FaultError(f"no certificate in the CA file {path}")
    for certificate, key in config.client_pairs:
        pem = _read(certificate, disk)
        if not is_key_pair(pem, _read(key, disk) if key else pem):
            raise _FaultError(f"no certificate with its key in {certificate}")


def _read(path: str, disk: Disk) -> bytes:
    try:
        return disk.read(path)
    except OSError as error:
        raise _FaultError(f"cannot read {path}: {error.strerror}") from error


def _hosts(configs: tuple[HostConfig, ...], registry: str) -> tuple[RegistryHost, ...]:
    *others, last = configs
    is_own = not last.host
    if is_own:
        last = _with_default_host(last, registry)
    return (
        *(_registry_host(config, own=False) for config in others),
        _registry_host(last, own=is_own),
    )


def _with_default_host(config: HostConfig, registry: str) -> HostConfig:
    """Take the registry itself, whatever the file says of path and capabilities."""
    config = replace(
        config, scheme="https", host=registry, path="/v2", can_pull=True, can_resolve=True
    )
    if registry == DOCKER_HUB:
        return replace(config, host=DOCKER_HUB_DIALLED)
    if not is_loopback(registry):
        return config
    port = split_host_port(registry)[1]
    return replace(
        config,
        scheme="https" if port in ("", "443") else "http",
        skip_verify=config.skip_verify if port == "80" else True,
    )


def _registry_host(config: HostConfig, *, own: bool) -> RegistryHost:
    fall_back = (
        config.scheme == "http" and config.has_tls and split_host_port(config.host)[1] != "80"
    )
    return RegistryHost(
        scheme="https" if fall_back else config.scheme,
        host=config.host,
        path=config.path,
        can_pull=config.can_pull,
        can_resolve=config.can_resolve,
        trust=_trust(config),
        headers=config.headers,
        fall_back=fall_back,
        own=own,
    )


def _trust(config: HostConfig) -> Trust:
    return Trust(
        verify=not config.skip_verify,
        cas=tuple(Path(path) for path in config.cas or ()),
        clients=tuple(
            (Path(certificate), Path(key) if key else None)
            for certificate, key in config.client_pairs
        ),
        # To Go's dialler zero is no limit of its own, and less has passed already.
        dial_seconds=config.dial_timeout or None,
    )
