"""The commands' words and flags: explain, schema, the environment, what is misused."""

import json
from pathlib import Path

import pytest

from webhook.cli import main
from webhook.cli.options import Parser
from webhook.policy.schema import schema as policy_schema
from webhook.registry.outcome import Cause, Rule
from webhook.review.pages import page


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_explained_by_its_code_and_its_name(
    cause: Cause, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", cause.code.lower()]) == 0
    by_code = capsys.readouterr().out
    assert main(["explain", cause.value]) == 0
    assert capsys.readouterr().out == by_code
    lines = by_code.splitlines()
    assert lines[0] == f"{cause.code} {cause.value}"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "rule",
        "means",
        "known",
        "mend",
        "denial",
    ]
    assert all(line.rstrip(" .").split(":", 1)[1].strip() for line in lines[1:])


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule.value not in list(Cause)])
def test_every_rule_is_explained_with_its_causes(rule: Rule) -> None:
    text = page(rule.value)
    assert text is not None
    for cause in Cause:
        assert (cause.code in text) == (cause.rule is rule)


def test_a_word_that_names_nothing_is_told_what_is_near(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "tag-not-fuond"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        'pullproof: there is no code, cause or rule "tag-not-fuond"; '
        "near: tag-not-found, image-not-found, dns-not-found\n"
    )
    assert main(["explain", "x\n\x1b[31m" * 1000]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_the_schemas_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "policy"]) == 0
    assert json.loads(capsys.readouterr().out) == policy_schema()
    assert main(["schema", "inspect"]) == 0
    assert "image" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize("arguments", [["schema", "nothing"], ["schema"], ["explain"], ["inspect"]])
def test_misuse_exits_with_3(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 3


def test_commands_that_are_not_there_are_told_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 3
    assert capsys.readouterr().err == "pullproof: audit is not there yet\n"
    assert main(["inspekt"]) == 3
    assert "there is no command 'inspekt'" in capsys.readouterr().err


def parser() -> Parser:
    made = Parser(prog="x")
    made.add_flag("--policy", action="append", type=Path)
    made.add_flag("--output", choices=["text", "json"], default="text")
    made.add_flag("--offline", action="store_true")
    made.add_flag("--timeout", type=float, default=10.0)
    return made


def test_each_flag_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLPROOF_POLICY", "a:b::")
    monkeypatch.setenv("PULLPROOF_OUTPUT", "json")
    monkeypatch.setenv("PULLPROOF_OFFLINE", "1")
    monkeypatch.setenv("PULLPROOF_TIMEOUT", "2.5")
    given = parser().parse_args([])
    assert given.policy == [Path("a"), Path("b")]
    assert (given.output, given.offline, given.timeout) == ("json", True, 2.5)


def test_a_flag_wins_over_the_environment_and_does_not_add_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PULLPROOF_POLICY", "a:b")
    monkeypatch.setenv("PULLPROOF_TIMEOUT", "2.5")
    given = parser().parse_args(["--policy", "c", "--policy", "d", "--timeout", "4"])
    assert given.policy == [Path("c"), Path("d")]
    assert given.timeout == 4
    assert parser().parse_args([]).policy == [Path("a"), Path("b")]


@pytest.mark.parametrize(
    ("variable", "value"), [("PULLPROOF_OUTPUT", "xml"), ("PULLPROOF_TIMEOUT", "soon")]
)
def test_a_variable_without_sense_is_misuse(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([])
    assert ended.value.code == 3
    assert variable in capsys.readouterr().err


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLPROOF_POLICY", ":")
    assert parser().parse_args([]).policy is None
