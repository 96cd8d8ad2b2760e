"""The JSON Schema of one line of ``pullproof inspect --output json``."""

from typing import Any

from webhook.registry.outcome import Cause, Pull

_TEXT = {"type": "string"}
_NUMBER_OR_NULL = {"type": ["integer", "null"]}
_TEXT_OR_NULL = {"type": ["string", "null"]}


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
        ),
    }


def _object(**properties: Any) -> dict[str, Any]:
    # More keys may be added: additionalProperties stays open.
    return {"type": "object", "properties": properties, "required": list(properties)}
