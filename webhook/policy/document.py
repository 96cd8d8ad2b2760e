"""From one YAML document to its model, with each fault at the key or value it is about."""

from collections.abc import Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from webhook.cluster.yamltext import Node, quoted
from webhook.policy.fault import Fault, Severity, path_text
from webhook.policy.model import API_VERSION, ImagePolicy, WorkloadKinds
from webhook.policy.registry_model import RegistryConfig

Model = ImagePolicy | RegistryConfig | WorkloadKinds
KINDS: dict[str, type[ImagePolicy] | type[RegistryConfig] | type[WorkloadKinds]] = {
    "ImagePolicy": ImagePolicy,
    "RegistryConfig": RegistryConfig,
    "WorkloadKinds": WorkloadKinds,
}

Step = str | int
_EXPECTED = {
    "string_type": "expected a string",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "too_short": "expected at least one entry",
}
_SECRET_STEPS = frozenset(("proxy",))


def read_document(file: str, node: Node) -> Model | list[Fault]:
    """Return the document's model, or every fault that it has."""
    if not isinstance(node.value, dict):
        return [_fault(file, node, (), f"expected a mapping, got {_kind_of(node)}")]
    heads = list(_head_faults(file, node))
    if heads:
        return heads
    model = KINDS[_text_at(node, "kind")]
    nulls = list(_nulls(file, node, ()))
    try:
        document = model.model_validate(node.plain())
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        faults = [fault for item in details for fault in _from_pydantic(file, node, model, item)]
        places = {(fault.line, fault.column) for fault in nulls}
        return nulls + [fault for fault in faults if (fault.line, fault.column) not in places]
    return nulls or document


def _text_at(node: Node, key: str) -> str:
    child = node.child(key)
    return child.value if child is not None and isinstance(child.value, str) else ""


def _head_faults(file: str, node: Node) -> Iterator[Fault]:
    for key, wanted in (("apiVersion", [API_VERSION]), ("kind", list(KINDS))):
        child = node.child(key)
        if child is None:
            yield _missing(file, node, (key,), f"expected {_one_of(wanted)}")
        elif child.value not in wanted:
            yield _fault(file, child, (key,), _expected(wanted, child))


def _nulls(file: str, node: Node, path: tuple[Step, ...]) -> Iterator[Fault]:
    if isinstance(node.value, dict):
        for key, entry in node.value.items():
            yield from _nulls(file, entry.value, (*path, key))
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            yield from _nulls(file, item, (*path, index))
    elif node.value is None:
        yield _fault(file, node, path, "expected a value; leave the key out to get the default")


def _from_pydantic(
    file: str, root: Node, model: type[BaseModel], error: ErrorDetails
) -> Iterator[Fault]:
    steps = error["loc"]
    if error["type"] == "extra_forbidden":
        yield _unknown_key(file, root, model, steps)
        return
    path, node = _reach(root, steps)
    if error["type"] == "missing" and isinstance(node.value, dict):
        yield _missing(file, node, (*path, steps[-1]), "this key is required")
    elif error["type"] == "missing":
        yield _fault(file, node, path, f"expected a mapping, got {_kind_of(node)}")
    elif error["type"] != "too_short" or not node.value:
        yield _fault(file, node, path, _words(error, path, node))


def _reach(root: Node, steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], Node]:
    """Follow ``steps`` as far as the document goes: a bare action has no key ``action``."""
    node = root
    for position, step in enumerate(steps):
        child = node.child(step)
        if child is None:
            return steps[:position], node
        node = child
    return steps, node


def _words(error: ErrorDetails, path: tuple[Step, ...], node: Node) -> str:
    if error["type"] in {"enum", "literal_error"}:
        wanted = [part.strip("'") for part in error["ctx"]["expected"].split(" or ")]
        wanted = [part.strip("' ") for group in wanted for part in group.split(",")]
        return _expected(wanted, node)
    if error["type"] == "value_error":
        words = str(error["ctx"]["error"])
    else:
        message = error["msg"].replace("Input should be", "expected")
        words = _EXPECTED.get(error["type"], message[:1].lower() + message[1:])
    if isinstance(node.value, dict | list) and error["type"] == "value_error":
        return words
    return f"{words}, got {_shown(node, path)}"


def _expected(wanted: list[str], node: Node) -> str:
    words = f"expected {_one_of(wanted)}, got {_shown(node, ())}"
    near = get_close_matches(str(node.value).lower(), [word.lower() for word in wanted], 1)
    if isinstance(node.value, str) and near:
        match = next(word for word in wanted if word.lower() == near[0])
        return f'{words}; did you mean "{match}"?'
    return words


def _one_of(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(node: Node, path: tuple[Step, ...]) -> str:
    if isinstance(node.value, str) and not _SECRET_STEPS.intersection(path):
        return quoted(node.value)
    return _kind_of(node)


def _kind_of(node: Node) -> str:
    value = node.value
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    names = {str: "a string", list: "a list", dict: "a mapping"}
    return names[type(value)]


def _unknown_key(file: str, root: Node, model: type[BaseModel], steps: tuple[Step, ...]) -> Fault:
    path, parent = _reach(root, steps[:-1])
    key = str(steps[-1])
    entry = parent.value.get(key) if isinstance(parent.value, dict) else None
    known = _known_keys(model, steps[:-1])
    near = get_close_matches(key.lower(), [word.lower() for word in known], 1)
    if near:
        match = next(word for word in known if word.lower() == near[0])
        text = f'unknown key; did you mean "{match}"?'
    else:
        text = f"unknown key; known here: {', '.join(known)}"
    line, column = (entry.line, entry.column) if entry else (parent.line, parent.column)
    return Fault(file, line, column, Severity.ERROR, path_text((*path, key)), text)


def _known_keys(model: type[BaseModel], steps: tuple[Step, ...]) -> list[str]:
    here: Any = model
    for step in steps:
        if isinstance(step, int):
            here = _model_in(get_args(_collection_in(here))[0])
            continue
        fields = _fields(_model_in(here))
        if step not in fields:
            return []
        here = fields[step]
    found = _model_in(here)
    return list(_fields(found)) if found is not None else []


def _fields(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {}
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for part in _alternatives(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _collection_in(annotation: Any) -> Any:
    return next((part for part in _alternatives(annotation) if get_args(part)), tuple[Any, ...])


def _missing(file: str, node: Node, path: tuple[Step, ...], text: str) -> Fault:
    line, column = node.line, node.column
    if isinstance(node.value, dict) and node.value:
        first = next(iter(node.value.values()))
        line, column = first.line, first.column
    return Fault(file, line, column, Severity.ERROR, path_text(path), f"missing: {text}")


def _fault(file: str, node: Node, path: tuple[Step, ...], text: str) -> Fault:
    return Fault(file, node.line, node.column, Severity.ERROR, path_text(path), text)
