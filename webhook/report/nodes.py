"""What the nodes contributed to the verdict over one image, as JSON and as text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from webhook.cluster.node import Runtime
from webhook.cluster.scheduling import Eligible, machines
from webhook.cluster.view import Unreadable
from webhook.images.reference import Reference
from webhook.images.workloads import PullPolicy
from webhook.review.words import readable, shown
from webhook.rules.facts import Judged
from webhook.rules.presence import presence_of

MOST_NAMES = 20
"""Names of nodes that JSON holds."""
KEYS = (
    "known",
    "eligible",
    "virtual",
    "names",
    "platforms",
    "unknownPlatforms",
    "runtimes",
    "unknownRuntimes",
    "fullLists",
    "holders",
    "heldBy",
    "why",
)

OF_NODES, DECLARED, BY_FLAG, BY_DEFAULT = "nodes", "declared", "flag", "default"
ORIGINS = (OF_NODES, DECLARED, BY_FLAG, BY_DEFAULT)
"""Where a platform that an image was judged for may come from."""

_TOLD_ORIGINS = {
    OF_NODES: "of the nodes",
    DECLARED: "declared in RegistryConfig",
    BY_FLAG: "given by --platform",
    BY_DEFAULT: "no platform of a node is known",
}
_MOST_SHOWN = 5
_SHOWN_LENGTH = 60


def nodes_json(judged: Judged) -> Mapping[str, Any] | None:
    """Return the object ``nodes``, None where no node is known of.

    Where the nodes could not be read ``why`` says so and all else is None: an empty list
    would be an answer.
    """
    eligible = judged.pod.eligible
    if isinstance(eligible, Unreadable):
        return {**dict.fromkeys(KEYS), "why": readable(eligible.why)}
    if eligible is None or not len(eligible.nodes):
        return None
    held_by = _held_by(judged, eligible)
    return {
        "known": len(eligible.nodes),
        "eligible": eligible.count,
        "virtual": eligible.virtual,
        "names": list(map(readable, eligible.names(MOST_NAMES))),
        "platforms": {readable(name): count for name, count in _platforms(eligible)},
        "unknownPlatforms": eligible.unknown_platforms,
        "runtimes": {readable(name): count for name, count in _runtimes(eligible)},
        "unknownRuntimes": eligible.runtimes.get(Runtime(), 0),
        "fullLists": _silent_lists(judged, eligible),
        "holders": len(held_by),
        "heldBy": list(map(readable, held_by[:MOST_NAMES])),
        "why": None,
    }


def judged_for_json(judged: Judged) -> Mapping[str, str]:
    """Return the platforms that the image was judged for, and the origin of each."""
    return {readable(platform): origin for platform, origin in _origins(judged).items()}


def node_lines(judged: Judged) -> Iterator[str]:
    """Yield the lines of ``nodes``, ``judged for`` and ``held by``, those that say something."""
    eligible = judged.pod.eligible
    origins = _origins(judged)
    if isinstance(eligible, Unreadable):
        yield f"nodes        not known: {shown(eligible.why)}"
    elif eligible is None or not len(eligible.nodes):
        default = [platform for platform, origin in origins.items() if origin == BY_DEFAULT]
        judged_for = f": judged for {_listed(map(shown, default))}" if default else ""
        yield f"nodes        none is known{judged_for}"
        origins = {p: origin for p, origin in origins.items() if origin != BY_DEFAULT}
    else:
        yield from _eligible_lines(eligible)
    if any(origin != OF_NODES for origin in origins.values()):
        yield f"judged for   {_by_origin(origins)}"
    if isinstance(eligible, Eligible) and eligible.count:
        yield f"held by      {_holding(judged, eligible)}"


def _eligible_lines(eligible: Eligible) -> Iterator[str]:
    known, count = len(eligible.nodes), eligible.count
    if not count:
        yield f"nodes        none of {known} may run it"
        return
    names = _listed(map(shown, eligible.names(_MOST_SHOWN)), count)
    virtual = f" ({eligible.virtual} of them virtual)" if eligible.virtual else ""
    yield f"nodes        {count} of {known} may run it: {names}{virtual}"
    platforms = [f"{count} {shown(name, _SHOWN_LENGTH)}" for name, count in _platforms(eligible)]
    if eligible.unknown_platforms:
        platforms.append(f"{eligible.unknown_platforms} of no known platform")
    runtimes = [f"{shown(name, _SHOWN_LENGTH)} ({count})" for name, count in _runtimes(eligible)]
    if untold := eligible.runtimes.get(Runtime()):
        runtimes.append(f"no known runtime ({untold})")
    if platforms or runtimes:
        yield f"             {_listed(platforms)}; {_listed(runtimes)}"


def _holding(judged: Judged, eligible: Eligible) -> str:
    held_by, silent = _held_by(judged, eligible), _silent_lists(judged, eligible)
    notes: list[str] = []
    if held_by and judged.use.pull_policy is PullPolicy.ALWAYS:
        notes.append("imagePullPolicy Always asks the registry all the same")
    if silent:
        many = "1 list is full and proves" if silent == 1 else f"{silent} lists are full and prove"
        notes.append(f"{many} nothing")
    if eligible.virtual:
        one = eligible.virtual == 1
        many = "1 is virtual and tells" if one else f"{eligible.virtual} are virtual and tell"
        notes.append(f"{many} nothing")
    names = _listed(map(shown, held_by)) or "none of them"
    return f"{names} ({'; '.join(notes)})" if notes else names


def _held_by(judged: Judged, eligible: Eligible) -> Sequence[str]:
    if not isinstance(judged.use.reference, Reference):
        return ()
    return presence_of(judged.use, eligible).held_by


def _silent_lists(judged: Judged, eligible: Eligible) -> int:
    return eligible.silent_lists(str(judged.use.reference))


def _origins(judged: Judged) -> dict[str, str]:
    """Return the platforms that the image was judged for; none where nobody looked so far."""
    settings, eligible = judged.pod.settings, judged.pod.eligible
    platforms = eligible.platforms if isinstance(eligible, Eligible) else ()
    of_nodes = {machine.named for platform in platforms for machine in machines(platform)}
    declared = {platform.named for platform in settings.platforms}

    def origin(platform: str) -> str:
        if settings.only_platforms:
            return BY_FLAG
        if platform in of_nodes:
            return OF_NODES
        return DECLARED if platform in declared else BY_DEFAULT

    return {platform: origin(platform) for platform in judged.outcome.judged_for}


def _by_origin(origins: Mapping[str, str]) -> str:
    return ", ".join(
        f"{_listed(map(shown, platforms))} ({_TOLD_ORIGINS[origin]})"
        for origin in ORIGINS
        if (platforms := [p for p, found in origins.items() if found == origin])
    )


def _platforms(eligible: Eligible) -> list[tuple[str, int]]:
    return _counted((platform.named, count) for platform, count in eligible.platforms.items())


def _runtimes(eligible: Eligible) -> list[tuple[str, int]]:
    told = (item for item in eligible.runtimes.items() if item[0] != Runtime())
    return _counted((str(runtime), count) for runtime, count in told)


def _counted(pairs: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return each name once with its count, the most frequent first."""
    counts = Counter[str]()
    for name, count in pairs:
        counts[name] += count
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _listed(texts: Iterable[str], count: int | None = None) -> str:
    """Return the first of some texts; ``count`` is how many there are of which these are some."""
    texts = list(texts)
    more = (len(texts) if count is None else count) - _MOST_SHOWN
    first = ", ".join(texts[:_MOST_SHOWN])
    return f"{first} and {more} more" if more > 0 else first
