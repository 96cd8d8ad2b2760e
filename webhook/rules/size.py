"""How large the layers of an image are, against the policy's ``max`` and the nodes' disks.

What counts is what a pull transfers and keeps: the compressed layers of the manifest that
each platform would take, each digest once. The registry's own manifests tell it, and those
were verified by their digests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.cluster.scheduling import Eligible, Smallest, machines
from webhook.images.platform import Platform, normalised
from webhook.images.workloads import PullPolicy
from webhook.policy.action import Action
from webhook.policy.select import Rules
from webhook.registry.outcome import Cause, Pull, Rule
from webhook.rules.facts import Found, Judged, PodFacts, Presence
from webhook.rules.presence import held, presence_of

Sizes = Sequence[tuple[Platform, int]]

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_MOST_DECIMALS = 3


def is_wanted(rules: Rules, pod: PodFacts) -> bool:
    """Tell whether sizes decide anything: learning them takes requests of their own."""
    setting = rules[Rule.IMAGE_TOO_LARGE]
    if setting.action is Action.OFF:
        return False
    has_disks = isinstance(pod.eligible, Eligible) and bool(pod.eligible.smallest)
    return setting.parameters.max_bytes is not None or has_disks


def findings(judged: Judged, rules: Rules) -> Iterator[Found]:
    """Yield what is too large; nothing where sizes were not learnt."""
    sizes = judged.outcome.sizes
    limit = rules[Rule.IMAGE_TOO_LARGE].parameters.max_bytes
    if limit is not None and sizes:
        platform, size = max(sizes, key=lambda one: one[1])
        if size > limit:
            larger, allowed = told_apart(size, limit)
            told = f"{_layers(larger, platform)}, the policy allows {allowed}"
            yield Found(Cause.SIZE_OVER_LIMIT, _unknown(judged), detail=told)
    eligible = judged.pod.eligible
    if isinstance(eligible, Eligible):
        tight = max(_too_small(sizes, eligible), key=_Tight.rank, default=None)
        if tight is not None:
            larger, room = told_apart(tight.size, tight.node.storage)
            name = eligible.name_of(tight.node.slot)
            told = f'{_layers(larger, tight.platform)}, {room} of storage on node "{name}"'
            doubt = _unknown(judged) or _held(judged) or tight.doubt
            yield Found(Cause.NODE_TOO_SMALL, doubt, detail=told)


@dataclass(frozen=True, slots=True)
class _Tight:
    """A node whose disk has no room for the layers that it would take."""

    platform: Platform
    size: int
    node: Smallest
    doubt: str = ""

    def rank(self) -> tuple[bool, int]:
        """Order by what is certain, then by what is lacking."""
        return not self.doubt, self.size - self.node.storage


def _too_small(sizes: Sizes, eligible: Eligible) -> Iterator[_Tight]:
    known = {normalised(platform): (size, platform) for platform, size in sizes}
    for platform, node in eligible.smallest.items():
        may_be = map(normalised, machines(platform)) if platform is not None else known
        # Where a machine may be one of several, the one that takes least is no guess.
        takes = min(
            (known[machine] for machine in may_be if machine in known),
            key=lambda one: one[0],
            default=None,
        )
        if takes is not None and takes[0] > node.storage:
            untold = "" if platform is not None else "that node does not tell its platform"
            yield _Tight(takes[1], takes[0], node, untold)


def _unknown(judged: Judged) -> str:
    """Say why it is not proven that this is what would be pulled.

    An image that some nodes are not served of is what it is for the others.
    """
    outcome = judged.outcome
    if outcome.pull is not Pull.UNKNOWN or outcome.cause is Cause.PLATFORM_SOME:
        return ""
    return outcome.detail or "it could not be known"


def _held(judged: Judged) -> str:
    """Say that a node need not pull it. A policy's ``max`` holds all the same."""
    return held(_presence(judged))


def full_lists(judged: Judged) -> int:
    """Return how many nodes may hold an image that they do not list, where that matters."""
    return _presence(judged).full_lists


def _presence(judged: Judged) -> Presence:
    # Of an image that is pulled the nodes are not asked otherwise: its outcome stands.
    eligible = judged.pod.eligible
    if eligible is None or judged.use.pull_policy is PullPolicy.ALWAYS:
        return Presence()
    return presence_of(judged.use, eligible)


# -- words -----------------------------------------------------------------------------------


def _layers(size: str, platform: Platform) -> str:
    return f"{size} of compressed layers for {platform}"


def amount(size: int, decimals: int = 1) -> str:
    """Return bytes in the largest unit that fits, rounded; whatever is larger reads larger."""
    if size < _STEP:
        return f"{size} bytes" if size != 1 else "1 byte"
    tens = 10**decimals
    for power, unit in enumerate(_UNITS, 1):
        whole = _STEP**power
        rounded = (2 * size * tens + whole) // (2 * whole)
        if rounded < _STEP * tens or unit == _UNITS[-1]:
            break
    fraction = f"{rounded % tens:0{decimals}}".rstrip("0")
    return f"{rounded // tens}{'.' if fraction else ''}{fraction} {unit}"


def told_apart(larger: int, smaller: int) -> tuple[str, str]:
    """Return both amounts, with as many decimals as it takes for them to differ."""
    for decimals in range(1, _MOST_DECIMALS + 1):
        texts = amount(larger, decimals), amount(smaller, decimals)
        if texts[0] != texts[1]:
            return texts
    return f"{larger} bytes", f"{smaller} bytes"
