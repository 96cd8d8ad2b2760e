"""One ``hosts.toml``, from its bytes to the hosts that it names, in containerd's order.

Rules: ``parseHostsFile``, ``getSortedHosts`` and ``parseHostConfig`` of containerd
2.4's ``remotes/docker/config``, and what go-toml 2.4.3 stores in their structs.
Nothing that the file says is looked up here: paths are only made absolute.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from webhook.credentials.gourl import parse_url
from webhook.registry.godata import cleaned_path, lowered, parse_duration
from webhook.registry.gotoml import Expression, Header, Inline, Key, TomlError, Value, expressions
from webhook.registry.gotoml_checks import check_keys, decodes

_HOST_AND_NAME = 2
_PAIR = 2
_CAPABILITIES = frozenset({"pull", "resolve", "push", "referrers"})
_TABLE = Inline()
"""Stands for any table where a string or an array is wanted."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """containerd's ``hostConfig``: one host as the file describes it.

    ``host`` is empty where none is named. ``cas`` and ``skip_verify`` are None where
    the file says nothing of them; an empty ``cas`` is something. ``dial_timeout`` is in
    seconds. ``client_pairs``: each certificate's file with that of its key, empty where
    both are in one file.
    """

    scheme: str = ""
    host: str = ""
    path: str = ""
    can_pull: bool = True
    can_resolve: bool = True
    cas: tuple[str, ...] | None = None
    client_pairs: tuple[tuple[str, str], ...] = ()
    skip_verify: bool | None = None
    dial_timeout: float | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def has_tls(self) -> bool:
        """Tell whether TLS was configured for it: http then means "https first"."""
        return self.cas is not None or bool(self.client_pairs) or self.skip_verify is not None


class _RefusedError(Exception):
    """containerd takes no notice of the file."""


def parse_hosts_file(folder: str, document: bytes) -> tuple[HostConfig, ...] | None:
    """Return the hosts of a ``hosts.toml`` in the order in which they are asked.

    The last is the ``server``; its host is empty where the file names none. None
    where containerd refuses the file: it then looks for certificates in ``folder``.
    """
    try:
        found = expressions(document)
        check_keys(found)
        root = _Root()
        root.fill(found)
        hosts = [_host_config(name, folder, root.host(name)) for name in _sorted_hosts(found)]
        return *hosts, _host_config(root.server, folder, root)
    except (TomlError, _RefusedError):
        return None


def _sorted_hosts(found: Iterable[Expression]) -> Iterator[str]:
    """Yield the names of the ``[host.…]`` headers; one that comes back later stands twice."""
    host = ""
    for expression in found:
        key = expression.key
        if expression.of is not Header.TABLE or len(key) < _HOST_AND_NAME or key[0] != "host":
            continue
        if key[1] != host:
            host = key[1]
            yield host


@dataclass(slots=True)
class _Fields:
    """containerd's ``hostFileConfig``, filled as go-toml fills a struct."""

    capabilities: tuple[str, ...] = ()
    ca: Value | None = None
    client: Value | None = None
    skip_verify: bool | None = None
    header: dict[str, Value] = field(default_factory=dict, repr=False)
    override_path: bool = False
    dial_timeout: str = ""

    def enter(self, key: Key, header: Header) -> bool:
        """Open a table of the document; False where all that follows under it is skipped."""
        name, rest = lowered(key[0]), key[1:]
        match name:
            case "ca" | "client":
                setattr(self, name, _TABLE)
            case "header" if rest:
                self.header[rest[0]] = _TABLE
            case "header":
                if header is Header.ARRAY_TABLE:
                    raise _RefusedError
            case "capabilities" | "skip_verify" | "override_path" | "dial_timeout":
                raise _RefusedError
            case _:
                return False
        return True

    def store(self, key: Key, value: Value) -> None:
        """Store a value; what stands under an unknown name is not looked at."""
        name, rest = lowered(key[0]), key[1:]
        match name:
            case "ca" | "client":
                decoded = _decoded(value)
                setattr(self, name, _TABLE if rest else decoded)
            case "header" if rest:
                _store_header(self.header, rest, value)
            case "header":
                self.header = {}
                for inner, of in _inline(value).items:
                    _store_header(self.header, inner, of)
            case "capabilities" | "skip_verify" | "override_path" | "dial_timeout" if rest:
                raise _RefusedError
            case "capabilities":
                self.capabilities = _strings(value)
            case "skip_verify":
                self.skip_verify = _boolean(value)
            case "override_path":
                self.override_path = _boolean(value)
            case "dial_timeout":
                self.dial_timeout = _string(value)


@dataclass(slots=True)
class _Root(_Fields):
    """The whole document: the fields of the ``server``, and those of each host."""

    server: str = ""
    hosts: dict[str, _Fields] = field(default_factory=dict)

    def host(self, name: str) -> _Fields:
        return self.hosts.setdefault(name, _Fields())

    def fill(self, found: Iterable[Expression]) -> None:
        table: Key = ()
        is_kept = True
        for expression in found:
            if isinstance(expression.of, Header):
                table = expression.key
                is_kept = self.enter(table, expression.of)
            elif is_kept:
                self.store(table + expression.key, expression.of)

    def enter(self, key: Key, header: Header) -> bool:
        name, rest = lowered(key[0]), key[1:]
        if name == "server":
            raise _RefusedError
        if name != "host":
            return _Fields.enter(self, key, header)
        if len(rest) > 1:
            return self.host(rest[0]).enter(rest[1:], header)
        if header is Header.ARRAY_TABLE:
            raise _RefusedError
        return True

    def store(self, key: Key, value: Value) -> None:
        name, rest = lowered(key[0]), key[1:]
        if name == "server":
            if rest:
                raise _RefusedError
            self.server = _string(value)
        elif name != "host":
            _Fields.store(self, key, value)
        elif rest:
            self._store_host(rest, value)
        else:
            self.hosts = {}
            for inner, of in _inline(value).items:
                self._store_host(inner, of)

    def _store_host(self, key: Key, value: Value) -> None:
        host = self.host(key[0])
        if len(key) > 1:
            host.store(key[1:], value)
            return
        for inner, of in _inline(value).items:
            host.store(inner, of)


def _store_header(header: dict[str, Value], key: Key, value: Value) -> None:
    decoded = _decoded(value)
    header[key[0]] = _TABLE if key[1:] else decoded


def _decoded(value: Value) -> Value:
    if not decodes(value):
        raise _RefusedError
    return value


def _inline(value: Value) -> Inline:
    if not isinstance(value, Inline):
        raise _RefusedError
    return value


def _boolean(value: Value) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError
    return value


def _string(value: Value) -> str:
    if not isinstance(value, str):
        raise _RefusedError
    return value


def _strings(value: Value) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _RefusedError
    return tuple(_string(element) for element in value)


def _host_config(server: str, folder: str, fields: _Fields) -> HostConfig:
    config = _server(server, fields) if server else HostConfig()
    named = {capability.lower() for capability in fields.capabilities}
    if not named <= _CAPABILITIES:
        raise _RefusedError
    return replace(
        config,
        can_pull="pull" in named or not named,
        can_resolve="resolve" in named or not named,
        cas=_cas(fields.ca, folder),
        client_pairs=tuple(_client_pairs(fields.client, folder)),
        skip_verify=fields.skip_verify,
        dial_timeout=_dial_timeout(fields.dial_timeout),
        headers=tuple(_headers(fields.header)),
    )


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+):")


def _server(server: str, fields: _Fields) -> HostConfig:
    """Read a server's URL: whatever begins with ``http`` is taken to have a scheme."""
    url = server if server.startswith("http") else f"https://{server}"
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    rest = url[found.end() :] if found else url
    if found and not rest.startswith("/"):
        # Opaque to Go: neither host nor path. Of it only what cannot be a URL is refused.
        without_host = parse_url("http://h/?" + rest)
        host, path = "", ""
    elif rest.startswith("//"):
        without_host = parse_url(f"http:{rest}")
        host, path = (without_host.host, without_host.path) if without_host else ("", "")
    else:
        if not found and ":" in re.split("[/?#]", rest, maxsplit=1)[0]:
            raise _RefusedError
        without_host = parse_url("http://h/" + rest)
        host, path = "", without_host.path[1:] if without_host else ""
    if without_host is None:
        raise _RefusedError
    if path:
        path = cleaned_path(path)
        if not path.endswith("/v2") and not fields.override_path:
            path += "/v2"
    elif not fields.override_path:
        path = "/v2"
    return HostConfig(scheme, host, path)


def _cas(value: Value | None, folder: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    files = (value,) if isinstance(value, str) else _strings(value)
    return tuple(_absolute(file, folder) for file in files)


def _client_pairs(value: Value | None, folder: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    pairs = [value] if isinstance(value, str) else value
    if not isinstance(pairs, list):
        raise _RefusedError
    for pair in pairs:
        if isinstance(pair, str):
            yield _absolute(pair, folder), ""
            continue
        files = _strings(pair)
        if len(files) != _PAIR:
            raise _RefusedError
        yield _absolute(files[0], folder), _absolute(files[1], folder)


def _headers(header: dict[str, Value]) -> Iterator[tuple[str, str]]:
    for name, value in header.items():
        for text in (value,) if isinstance(value, str) else _strings(value):
            # As Go writes them; a line break within is an error that shows when it is sent.
            yield name, text.strip(" \t")


def _dial_timeout(text: str) -> float | None:
    if not text:
        return None
    seconds = parse_duration(text)
    if seconds is None:
        raise _RefusedError
    return seconds


def _absolute(file: str, folder: str) -> str:
    return file if file.startswith("/") else cleaned_path(f"{folder}/{file}")
