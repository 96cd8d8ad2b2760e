"""What the nodes that a pod may run on make of a pull: their platforms, runtimes and images."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from webhook.cluster.node import Runtime
from webhook.cluster.scheduling import Eligible, machines
from webhook.cluster.view import Unreadable
from webhook.images.platform import Platform
from webhook.images.reference import Reference
from webhook.images.workloads import ImageUse
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.rules.facts import Judged, PodFacts
from webhook.rules.presence import matters, presence_of, with_presence

NEWEST_PULLER = (2, 1)
"""The first containerd that pulls by its transfer service unless told otherwise."""
FIRST_WITH_HOSTS_FILES = (1, 5)
"""The first containerd whose CRI plugin has a ``config_path``. cri-o has a file of its own."""


def platforms_of(pod: PodFacts) -> tuple[Platform, ...]:
    """Return the platforms that the images of a pod have to serve, empty where none is known.

    Those of the nodes that it may run on, and the declared ones of pools that may scale
    up from zero; where a flag names some, those alone.
    """
    settings = pod.settings
    if settings.only_platforms:
        return settings.only_platforms
    found: list[Platform] = []
    if isinstance(pod.eligible, Eligible):
        found += (machine for p in pod.eligible.platforms for machine in machines(p))
    return tuple(dict.fromkeys((*found, *settings.platforms)))


def on_its_nodes(judged: Judged) -> Judged:
    """Return what was judged as it is once the nodes were looked at."""
    eligible = judged.pod.eligible
    outcome = _by_runtime(judged, judged.outcome)
    if outcome.unserved and not outcome.detail:
        known = eligible if isinstance(eligible, Eligible) else None
        outcome = replace(outcome, detail=_unserved(outcome, known))
    judged = replace(judged, outcome=outcome)
    if eligible is None or not matters(judged.use, outcome):
        return judged
    presence = presence_of(judged.use, eligible)
    outcome = with_presence(judged.use, outcome, presence, kept_back=judged.kept_back is True)
    return replace(judged, outcome=outcome, presence=presence)


# -- platforms -----------------------------------------------------------------------------


def doubt_of_platform(judged: Judged) -> str:
    """Return what is lacking for "none of the nodes is served", empty where it is proven."""
    eligible = judged.pod.eligible
    if isinstance(eligible, Unreadable):
        return eligible.why
    if judged.pod.settings.only_platforms:
        return ""
    if eligible is None or not len(eligible.nodes):
        return "no node is known"
    if not eligible.count:
        return "no node that is known may run it"
    if eligible.virtual:
        return "a virtual node may run it"
    if eligible.unknown_platforms:
        return "not every node tells its platform"
    return ""


def _unserved(outcome: Outcome, eligible: Eligible | None) -> str:
    """Say what is not served, by count and label, and what the image is for."""
    counts = Counter[str]()
    for platform, nodes in (eligible.platforms if eligible is not None else {}).items():
        for machine in machines(platform):
            counts[machine.named] += nodes
    told = [_told(platform, counts[platform]) for platform in outcome.unserved]
    offered = [platform for platform in outcome.platforms or () if platform]
    built = f"it is for {_listed(offered)}, " if offered else ""
    return f"{built}not for {_listed(told)}"


def _told(platform: str, nodes: int) -> str:
    if not nodes:
        return platform
    os, _, rest = platform.partition("/")
    labels = f"kubernetes.io/arch={rest.partition('/')[0]}"
    if not os.startswith("linux"):
        labels = f"kubernetes.io/os={os.partition('(')[0]}, {labels}"
    many = f"{nodes} node{'s' if nodes > 1 else ''}"
    return f"{platform} ({many} with {labels})"


def _listed(texts: Iterable[str], most: int = 5) -> str:
    first = list(dict.fromkeys(texts))
    more = f" and {len(first) - most} more" if len(first) > most else ""
    return ", ".join(first[:most]) + more


# -- runtimes ------------------------------------------------------------------------------


def _by_runtime(judged: Judged, outcome: Outcome) -> Outcome:
    """Leave undecided what another runtime of the eligible nodes may decide otherwise."""
    if outcome.pull is not Pull.FAILS:
        return outcome
    eligible = judged.pod.eligible
    if isinstance(eligible, Unreadable):
        differs = outcome.older_take or _is_short(judged.use) or outcome.by_hosts_file
        return outcome.unknown(eligible.cause, eligible.why) if differs else outcome
    if eligible is None:
        return outcome
    why = _otherwise(judged, outcome, eligible)
    return outcome.unknown(Cause.RUNTIME_UNKNOWN, why) if why else outcome


def _otherwise(judged: Judged, outcome: Outcome, eligible: Eligible) -> str:
    """Say which runtime may not fail so, empty where none may."""
    if outcome.cause is Cause.PLATFORM_NONE and eligible.virtual:
        return "a virtual node may run it"
    if outcome.older_take and not all(map(_is_newest, _versions(eligible))):
        return "containerd before 2.1 takes another platform or format of it"
    if _is_short(judged.use) and any(r.name == "cri-o" for r in eligible.runtimes):
        return "cri-o looks short names up in its own registries.conf"
    if outcome.by_hosts_file and not all(map(_reads_hosts_files, eligible.runtimes)):
        return "the runtime of some nodes reads no hosts.toml"
    return ""


def _reads_hosts_files(runtime: Runtime) -> bool:
    if not runtime.name:
        return True  # whoever names a folder of them has nodes that read it
    return runtime.name == "containerd" and runtime.numbers[:2] >= FIRST_WITH_HOSTS_FILES


def _versions(eligible: Eligible) -> Iterable[tuple[str, tuple[int, ...]]]:
    return ((runtime.name, runtime.numbers) for runtime in eligible.runtimes)


def _is_newest(runtime: tuple[str, tuple[int, ...]]) -> bool:
    name, numbers = runtime
    return name == "containerd" and numbers[:2] >= NEWEST_PULLER


def _is_short(use: ImageUse) -> bool:
    """Tell whether the image is written without its registry."""
    reference = use.reference
    if not isinstance(reference, Reference) or reference.domain != "docker.io":
        return False
    first = use.written.partition("/")[0]
    return "/" not in use.written or first not in ("docker.io", "index.docker.io")
