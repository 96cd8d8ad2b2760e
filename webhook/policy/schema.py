"""The JSON Schema of a policy file's documents, for editors and pipelines."""

from typing import Any

from pydantic import TypeAdapter

from webhook.policy.document import Model


def schema() -> dict[str, Any]:
    """Return the schema of one document; ``policies/schema.json`` holds the same."""
    generated = TypeAdapter(Model).json_schema(by_alias=True)
    cleaned: dict[str, Any] = _without_noise(generated)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pullproof policy document",
        "description": "ImagePolicy, RegistryConfig or WorkloadKinds of pullproof.dev/v1alpha1",
    } | cleaned


def _without_noise(part: Any) -> Any:
    """Drop what the models have and files may not: null, and titles that repeat the key."""
    if isinstance(part, list):
        return [_without_noise(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {
        key: _without_noise(value)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
    }
    alternatives = kept.get("anyOf")
    if isinstance(alternatives, list) and {"type": "null"} in alternatives:
        del kept["anyOf"]
        others = [item for item in alternatives if item != {"type": "null"}]
        kept |= others[0] if len(others) == 1 else {"anyOf": others}
    return kept
