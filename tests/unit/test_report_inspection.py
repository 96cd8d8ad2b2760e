"""What ``inspect`` prints of one image."""

import json
from typing import Any

import pytest

from tests.unit.review_kit import URL, asked, docker_secret, judged_of, named, pod_of, use_of
from webhook.images.platform import Platform
from webhook.registry.outcome import Cause, Exchanged, Outcome, Pull
from webhook.registry.quota import Quota
from webhook.report.inspection import as_json, as_text
from webhook.report.inspection_schema import schema
from webhook.rules.facts import Judged

REFUSED = Outcome(
    Pull.FAILS,
    Cause.CREDENTIALS_REJECTED,
    requests=(asked(401), Exchanged("POST", "https://ghcr.io/token", 401, "bot")),
    source="secret/regcred",
)


def faults(value: Any, wanted: Any, at: str = "$") -> list[str]:
    """Return where ``value`` breaks the few words of JSON Schema that ours uses."""
    found: list[str] = []
    if "anyOf" in wanted:
        branches = [faults(value, branch, at) for branch in wanted["anyOf"]]
        return [] if [] in branches else branches[-1]
    if "enum" in wanted and value not in wanted["enum"]:
        found.append(f"{at}: {value!r} is none of the enum")
    types = wanted.get("type", [])
    kinds = {"string": str, "null": type(None), "integer": int, "array": list, "object": dict}
    if types and not any(
        type(value) is kinds[t] for t in ([types] if isinstance(types, str) else types)
    ):
        found.append(f"{at}: {value!r} is no {types}")
    if isinstance(value, dict):
        found += [f"{at}: no {key}" for key in wanted.get("required", []) if key not in value]
        for key, inner in wanted.get("properties", {}).items():
            if key in value:
                found += faults(value[key], inner, f"{at}.{key}")
        for key in value if "additionalProperties" in wanted else ():
            found += faults(value[key], wanted["additionalProperties"], f"{at}.{key}")
    if isinstance(value, list):
        for n, item in enumerate(value):
            found += faults(item, wanted["items"], f"{at}[{n}]")
    return found


EXAMPLES = {
    "ok": judged_of(
        Outcome(
            Pull.OK, digest="sha256:" + "a" * 64, requests=(asked(200),), platforms=("linux/amd64",)
        )
    ),
    "sized": judged_of(
        Outcome(
            Pull.OK,
            sizes=(
                (Platform("linux", "amd64"), 432013312),
                (Platform("linux", "arm64"), 417542963),
            ),
        )
    ),
    "quota": judged_of(
        Outcome(Pull.OK, requests=(asked(401), asked(200)), quota=Quota(76, 100, 21600, "ghcr.io"))
    ),
    "bare quota": judged_of(Outcome(Pull.OK, quota=Quota(76, host="ghcr.io", user="bot\x1b"))),
    "offline": judged_of(Outcome(Pull.UNKNOWN, before_credentials=True)),
    "invalid": judged_of(
        Outcome(Pull.FAILS, Cause.REFERENCE_MALFORMED, detail="invalid reference format"),
        use_of("no image"),
    ),
    "refused": judged_of(REFUSED, pod=pod_of(named("regcred"))),
    "silent": judged_of(
        Outcome(
            Pull.UNKNOWN,
            Cause.REFUSED,
            requests=(Exchanged("HEAD", URL, None, None, Cause.REFUSED),),
        )
    ),
    "no UTF-8": judged_of(
        Outcome(Pull.UNKNOWN), use_of("ghcr.io/\udcff"), pod_of(named("s", docker_secret("s")))
    ),
}


@pytest.mark.parametrize("judged", EXAMPLES.values(), ids=EXAMPLES)
def test_the_json_is_what_the_schema_says(judged: Judged) -> None:
    told = as_json(judged)
    assert faults(json.loads(json.dumps(told)), schema()) == []
    assert list(told) == list(schema()["properties"])


def test_the_schema_check_finds_what_is_wrong() -> None:
    assert faults({**as_json(EXAMPLES["ok"]), "pull": "maybe", "digest": 7}, schema()) == [
        "$: 'maybe' is none of the enum".replace("$", "$.pull"),
        "$.digest: 7 is no ['string', 'null']",
    ]
    assert faults({}, schema())[0] == "$: no image"


@pytest.mark.parametrize("judged", EXAMPLES.values(), ids=EXAMPLES)
def test_the_text_has_one_fact_on_a_line_and_can_be_printed(judged: Judged) -> None:
    for line in as_text(judged).splitlines():
        assert line.isprintable()
        line.encode()


def test_what_a_file_or_an_argument_holds_beside_utf8_is_replaced() -> None:
    assert as_json(EXAMPLES["no UTF-8"])["image"] == "ghcr.io/\ufffd"


def test_a_text_shows_credentials_requests_and_the_outcome() -> None:
    assert as_text(EXAMPLES["refused"]).splitlines() == [
        "ghcr.io/acme/app:1.2",
        "  reference    ghcr.io/acme/app:1.2",
        "  credentials  1. secret/regcred, key ghcr.io, user bot",
        f"  requests     HEAD {URL} -> 401",
        "               POST https://ghcr.io/token -> 401 as bot",
        "  nodes        none is known",
        "  pull         fails: credentials-rejected (PP-202)",
        '               ghcr.io rejects the login of user "bot" of secret "regcred"; kubectl '
        "create secret docker-registry regcred -n shop --docker-server=ghcr.io "
        "--docker-username=USER --docker-password=PASSWORD --dry-run=client -o yaml | kubectl "
        "apply -f -",
    ]


def test_sizes_are_told_by_platform_where_they_are_known() -> None:
    assert as_json(EXAMPLES["sized"])["sizes"] == {
        "linux/amd64": 432013312,
        "linux/arm64": 417542963,
    }
    assert "  size         412 MiB for linux/amd64, 398.2 MiB for linux/arm64" in as_text(
        EXAMPLES["sized"]
    )
    assert as_json(EXAMPLES["ok"])["sizes"] is None
    assert "size " not in as_text(EXAMPLES["ok"])


def test_an_image_of_no_layers_is_of_a_known_size_and_two_of_one_name_tell_the_larger() -> None:
    empty = judged_of(Outcome(Pull.OK, sizes=((Platform("linux", "amd64"), 0),)))
    assert as_json(empty)["sizes"] == {"linux/amd64": 0}
    versions = [Platform("windows", "amd64", os_version=f"10.0.{n}") for n in (17763, 20348)]
    both = judged_of(Outcome(Pull.OK, sizes=((versions[0], 8), (versions[1], 5))))
    assert as_json(both)["sizes"] == {"windows/amd64": 8}


def test_what_a_node_may_see_otherwise_is_said_to_be_uncertain() -> None:
    message = as_json(EXAMPLES["silent"])["message"]
    assert message == (
        "ghcr.io refuses connections; not certain: the nodes may see the network differently; "
        "check the name ghcr.io, and that the nodes can reach it"
    )


def test_a_quota_is_told_as_numbers_and_by_whom_it_is_counted() -> None:
    assert as_json(EXAMPLES["ok"])["quota"] is None
    full, bare = EXAMPLES["quota"], EXAMPLES["bare quota"]
    assert as_json(full)["quota"] == {"remaining": 76, "limit": 100, "windowSeconds": 21600}
    assert as_json(bare)["quota"] == {"remaining": 76, "limit": None, "windowSeconds": None}
    assert "  quota        76 of 100 pulls left in 6 h (anonymous)" in as_text(full).splitlines()
    assert "  quota        76 pulls left (user bot\\x1b)" in as_text(bare).splitlines()
    assert (full.outcome.pull, as_json(full)["message"]) == (Pull.OK, None)


@pytest.mark.parametrize(
    ("quota", "line"),
    [
        (Quota(1, None, 90), "1 pull left in 90 s (anonymous)"),
        (Quota(1, 10, 60), "1 of 10 pulls left in 1 min (anonymous)"),
        (Quota(0, 1, 5400), "0 of 1 pull left in 90 min (anonymous)"),
        (Quota(0), "0 pulls left (anonymous)"),
    ],
)
def test_a_quota_s_window_is_told_in_whole_units(quota: Quota, line: str) -> None:
    text = as_text(judged_of(Outcome(Pull.OK, quota=quota)))
    assert f"  quota        {line}" in text.splitlines()
