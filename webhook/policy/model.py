"""The documents of a policy file, as they are written, with their defaults.

Keys, defaults and meanings are those of the policy file's own page. Values keep
the form in which they were written (``1s``, ``4Gi``): what they come to is worked
out where a set of files is put together. Unknown keys are errors everywhere.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    TypeAdapter,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema

from webhook.policy.action import Action
from webhook.policy.text import Day, FieldPath, ImageGlob, ObjectName, Quantity, Text
from webhook.registry.outcome import Rule

API_VERSION = "pullproof.dev/v1alpha1"


class Strict(BaseModel):
    """Refuses unknown keys; keys are camelCase in the file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Metadata(Strict):
    """The name under which a document is spoken of."""

    name: ObjectName


Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class LabelExpression(Strict):
    """One expression of a label selector, as Kubernetes has it."""

    key: Text
    operator: Operator
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        takes_values = self.operator in {"In", "NotIn"}
        if takes_values != bool(self.values):
            wants = "needs at least one of" if takes_values else "takes no"
            raise ValueError(f"{self.operator} {wants} values")
        return self


class LabelSelector(Strict):
    """All of it must hold; an empty one holds for every namespace."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelExpression, ...] = ()


class Match(Strict):
    """To which images a policy speaks: all that is given must hold, nothing is everything."""

    namespaces: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    excluded_namespaces: tuple[Text, ...] = ()
    namespace_selector: LabelSelector | None = None
    kinds: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    images: Annotated[tuple[ImageGlob, ...], Field(min_length=1)] | None = None
    operations: Annotated[tuple[Literal["CREATE", "UPDATE"], ...], Field(min_length=1)] | None = (
        None
    )


class RuleSetting(Strict):
    """What one rule does: ``deny``, or an object with ``action`` and the rule's parameters."""

    action: Action

    @model_validator(mode="before")
    @classmethod
    def _bare_action(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"action": value}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        as_object = handler.resolve_ref_schema(handler(core_schema))
        action = TypeAdapter(Action).json_schema()
        as_object["properties"]["action"] = {"enum": action["enum"], "type": "string"}
        return {"anyOf": [{"enum": action["enum"], "type": "string"}, as_object]}


class MutableTag(RuleSetting):
    """``tags`` are globs of tags that move; ``requireDigest`` wants a digest in every name."""

    tags: tuple[Text, ...] = ("latest",)
    require_digest: StrictBool = False


class ImageTooLarge(RuleSetting):
    """``max`` bounds the compressed layers of each served platform."""

    max: Quantity | None = None


class RegistryNotAllowed(RuleSetting):
    """``allow`` are the images that may be named at all."""

    allow: tuple[ImageGlob, ...] = ()

    @model_validator(mode="after")
    def _allows_something(self) -> Self:
        if self.action is not Action.OFF and not self.allow:
            raise ValueError(
                "needs the images that are allowed: "
                '{action: deny, allow: ["ghcr.io/acme/**"]}; without them it would deny everything'
            )
        return self


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class RuleSettings(Strict):
    """What each rule does where this policy matches; a rule left out is not set here."""

    model_config = ConfigDict(alias_generator=_kebab)

    invalid_reference: RuleSetting | None = None
    image_not_found: RuleSetting | None = None
    pull_denied: RuleSetting | None = None
    image_unusable: RuleSetting | None = None
    platform_mismatch: RuleSetting | None = None
    registry_misspelled: RuleSetting | None = None
    registry_not_found: RuleSetting | None = None
    registry_unavailable: RuleSetting | None = None
    registry_untrusted: RuleSetting | None = None
    rate_limited: RuleSetting | None = None
    undecided: RuleSetting | None = None
    pull_secret: RuleSetting | None = None
    credential_expiring: RuleSetting | None = None
    mutable_tag: MutableTag | None = None
    never_pulled: RuleSetting | None = None
    always_pull: RuleSetting | None = None
    tag_drift: RuleSetting | None = None
    image_too_large: ImageTooLarge | None = None
    registry_not_allowed: RegistryNotAllowed | None = None

    def of(self, rule: Rule) -> RuleSetting | None:
        """Return what is set for ``rule``, None where nothing is."""
        setting: RuleSetting | None = getattr(self, rule.value.replace("-", "_"))
        return setting


class AtMost(Strict):
    """The most that these can get; None is "not said here"."""

    unchanged: Action | None = None
    controller_owned: Literal["warn", "audit", "off"] | None = None
    templates: Action | None = None


class Exempt(Strict):
    """An exemption: all given fields must hold. ``until`` is inclusive, in UTC."""

    written: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    images: Annotated[tuple[ImageGlob, ...], Field(min_length=1)] | None = None
    reason: Text
    until: Day | None = None


class ImagePolicySpec(Strict):
    """Where a policy matches, and what it sets there."""

    match: Match = Match()
    rules: RuleSettings = RuleSettings()
    at_most: AtMost = AtMost()
    exempt: tuple[Exempt, ...] = ()


class ImagePolicy(Strict):
    """What the findings on matching images do."""

    api_version: Literal["pullproof.dev/v1alpha1"]
    kind: Literal["ImagePolicy"]
    metadata: Metadata
    spec: ImagePolicySpec


class WorkloadKind(Strict):
    """A custom kind that makes Pods; ``podTemplate`` is the path of its template."""

    group: str
    version: Text
    kind: Text
    resource: Text
    pod_template: FieldPath


class WorkloadKindsSpec(Strict):
    """The kinds of one document."""

    kinds: Annotated[tuple[WorkloadKind, ...], Field(min_length=1)]


class WorkloadKinds(Strict):
    """Custom kinds that make Pods."""

    api_version: Literal["pullproof.dev/v1alpha1"]
    kind: Literal["WorkloadKinds"]
    metadata: Metadata
    spec: WorkloadKindsSpec


PositiveInt = Annotated[StrictInt, Field(gt=0)]
