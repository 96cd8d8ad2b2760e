import json
from pathlib import Path

from tests.unit.test_policy_select import TODAY, ask
from webhook.policy.action import Action
from webhook.policy.files import BUILT_IN, PolicySet, load
from webhook.policy.model import RuleSettings
from webhook.policy.schema import schema
from webhook.policy.select import AtMostSetting, Parameters, rules_for
from webhook.registry.outcome import Rule
from webhook.registry.settings import RegistrySettings

POLICIES = Path(__file__).parents[2] / "policies"


def shipped(name: str) -> PolicySet:
    result = load([POLICIES / name])
    assert isinstance(result, PolicySet), result
    assert result.warnings == ()
    return result


def test_the_default_policy_says_what_holds_without_one() -> None:
    rules = ask(shipped("default.yaml"))
    for rule, built_in in ask(BUILT_IN).settings.items():
        assert rules[rule].action is built_in.action
        assert rules[rule].parameters == built_in.parameters
        assert rules[rule].source.startswith(str(POLICIES)), "every rule is written out"
    assert rules.at_most == AtMostSetting()
    assert rules.exempt is None


def test_the_registry_file_says_what_holds_without_one() -> None:
    config = shipped("registries.yaml")
    settings = config.registry
    assert settings.registries[:1] == RegistrySettings().registries
    assert settings.depth_for("docker.io") == RegistrySettings().depth_for("docker.io")
    fields = ("vantage", "node_credentials", "depth", "connect", "total", "concurrency", "cache")
    for name in (*fields, "egress"):
        assert getattr(settings, name) == getattr(RegistrySettings(), name)


def test_the_folder_of_the_defaults_holds_nothing_stricter() -> None:
    rules = ask(shipped("."))
    assert rules[Rule.PULL_SECRET].action is Action.WARN


def test_the_strict_policy_denies_a_missing_secret() -> None:
    assert ask(shipped("examples/strict.yaml"))[Rule.PULL_SECRET].action is Action.DENY


def test_the_published_schema_is_the_generated_one() -> None:
    assert json.loads((POLICIES / "schema.json").read_text()) == schema()


def test_every_rule_can_be_set() -> None:
    known = {field.alias for field in RuleSettings.model_fields.values()}
    assert known == {rule.value for rule in Rule}


def test_parameters_default_to_the_table() -> None:
    rules = rules_for(
        BUILT_IN,
        namespace="a",
        namespace_labels={},
        kind="Pod",
        operation="CREATE",
        image_name=None,
        written="",
        today=TODAY,
    )
    assert rules[Rule.MUTABLE_TAG].parameters == Parameters(tags=("latest",))
