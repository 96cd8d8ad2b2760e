"""Platforms, as containerd reads, normalises, matches and prefers them.

Reproduces github.com/containerd/platforms v1 as a pull uses it: what an index offers
is *fetched* by ``Ordered(DefaultSpec())`` (``core/transfer/image``), and one of it is
*chosen* by ``Default()``, which is ``Only(DefaultSpec())`` but on Windows
(``images.Config``). The two differ: amd64 would choose 386, but never fetches it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf
from typing import TypeVar
from urllib.parse import unquote

_T = TypeVar("_T")

_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?", re.ASCII)
_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SHOWN = re.compile(
    r"[A-Za-z0-9._-]{1,64}(\([0-9.]{1,64}\))?(/[A-Za-z0-9._-]{1,64}){0,2}", re.ASCII
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_WIN32K = "win32k"

OLDEST_ARM = 5
UNKNOWN = "unknown/unknown"


@dataclass(frozen=True, slots=True)
class Platform:
    """``platforms.Platform``: all of it text, as an index, a config or a node declares it."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def named(self) -> str:
        """Return it with its version (``platforms.FormatAll``): ``windows(10.0.20348)/amd64``."""
        if not self.os_version:
            return str(self)
        return str(replace(self, os=f"{self.os}({self.os_version})"))


@dataclass(frozen=True, slots=True)
class InvalidPlatform:
    """A text that names no platform, and why."""

    text: str
    reason: str


def parse(text: str) -> Platform | InvalidPlatform:
    """Read ``os/arch[/variant]``, in the canonical form (``platforms.Parse``).

    ``os`` may carry a version, ``windows(10.0.20348)``. What containerd completes from
    the machine that it runs on (``linux`` or ``arm64`` alone) is refused.
    """
    first, *rest = text.split("/", 3)
    found = _OS.fullmatch(first)
    if found is None:
        return InvalidPlatform(text, "the operating system must be letters, digits, - and _")
    if any(_COMPONENT.fullmatch(part) is None for part in rest):
        return InvalidPlatform(text, "each part must be letters, digits, -, _ and .")
    if not 1 <= len(rest) <= len(("architecture", "variant")):
        return InvalidPlatform(text, "it must be os/arch or os/arch/variant")
    version, listed = found[2] or "", (found[3] or "")[1:]
    if _BAD_ESCAPE.search(version + "+" + listed):
        return InvalidPlatform(text, "its % escapes no byte")
    features = listed.split("+") if listed else []
    if "" in features:
        return InvalidPlatform(text, "a feature of the operating system is empty")
    return Platform(
        _os(found[1]),
        *_specified(*rest),
        unquote(version),
        tuple(filter(None, map(unquote, features))),
    )


def _specified(architecture: str, variant: str | None = None) -> tuple[str, str]:
    """Return the canonical pair; the usual variant is left out where it is not written."""
    pair = _architecture(architecture, variant or "")
    if variant is None and pair == ("arm", "v7"):
        return "arm", ""
    return ("arm64", "v8") if variant is not None and pair == ("arm64", "") else pair


def normalised(platform: Platform, host: str = "linux") -> Platform:
    """Return the canonical form (``platforms.Normalize``) on a containerd of OS ``host``."""
    architecture, variant = _architecture(platform.architecture, platform.variant)
    return replace(
        platform,
        os=_os(platform.os) or host,
        architecture=architecture,
        variant=variant,
        os_features=tuple(sorted(set(platform.os_features))),
    )


def matches(node: Platform, offered: Platform) -> bool:
    """Tell whether ``node`` would choose ``offered`` of an index (``platforms.Default``)."""
    return chooser(node).matches(offered)


_PROCESSORS = frozenset(
    {"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"}
    | {"ppc64", "ppc64le", "riscv64", "s390x"}
)
"""The architectures that Go builds for (``GOARCH``), but for WebAssembly."""


def may_run(node: Platform, built_for: Platform) -> bool:
    """Tell whether a program of what a config declares may run on ``node``, once it is there.

    Nothing compares the two after a pull: what counts is the processor. A config that
    declares none that Go builds for says nothing, ``wasm`` needs a runtime and no processor,
    and of a node's variant nothing is known.
    """
    plain = normalised(replace(built_for, variant="", os_features=()), node.os)
    if plain.architecture not in _PROCESSORS:
        return True
    return matches(node, plain) or matches(node, replace(plain, variant=built_for.variant))


def fetched(node: Platform, offered: Platform) -> bool:
    """Tell whether ``node`` fetches ``offered`` of an index (``Ordered(DefaultSpec())``)."""
    return fetcher(node).matches(offered)


@lru_cache(maxsize=256)
def chooser(node: Platform) -> "Comparer":
    """Return what decides between the entries of an index: ``platforms.Default()`` of a node."""
    if node.os == "windows":
        return Comparer((node,), node.os, newest_first=True)
    return Comparer(compatible(normalised(node, node.os)), node.os)


@lru_cache(maxsize=256)
def fetcher(node: Platform) -> "Comparer":
    """Return the filter of the transfer service: ``platforms.Ordered(DefaultSpec())``."""
    return Comparer((node,), node.os)


def shown(platform: Platform | None) -> str:
    """Name a declared platform for people: empty for none.

    What no platform is called is ``unknown/unknown``: the text would end in a message.
    """
    named = "" if platform is None else platform.named
    return named if not named or _SHOWN.fullmatch(named) else UNKNOWN


class Comparer:
    """Some platforms in order of preference (``platforms.Ordered``).

    ``newest_first``: among those that match, the later ``os.version`` is preferred, as
    by ``windowsMatchComparer`` on a Windows host.
    """

    def __init__(
        self, wanted: Sequence[Platform], host: str, *, newest_first: bool = False
    ) -> None:
        self._host = host
        self._newest_first = newest_first
        self._wanted = tuple((one.os == "windows", normalised(one, host)) for one in wanted)

    def matches(self, offered: Platform) -> bool:
        return self._place(offered) < inf

    def sorted(self, entries: Sequence[_T], platform: Callable[[_T], Platform | None]) -> list[_T]:
        """Return ``entries``, the preferred first; those without a platform come last.

        As ``sort.SliceStable`` with ``Less`` does in ``images.Manifest``.
        """
        none = [one for one in entries if platform(one) is None]
        declared = [(one, of) for one in entries if (of := platform(one)) is not None]
        if not self._newest_first:
            declared.sort(key=lambda pair: self._preference(pair[1]))
            return [one for one, _ in declared] + none
        matching = [(one, of) for one, of in declared if self.matches(of)]
        matching.sort(key=lambda pair: pair[1].os_version.encode(), reverse=True)
        others = [one for one, of in declared if not self.matches(of)]
        return [one for one, _ in matching] + others + none

    def _preference(self, offered: Platform) -> tuple[float, int, float]:
        """Order as ``Less``: who matches first, with more features, then without any."""
        place = self._place(offered)
        if place < inf:
            return place, -len(offered.os_features), 0
        return inf, 0, self._place(replace(offered, os_features=()))

    def _place(self, offered: Platform) -> float:
        plain = normalised(offered, self._host)
        for place, (windows, wanted) in enumerate(self._wanted):
            if (
                (wanted.os, wanted.architecture, wanted.variant)
                == (plain.os, plain.architecture, plain.variant)
                and set(_features(offered, plain, windows=windows)) <= set(wanted.os_features)
                and not (windows and not windows_runs(wanted.os_version, offered.os_version))
            ):
                return place
        return inf


def _features(offered: Platform, plain: Platform, *, windows: bool) -> Sequence[str]:
    """Return the features that must be there; Windows leaves ``win32k`` out, once."""
    if not windows or _WIN32K not in offered.os_features:
        return plain.os_features
    features = list(offered.os_features)
    features.remove(_WIN32K)
    return features


def compatible(platform: Platform) -> tuple[Platform, ...]:
    """Return what a normalised platform can run, best first (``platformVector``)."""
    if platform.architecture == "amd64":
        older = _down_to(platform, 1)
        return (*older, replace(platform, architecture="386", variant=""))
    if platform.architecture == "arm":
        return _down_to(platform, OLDEST_ARM)
    if platform.architecture == "arm64":
        variants = _ARM64.get(platform.variant or "v8", ())
        if not variants:
            return ()
        own = tuple(replace(platform, variant=variant) for variant in variants)
        return own + _down_to(replace(platform, architecture="arm", variant="v8"), OLDEST_ARM)
    return (platform,)


def _down_to(platform: Platform, oldest: int) -> tuple[Platform, ...]:
    """Return the platform and its older variants ``vN``."""
    number = platform.variant.removeprefix("v")
    newest = int(number) if _NUMBER.fullmatch(number) else oldest
    older = (replace(platform, variant=f"v{one}") for one in range(newest - 1, oldest - 1, -1))
    return (platform, *older)


def _arm64_variants() -> dict[str, tuple[str, ...]]:
    """Return what each variant of arm64 runs: Armv9.x has all of Armv8.(x+5)."""

    def minors(major: int, minor: int) -> tuple[str, ...]:
        return tuple(f"v{major}.{one}" if one else f"v{major}" for one in range(minor, -1, -1))

    runs: dict[str, tuple[str, ...]] = {}
    for minor in range(10):
        runs[f"v8.{minor}"] = minors(8, minor)
    for minor in range(8):
        runs[f"v9.{minor}"] = minors(9, minor) + minors(8, min(minor + 5, 9))
    return runs | {"v8": runs["v8.0"], "v9": runs["v9.0"]}


_ARM64 = _arm64_variants()

_LTSC_2022 = 20348


def windows_runs(host: str, image: str) -> bool:
    """Tell whether a Windows of version ``host`` runs an image for ``image``.

    ``checkWindowsHostAndContainerCompat``: below Windows Server 2022 the build must be
    the same; from there on a host runs what is between the release before its own and
    itself. A version that is not known excludes nothing.
    """
    of_host, of_image = _windows(host), _windows(image)
    if of_host == (0, 0, 0) or not image:
        return True
    if of_host[:2] != of_image[:2]:
        return False
    if of_host[2] < _LTSC_2022:
        return of_host[2] == of_image[2]
    return _LTSC_2022 <= of_image[2] <= of_host[2]


def _windows(version: str) -> tuple[int, int, int]:
    """Return major, minor and build (``getWindowsOSVersion``); zeros where there is none."""
    parts = version.split(".")[:3]
    limits = (0xFF, 0xFF, 0xFFFF)
    if len(parts) < len(limits):
        return 0, 0, 0
    if any(
        not _DIGITS.fullmatch(part) or len(part.lstrip("0")) > len(str(limit)) or int(part) > limit
        for part, limit in zip(parts, limits, strict=True)
    ):
        return 0, 0, 0
    major, minor, build = map(int, parts)
    return major, minor, build


def _os(name: str) -> str:
    lowered = _lower(name)
    return "darwin" if lowered == "macos" else lowered


_ARCHITECTURES = {
    "i386": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
}
_SYNONYMS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm64", "v8.0"): "",
    ("arm64", "9"): "v9",
    ("arm64", "9.0"): "v9",
    ("arm64", "v9.0"): "v9",
    ("arm", ""): "v7",
    ("arm", "7"): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "8"): "v8",
}
_IMPLIED = {"i386": "", "armhf": "v7", "armel": "v6"}


def _architecture(name: str, variant: str) -> tuple[str, str]:
    """Return the canonical architecture and variant (``normalizeArch``)."""
    name, variant = _lower(name), _lower(variant)
    architecture = _ARCHITECTURES.get(name, name)
    if name in _IMPLIED:
        return architecture, _IMPLIED[name]
    return architecture, _SYNONYMS.get((architecture, variant), variant)


def _lower(text: str) -> str:
    """Lower letter for letter as Go does: Python makes two of the dotted capital I."""
    return text if text.isascii() and text.islower() else _lowered(text)


def _lowered(text: str) -> str:
    return "".join("i" if letter == "\u0130" else letter.lower() for letter in text)
