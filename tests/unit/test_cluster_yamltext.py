import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cluster.yamltext import MAX_DEPTH, Flavour, parse


def core(text: str) -> object:
    nodes, faults = parse(text, Flavour.CORE)
    assert faults == []
    return nodes[0].plain()


def kubernetes(text: str) -> object:
    nodes, faults = parse(text, Flavour.KUBERNETES)
    assert faults == []
    return nodes[0].plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("2027-06-30", "2027-06-30"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("-12", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1.5e3", 1500.0),
        ("-.inf", float("-inf")),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ('!!int "12"', 12),
        ("<<", "<<"),
    ],
)
def test_plain_scalars_are_read_as_yaml_1_2_does(text: str, value: object) -> None:
    assert core(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", False),
        ("y", True),
        ("2027-06-30", "2027-06-30"),
        ("12:30", "12:30"),
        ("1_000", 1000),
        ("017", 15),
        ("0b11", 3),
        ("1.2.3", "1.2.3"),
        ("-", [None]),
        ("+", "+"),
    ],
)
def test_plain_scalars_are_read_as_kubernetes_does(text: str, value: object) -> None:
    assert kubernetes(text) == value


def test_an_integer_of_many_digits_costs_nothing() -> None:
    assert core("9" * 100_000) == float("inf")


def test_a_merge_key_gives_what_is_not_given() -> None:
    text = "a: &a {x: 1, w: 1}\nb: {<<: *a, w: 2}\nc: {<<: [*a, {z: 3}]}\n"
    assert kubernetes(text) == {
        "a": {"x": 1, "w": 1},
        "b": {"w": 2, "x": 1},
        "c": {"x": 1, "w": 1, "z": 3},
    }


def test_a_key_that_reads_as_a_boolean_becomes_its_json_text() -> None:
    assert kubernetes("y: 1\noff: 2") == {"true": 1, "false": 2}
    assert core("y: 1") == {"y": 1}


def test_the_last_of_repeated_keys_counts_for_kubernetes_and_is_a_fault_otherwise() -> None:
    assert kubernetes("a: {b: 1, b: 2}") == {"a": {"b": 2}}
    nodes, (fault,) = parse("a:\n  - {b: 1, b: 2}", Flavour.CORE)
    assert nodes[0].plain() == {"a": [{"b": 1}]}
    assert (fault.line, fault.column, fault.path) == (2, 12, ("a", 0, "b"))


def test_positions_count_characters_from_one() -> None:
    nodes, _ = parse("a: 1\nä: {é: x}\n", Flavour.CORE)
    inner = nodes[0].child("ä")
    assert inner is not None
    value = inner.child("é")
    assert value is not None
    assert (value.line, value.column) == (2, 8)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1\n", 3, "is not YAML"),
        ("a: *x\n", 1, "alias"),
        ("a: &a [*a]\n", 1, "alias"),
        ("? [a]\n: b\n", 1, "key must be a scalar"),
        ("a: !!binary aGk=\n", 1, "cannot be read as"),
        ("a: b\x01\n", 1, "is not YAML"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), 1, "nested deeper"),
        ("&a k: {*a : *b}", 1, "alias"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, words: str) -> None:
    _, faults = parse(text, Flavour.CORE)
    assert faults[-1].line == line
    assert words in faults[-1].text


def test_the_documents_before_a_syntax_error_stand() -> None:
    nodes, faults = parse("a: 1\n---\nb: [\n", Flavour.CORE)
    assert [node.plain() for node in nodes] == [{"a": 1}]
    assert len(faults) == 1


@given(st.text("a:-[]{}&*!|>'\"# \n\t<,?%~1", max_size=60))
def test_no_text_raises(text: str) -> None:
    for flavour in Flavour:
        nodes, _ = parse(text, flavour)
        for node in nodes:
            node.plain()


def test_aliases_may_not_nest_deeper_than_text_may() -> None:
    # Each anchor stays under the bound; together they would end Python's stack.
    layers = ["a0: &a0 " + "[" * 90 + "x" + "]" * 90]
    layers += [f"a{n}: &a{n} " + "[" * 90 + f"*a{n - 1}" + "]" * 90 for n in range(1, 20)]
    _, faults = parse("\n".join(layers), Flavour.KUBERNETES)
    assert "nested deeper" in faults[0].text
