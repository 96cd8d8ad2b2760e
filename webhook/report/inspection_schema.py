"""The JSON Schema of one line of ``pullproof inspect --output json``."""

from typing import Any

from webhook.registry.outcome import Cause, Pull
from webhook.report.nodes import MOST_NAMES, ORIGINS

_TEXT = {"type": "string"}
_NUMBER_OR_NULL = {"type": ["integer", "null"]}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_TEXTS = {"type": ["array", "null"], "items": _TEXT}
_COUNT = {"type": ["integer", "null"]}
_COUNTS = {"type": ["object", "null"], "additionalProperties": {"type": "integer"}}


def schema() -> dict[str, Any]:
    """Return the schema of the object that stands for one image."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pullproof inspect",
        "description": "one image as a node would see it",
        **_object(
            image=_TEXT,
            reference={
                "description": "null where the text is no reference",
                "anyOf": [
                    {"type": "null"},
                    _object(domain=_TEXT, path=_TEXT, tag=_TEXT_OR_NULL, digest=_TEXT_OR_NULL),
                ],
            },
            pull={"enum": [pull.value for pull in Pull]},
            cause={"enum": [*(cause.value for cause in Cause), None]},
            code={"enum": [*(cause.code for cause in Cause), None]},
            message=_TEXT_OR_NULL,
            digest=_TEXT_OR_NULL,
            sizes={
                "description": "bytes of the compressed layers by platform; null where not known",
                "type": ["object", "null"],
                "additionalProperties": {"type": "integer", "minimum": 0},
            },
            quota={
                "description": "what the registry told of its pulls; null where it told nothing",
                "anyOf": [
                    {"type": "null"},
                    _object(
                        remaining={"type": "integer"},
                        limit=_NUMBER_OR_NULL,
                        windowSeconds=_NUMBER_OR_NULL,
                    ),
                ],
            },
            credentials={
                "description": "those that match, in the order in which the kubelet tries them",
                "type": "array",
                "items": _object(source=_TEXT, key=_TEXT, username=_TEXT),
            },
            requests={
                "type": "array",
                "items": _object(
                    method=_TEXT,
                    url=_TEXT,
                    status={
                        "description": "null where no answer came",
                        "type": ["integer", "null"],
                    },
                    **{"as": _TEXT_OR_NULL},
                ),
            },
            credentialsUnknown={
                "description": "why a node may try more than these; null where it may not",
                **_TEXT_OR_NULL,
            },
            judgedFor={
                "description": "the platforms that it was judged for, and where each comes from",
                "type": "object",
                "additionalProperties": {"enum": list(ORIGINS)},
            },
            nodes={
                "description": "the nodes that the pod may run on; null where no node is known of",
                "anyOf": [{"type": "null"}, _nodes()],
            },
        ),
    }


def _nodes() -> dict[str, Any]:
    return {
        "description": "where the nodes could not be read, why says so and all else is null",
        **_object(
            known=_COUNT,
            eligible=_COUNT,
            virtual={"description": "eligible ones that are no machines", **_COUNT},
            names={"description": f"of the eligible, {MOST_NAMES} at most", **_TEXTS},
            platforms=_COUNTS,
            unknownPlatforms=_COUNT,
            runtimes=_COUNTS,
            unknownRuntimes=_COUNT,
            fullLists={"description": "too full to prove that the image is not there", **_COUNT},
            holders={"description": "eligible nodes that list the image", **_COUNT},
            heldBy={"description": f"the names of those, {MOST_NAMES} at most", **_TEXTS},
            why=_TEXT_OR_NULL,
        ),
    }


def _object(**properties: Any) -> dict[str, Any]:
    # More keys may be added: additionalProperties stays open.
    return {"type": "object", "properties": properties, "required": list(properties)}
