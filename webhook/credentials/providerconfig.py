"""CredentialProviderConfig as the kubelet reads it: which plugins run for which images.

Reproduces ``pkg/credentialprovider/plugin/config.go`` of Kubernetes 1.37: one file, or a
folder's ``*.json``, ``*.yaml`` and ``*.yml`` in the order of their names; strict
decoding; the rules of ``validateCredentialProviderConfig``. A file that it refuses
keeps a kubelet from starting: what nodes really have is then not known.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from webhook.credentials.files import read_file
from webhook.credentials.goduration import parse_duration
from webhook.credentials.gourl import parse_url
from webhook.credentials.goyaml import Fault, Value, read_document

CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{v}" for v in ("v1", "v1beta1", "v1alpha1"))
PROTOCOL_VERSIONS = tuple(
    f"credentialprovider.kubelet.k8s.io/{v}" for v in ("v1", "v1beta1", "v1alpha1")
)
MAX_BYTES = 1 << 20
"""Bytes of one file that are read; the kubelet has no limit."""

_WITH_TOKENS = CONFIG_VERSIONS[0]
_PROTOCOL_WITH_TOKENS = PROTOCOL_VERSIONS[0]
_SUFFIXES = (".json", ".yaml", ".yml")
_CACHE_TYPES = ("ServiceAccount", "Token")
_KEY_NAME = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_KEY_PREFIX = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_MOST_OF_NAME = 63
_MOST_OF_PREFIX = 253

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Provider:
    """One plugin: a program of the plugins' folder, and the images that it is asked about.

    ``cache_seconds`` holds where its answer names no duration; 0: not kept.
    ``wants_token``: the kubelet hands it a token of the pod's service account.
    """

    name: str
    match_images: tuple[str, ...]
    cache_seconds: float
    api_version: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    wants_token: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No kubelet starts with this configuration, or it cannot be read here."""

    reason: str


def read_config(path: Path) -> tuple[Provider, ...] | Refused:
    """Read a CredentialProviderConfig, a file or a folder of files; never raises."""
    providers: list[Provider] = []
    try:
        files = config_files(path)
        if not files:
            return Refused(f"{path} holds no *.json, *.yaml or *.yml")
        for file in files:
            raw = read_file(file, MAX_BYTES)
            try:
                providers += decode_config(raw)
            except Fault as fault:
                return Refused(f"{file.name}: {fault}")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        return Refused(f"{path} cannot be read: {why or type(error).__name__}")
    names = [provider.name for provider in providers]
    if not providers:
        return Refused(f"{path.name}: providers: at least one is needed")
    if len(set(names)) != len(names):
        return Refused(f"{path.name}: two providers have the same name")
    return tuple(providers)


def config_files(path: Path) -> list[Path]:
    """Return the files of a configuration, in the kubelet's order. Raises OSError."""
    if not path.is_dir():
        return [path]
    with os.scandir(path) as entries:
        names = [
            entry.name
            for entry in entries
            if "".join(entry.name.rpartition(".")[1:]) in _SUFFIXES
            and not entry.is_dir(follow_symlinks=False)
        ]
    return [path / name for name in sorted(names, key=os.fsencode)]


def decode_config(raw: bytes) -> list[Provider]:
    """Decode one file. Raises Fault."""
    document = read_document(raw)
    if not isinstance(document, dict):
        raise Fault("is not an object")
    version, kind = _text(document, "apiVersion"), _text(document, "kind")
    if version not in CONFIG_VERSIONS:
        raise Fault(f"apiVersion: must be one of {', '.join(CONFIG_VERSIONS)}")
    if kind != "CredentialProviderConfig":
        raise Fault("kind: must be CredentialProviderConfig")
    _known(document, ("apiVersion", "kind", "providers"), "")
    listed = _list(document, "providers", "", _object)
    return [
        _provider(one, f"providers[{at}].", tokens=version == _WITH_TOKENS)
        for at, one in enumerate(listed)
    ]


def _provider(value: Mapping[str, Value], at: str, *, tokens: bool) -> Provider:
    token_fields = ("tokenAttributes",) if tokens else ()
    known = ("name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env")
    _known(value, (*known, *token_fields), at)
    name = _text(value, "name", at)
    if not name or name in (".", "..") or any(c in name for c in "/ \0"):
        raise Fault(f"{at}name: must name a file, without '/' and spaces")
    api_version = _text(value, "apiVersion", at)
    if api_version not in PROTOCOL_VERSIONS:
        raise Fault(f"{at}apiVersion: must be one of {', '.join(PROTOCOL_VERSIONS)}")
    images = tuple(_list(value, "matchImages", at, _item))
    if not images:
        raise Fault(f"{at}matchImages: at least one is needed")
    for position, image in enumerate(images):
        if parse_url("https://" + image) is None:
            raise Fault(f"{at}matchImages[{position}]: is not the name of an image")
    if value.get("defaultCacheDuration") is None:
        raise Fault(f"{at}defaultCacheDuration: is needed")
    duration = parse_duration(_text(value, "defaultCacheDuration", at))
    if duration is None or duration < 0:
        raise Fault(f"{at}defaultCacheDuration: must be a duration, and not below 0")
    attributes = value.get("tokenAttributes")
    if attributes is not None:
        _check_token_attributes(_object(attributes, f"{at}tokenAttributes"), at, api_version)
    return Provider(
        name=name,
        match_images=images,
        cache_seconds=duration / 1e9,
        api_version=api_version,
        args=tuple(_list(value, "args", at, _item)),
        env=tuple(_variable(one, at) for one in _list(value, "env", at, _object)),
        wants_token=attributes is not None,
    )


def _variable(value: Mapping[str, Value], at: str) -> tuple[str, str]:
    _known(value, ("name", "value"), f"{at}env[].")
    return _text(value, "name", f"{at}env[]."), _text(value, "value", f"{at}env[].")


def _check_token_attributes(value: Mapping[str, Value], at: str, api_version: str) -> None:
    at += "tokenAttributes."
    lists = ("requiredServiceAccountAnnotationKeys", "optionalServiceAccountAnnotationKeys")
    fields = ("serviceAccountTokenAudience", "cacheType", "requireServiceAccount", *lists)
    _known(value, fields, at)
    if not _text(value, "serviceAccountTokenAudience", at):
        raise Fault(f"{at}serviceAccountTokenAudience: is needed")
    if _text(value, "cacheType", at) not in _CACHE_TYPES:
        raise Fault(f"{at}cacheType: must be one of {', '.join(_CACHE_TYPES)}")
    required_account = value.get("requireServiceAccount")
    if not isinstance(required_account, bool):
        raise Fault(f"{at}requireServiceAccount: must be true or false")
    if api_version != _PROTOCOL_WITH_TOKENS:
        raise Fault(f"{at[:-1]}: needs apiVersion {_PROTOCOL_WITH_TOKENS}")
    required, optional = (_annotation_keys(value, name, at) for name in lists)
    if required and not required_account:
        raise Fault(f"{at}{lists[0]}: needs requireServiceAccount")
    if required & optional:
        raise Fault(f"{at[:-1]}: a key is both required and optional")


def _annotation_keys(value: Mapping[str, Value], name: str, at: str) -> set[str]:
    keys = _list(value, name, at, _item)
    if len(set(keys)) != len(keys) or not all(map(_is_qualified_name, keys)):
        raise Fault(f"{at}{name}: must be keys of annotations, each once")
    return set(keys)


def _is_qualified_name(key: str) -> bool:
    prefix, slash, name = key.lower().rpartition("/")
    if slash and not (_KEY_PREFIX.fullmatch(prefix) and len(prefix) <= _MOST_OF_PREFIX):
        return False
    return len(name) <= _MOST_OF_NAME and _KEY_NAME.fullmatch(name) is not None


def _known(value: Mapping[str, Value], names: Iterable[str], at: str) -> None:
    """Raise Fault for a field that does not exist: decoding is strict, also of case."""
    for name in value:
        if name not in names:
            # A misspelt field's name may be anything; its value is never told.
            raise Fault(f"{at}{name[:60]!r} is not a field")


def _text(value: Mapping[str, Value], name: str, at: str = "") -> str:
    return _item(value.get(name), at + name)


def _item(found: Value, at: str) -> str:
    """Return a text; null leaves it empty, as Go does."""
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Fault(f"{at}: must be a text")
    return found


def _object(found: Value, at: str) -> Mapping[str, Value]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Fault(f"{at}: must be an object")
    return found


def _list(
    value: Mapping[str, Value], name: str, at: str, item: Callable[[Value, str], _T]
) -> list[_T]:
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Fault(f"{at}{name}: must be a list")
    return [item(one, f"{at}{name}[{position}]") for position, one in enumerate(found)]
