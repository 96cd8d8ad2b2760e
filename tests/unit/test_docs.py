"""The documentation says what the program does."""

import argparse
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from webhook.cli import COMMANDS
from webhook.cli.options import ENVIRONMENT_PREFIX, Parser

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "docs" / "settings.md"
PAGES = ("README.md", "CHANGELOG.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))
Row = tuple[str, str, str, str]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
        monkeypatch.delenv(name)


def flags_of(parser: argparse.ArgumentParser) -> Iterator[Row]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags_of(command)
        elif action.option_strings and action.dest != "help":
            flag = action.option_strings[0]
            variable = ENVIRONMENT_PREFIX + flag.lstrip("-").replace("-", "_").upper()
            what = (action.help or "").rpartition(" [")[0].replace("|", "\\|")
            yield f"`{flag}`", f"`{variable}`", default_of(action), what


def default_of(action: argparse.Action) -> str:
    value = action.default
    if value in (None, False):
        return "-"
    return f"`{int(value)}`" if isinstance(value, float) and value.is_integer() else f"`{value}`"


def table() -> str:
    commands: dict[Row, list[str]] = {}
    for name in COMMANDS:
        if name == "demo":
            continue
        parser = Parser(prog=name)
        import_module(f"webhook.cli.{name}").add_parser(parser)
        for row in flags_of(parser):
            named = commands.setdefault(row, [])
            if name not in named:
                named.append(name)
    order = list(COMMANDS)
    rows = sorted(commands.items(), key=lambda i: (-len(i[1]), order.index(i[1][0]), i[0]))
    lines = [f"| {f} | {v} | {d} | {', '.join(names)} | {w} |" for (f, v, d, w), names in rows]
    head = "| flag | environment | default | of | what it says |\n|---|---|---|---|---|"
    return "\n".join([head, *lines]) + "\n"


def test_the_table_of_settings_is_that_of_the_program(pytestconfig: pytest.Config) -> None:
    text, head, _ = SETTINGS.read_text().partition("| flag |")
    if pytestconfig.getoption("--update-goldens"):
        SETTINGS.write_text(text + table())
        return
    assert head, "the page holds no table"
    assert SETTINGS.read_text() == text + table()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_between_the_pages_leads_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


def test_every_target_that_the_readme_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z0-9]+)", (ROOT / "README.md").read_text()))
    assert named <= targets
