"""The small texts of a policy file: durations, quantities, globs, dates, addresses.

Each reader raises ValueError with what was expected; the model turns that into a
fault at the value. Nothing here reads a file or a clock.
"""

import re
from datetime import date
from decimal import Decimal
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from webhook.policy.glob import docker_hub_fault, host_glob_fault, image_glob_fault

_DURATION = r"([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+"
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_QUANTITY = r"[0-9]{1,18}(\.[0-9]{1,9})?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|[eE][0-9]{1,2})?"
_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18} | {
    f"{prefix}i": 1024**power for power, prefix in enumerate("KMGTPE", start=1)
}
_PLATFORM = r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?"
_DOTTED = r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*"
_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
_HIGHEST_PORT = 65535


def seconds(text: str) -> float:
    """Return the seconds of ``500ms``, ``1.5s``, ``1h30m``."""
    if not re.fullmatch(_DURATION, text, re.ASCII):
        raise ValueError("expected a duration such as 500ms, 5s, 1m30s or 1h")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _duration(value: Any) -> Any:
    seconds(value if isinstance(value, str) else "")
    return value


def _positive_duration(value: Any) -> Any:
    if seconds(value if isinstance(value, str) else "") <= 0:
        raise ValueError("expected a duration above zero")
    return value


def quantity_bytes(text: str) -> int:
    """Return the bytes of a Kubernetes quantity (``4Gi``, ``500M``, ``1.5e9``), rounded up."""
    if not re.fullmatch(_QUANTITY, text, re.ASCII):
        raise ValueError("expected a Kubernetes quantity of bytes such as 500Mi or 4Gi")
    digits = re.match(r"[0-9.]+", text, re.ASCII)
    number = digits[0] if digits is not None else ""
    suffix = text.removeprefix(number)
    factor = _SUFFIXES[suffix] if suffix in _SUFFIXES else 10 ** int(suffix[1:])
    return int((Decimal(number) * factor).to_integral_value(rounding="ROUND_CEILING"))


def _quantity(text: str) -> str:
    if quantity_bytes(text) <= 0:
        raise ValueError("expected a quantity above zero")
    return text


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _day(value: Any) -> Any:
    words = "expected a day such as 2027-06-30"
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError(words)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{words}; there is no such day") from None


def _image_glob(text: str) -> str:
    if (fault := image_glob_fault(text)) is not None:
        raise ValueError(fault)
    return text


def _host_glob(text: str) -> str:
    if (fault := host_glob_fault(text)) is not None:
        raise ValueError(fault)
    if "*" in text.rpartition("]")[2].partition(":")[2]:
        raise ValueError("expected a port in digits, or none")
    return text


def _registry_glob(text: str) -> str:
    if (fault := docker_hub_fault(text)) is not None:
        raise ValueError(fault)
    return _host_glob(text)


def _something(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text that is not empty")
    return text


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError(f"expected a network such as 10.96.0.0/12: {error}") from None
    return text


def _host_and_port(text: str) -> str:
    match = re.fullmatch(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})", text, re.ASCII)
    if match is None or not 0 < int(match[1]) <= _HIGHEST_PORT:
        raise ValueError('expected a host and a port such as "registry.corp:443"')
    return text


def _matching(pattern: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(words)
        return text

    return AfterValidator(check)


def _proxy(text: str) -> str:
    if not re.fullmatch(r"(?:(?:https?|socks5h?)://)?[^/\s]+/?", text, re.ASCII):
        raise ValueError('expected an address such as "http://proxy.corp:3128"')
    return text


def _text_schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": [example]})


Duration = Annotated[str, BeforeValidator(_duration), _text_schema(_DURATION, "60s")]
"""A time of zero or more, as it is written; :func:`seconds` reads it."""
PositiveDuration = Annotated[
    str, BeforeValidator(_positive_duration), _text_schema(_DURATION, "1s")
]
Quantity = Annotated[
    str,
    AfterValidator(_quantity),
    BeforeValidator(_number_as_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_QUANTITY}$", "examples": ["4Gi"]},
                {"type": "integer", "exclusiveMinimum": 0},
            ]
        }
    ),
]
"""Bytes, as they are written; :func:`quantity_bytes` reads them."""
Day = Annotated[date, BeforeValidator(_day)]
ImageGlob = Annotated[str, AfterValidator(_image_glob)]
HostGlob = Annotated[str, AfterValidator(_host_glob)]
RegistryGlob = Annotated[str, AfterValidator(_registry_glob)]
"""A glob over hosts as they stand in a reference."""
Text = Annotated[
    str, AfterValidator(_something), WithJsonSchema({"type": "string", "minLength": 1})
]
Network = Annotated[str, AfterValidator(_network)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
ProxyAddress = Annotated[str, AfterValidator(_proxy)]
Platform = Annotated[
    str,
    _matching(_PLATFORM, 'expected a platform such as "linux/arm64" or "linux/arm/v7"'),
    _text_schema(_PLATFORM, "linux/arm64"),
]
FieldPath = Annotated[
    str,
    _matching(_DOTTED, 'expected the path of a field such as "spec.template.spec"'),
    _text_schema(_DOTTED, "spec.template"),
]
ObjectName = Annotated[
    str,
    _matching(_NAME, "expected lower-case letters, digits, dashes and dots"),
    _text_schema(_NAME, "production"),
]
