"""Where a pod says that it may run: what the scheduler filters nodes by, read from its spec.

Only what keeps a pod off a node for good is read: ``nodeName``, ``nodeSelector``, the
required node affinity and the tolerations. What merely prefers, and what depends on
other pods, is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True, slots=True)
class Toleration:
    """``v1.Toleration``, less ``tolerationSeconds``: how long a taint is borne excludes no node."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """``v1.NodeSelectorRequirement``: ``operator`` is as written, also one that there is not."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """``v1.NodeSelectorTerm``: all its requirements have to hold; an empty one matches no node."""

    expressions: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """What a pod says of its node.

    ``terms`` are those of the required node affinity, of which one has to hold; None
    where there is none, an empty tuple where there is one that matches nothing.
    ``daemon`` is True for the template of a DaemonSet, whose pods tolerate more.
    """

    node_name: str = ""
    node_selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[Term, ...] | None = None
    tolerations: tuple[Toleration, ...] = ()
    daemon: bool = False


ANYWHERE = Placement()


def placement_of(spec: Mapping[str, Any], *, daemon: bool = False) -> Placement:
    """Read a pod's spec; what is not of the API's shape is taken as not written."""
    tolerations = tuple(map(_toleration, _mappings(spec.get("tolerations"))))
    if daemon:
        tolerations += _of_daemons(host_network=spec.get("hostNetwork") is True)
    selector = spec.get("nodeSelector")
    pairs = selector.items() if isinstance(selector, Mapping) else ()
    return Placement(
        node_name=_text(spec.get("nodeName")),
        node_selector=tuple(
            sorted((k, v) for k, v in pairs if isinstance(k, str) and isinstance(v, str))
        ),
        terms=_terms(spec.get("affinity")),
        tolerations=tolerations,
        daemon=daemon,
    )


def _terms(affinity: Any) -> tuple[Term, ...] | None:
    for step in ("nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"):
        affinity = affinity.get(step) if isinstance(affinity, Mapping) else None
    if not isinstance(affinity, Mapping):
        return None
    return tuple(
        Term(
            tuple(map(_requirement, _mappings(term.get("matchExpressions")))),
            tuple(map(_requirement, _mappings(term.get("matchFields")))),
        )
        for term in _mappings(affinity.get("nodeSelectorTerms"))
    )


def _requirement(written: Mapping[str, Any]) -> Requirement:
    values = written.get("values")
    return Requirement(
        _text(written.get("key")),
        _text(written.get("operator")),
        tuple(map(_text, values)) if isinstance(values, list | tuple) else (),
    )


def _toleration(written: Mapping[str, Any]) -> Toleration:
    keys = ("key", "operator", "value", "effect")
    return Toleration(*(_text(written.get(key)) for key in keys))


def _of_daemons(*, host_network: bool) -> tuple[Toleration, ...]:
    """Return what the DaemonSet controller adds (``AddOrUpdateDaemonPodTolerations``)."""
    kinds = [
        ("not-ready", NO_EXECUTE),
        ("unreachable", NO_EXECUTE),
        ("disk-pressure", NO_SCHEDULE),
        ("memory-pressure", NO_SCHEDULE),
        ("pid-pressure", NO_SCHEDULE),
        ("unschedulable", NO_SCHEDULE),
        *([("network-unavailable", NO_SCHEDULE)] if host_network else []),
    ]
    return tuple(Toleration(f"node.kubernetes.io/{k}", "Exists", "", effect) for k, effect in kinds)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (item for item in value if isinstance(item, Mapping))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
