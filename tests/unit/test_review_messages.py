"""Every word of a finding, as the developer at the terminal reads it."""

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.review_kit import (
    FIELD,
    IMAGE,
    URL,
    asked,
    broken_secret,
    docker_secret,
    judged_of,
    named,
    pod_of,
    use_of,
)
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.credentials.secret import DOCKERCFG_TYPE, Secret
from webhook.images.workloads import Place
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Exchanged, Outcome, Pull, Rule
from webhook.registry.quota import Quota
from webhook.registry.settings import Vantage
from webhook.review.messages import WARNING_LIMIT, heading, is_said, paragraph, warning, words
from webhook.rules import pulls
from webhook.rules.facts import Judged, PodFacts, PulledBy, Shortage
from webhook.rules.judge import Finding
from webhook.rules.quotas import DOUBT

GOLDEN = Path(__file__).parent / "goldens" / "messages.txt"
TOKEN = "https://auth.example/token?…"

WRITTEN = {
    Cause.REFERENCE_MALFORMED: ("https://ghcr.io/acme/app:1.2", "invalid reference format"),
    Cause.REFERENCE_UPPERCASE: ("ghcr.io/acme/App:V1", "repository name must be lowercase"),
    Cause.DIGEST_MALFORMED: (
        "ghcr.io/acme/app@sha256:" + "a" * 40,
        "invalid checksum digest length",
    ),
    Cause.DIGEST_UNSUPPORTED: ("ghcr.io/acme/app@md5:" + "a" * 32, "unsupported digest algorithm"),
    Cause.DIGEST_NOT_FOUND: ("ghcr.io/acme/app@sha256:" + "a" * 64, ""),
    Cause.ADDRESS_INVALID: ("ghcr.io:99999/acme/app:1.2", "port 99999 is past 65535"),
}
DETAILS = {
    Cause.MEDIA_TYPE_UNSUPPORTED: "its media type is text/html",
    Cause.DIGEST_MISMATCH: "its bytes have another sha256",
    Cause.MANIFEST_MALFORMED: "it is no JSON",
    Cause.MANIFEST_TOO_LARGE: "9000000 bytes",
    Cause.BLOB_MISSING: "sha256:0123",
    Cause.PLATFORM_NONE: "it has linux/arm64, your nodes are linux/amd64",
    Cause.PLATFORM_SOME: "not for linux/arm64",
    Cause.HOST_MISSPELLED: "did you mean ghcr.io?",
    Cause.SERVER_ERROR: "it answered 503",
    Cause.UNEXPECTED_STATUS: "it answered 418",
    Cause.CHALLENGE_UNSUPPORTED: "it asks for Digest",
    Cause.TOKEN_SERVICE_FAILING: "its token service answered 500",
    Cause.TOO_MANY_REQUESTS: "it answered 429",
    Cause.DEADLINE: "no answer in time",
    Cause.SECRET_UNREADABLE: 'cannot read secret "regcred" of namespace shop: forbidden',
    Cause.CLUSTER_UNAVAILABLE: "cannot read the service account: no answer in time",
    Cause.PROVIDER_FAILING: "ecr-credential-provider ended with 1",
    Cause.CREDENTIAL_WITHHELD: "its token service is another host, auth.example",
    Cause.EGRESS_REFUSED: "it is a metadata service",
    Cause.EXPIRES_SOON: "in 3 days",
    Cause.TOKEN_OLD: "12 h",
    Cause.DIGEST_CHANGED: "since 2026-11-01",
    Cause.SIZE_OVER_LIMIT: (
        "5.2 GiB of compressed layers for linux/arm64, the policy allows 4 GiB"
    ),
    Cause.NODE_TOO_SMALL: (
        '5.2 GiB of compressed layers for linux/arm64, 4 GiB of storage on node "pi-1"'
    ),
}
REQUESTS = {
    Cause.CREDENTIALS_MISSING: (asked(401), Exchanged("GET", TOKEN, 403)),
    Cause.CREDENTIALS_REJECTED: (
        asked(401),
        Exchanged("POST", TOKEN, 401, "bot"),
        Exchanged("GET", TOKEN, 401, "bot"),
    ),
    Cause.CREDENTIALS_EXPIRED: (asked(401), asked(401, "bot")),
    Cause.PERMISSION_DENIED: (asked(401), Exchanged("POST", TOKEN, 200, "bot"), asked(403, "bot")),
    Cause.DENIED_OR_MISSING: (asked(401), Exchanged("GET", TOKEN, 200), asked(401)),
    Cause.DNS_NOT_FOUND: (Exchanged("HEAD", URL, None, None, Cause.DNS_NOT_FOUND),),
    Cause.TIMEOUT: (Exchanged("HEAD", URL, None, None, Cause.TIMEOUT),),
}
STATUSES: dict[Cause | Rule, int | None] = {
    Rule.IMAGE_NOT_FOUND: 404,
    Rule.RATE_LIMITED: 429,
    Rule.REGISTRY_MISSPELLED: None,
    Rule.REGISTRY_UNAVAILABLE: None,
    Rule.REGISTRY_UNTRUSTED: None,
    Rule.UNDECIDED: 401,
    Cause.SERVER_ERROR: 503,
    Cause.UNEXPECTED_STATUS: 418,
    Cause.CHALLENGE_UNSUPPORTED: 401,
    Cause.TOKEN_SERVICE_FAILING: 401,
    Cause.DEADLINE: None,
    Cause.EGRESS_REFUSED: None,
    Cause.QUOTA_TOO_SMALL: 200,
}
WITH_SECRET = (Cause.CREDENTIALS_REJECTED, Cause.CREDENTIALS_EXPIRED, Cause.PERMISSION_DENIED)


def example(cause: Cause) -> Finding:
    """Return a finding as it would come: each cause in a likely case."""
    if cause is Cause.SERVICE_ACCOUNT_NOT_FOUND:
        judged = judged_of(Outcome(Pull.OK))
        field = "spec.template.spec.serviceAccountName"
        return Finding(cause, Action.DENY, judged, field, "builder")
    if cause.rule is Rule.IMAGE_TOO_LARGE:
        judged = judged_of(Outcome(Pull.OK, requests=(asked(200),)))
        detail, source = DETAILS[cause], "prod.yaml:7"
        return Finding(cause, Action.DENY, judged, FIELD, source=source, detail=detail)
    image, detail = WRITTEN.get(cause, (IMAGE, DETAILS.get(cause, "")))
    pod, secret, source = pod_of(), "", ""
    if cause in WITH_SECRET:
        pod, source = pod_of(named("regcred")), "secret/regcred"
    elif cause is Cause.CREDENTIAL_UNDECODABLE:
        pod, source = pod_of(named("regcred", broken_secret("regcred"))), "secret/regcred"
        detail = "illegal base64 data at input byte 0"
    elif cause.rule is Rule.PULL_SECRET:
        pod, secret = pod_with(cause), "regcred"
    pull = Pull.UNKNOWN if cause.rule in (Rule.UNDECIDED, Rule.NEVER_PULLED) else Pull.FAILS
    status = STATUSES.get(cause, STATUSES.get(cause.rule, 200))
    outcome = Outcome(
        pull,
        cause,
        detail=detail,
        requests=()
        if cause.rule is Rule.INVALID_REFERENCE
        else REQUESTS.get(cause, (asked(status),)),
        before_credentials=cause.rule is Rule.IMAGE_NOT_FOUND,
        tags=("1.3", "1.1") if cause is Cause.TAG_NOT_FOUND else (),
        tag_count=9 if cause is Cause.TAG_NOT_FOUND else None,
        source=source,
    )
    judged = judged_of(outcome, use_of(image), pod)
    field = pod.secrets[0].field if secret and pod.secrets else FIELD
    if cause is Cause.QUOTA_TOO_SMALL:
        return replace(short_of(Quota(3, 100, 21600, "ghcr.io")), judged=judged, doubt=DOUBT)
    doubt = "" if secret or cause.rule is Rule.MUTABLE_TAG else pulls.doubt(judged, cause)
    return Finding(cause, Action.DENY, judged, field, secret, doubt, "prod.yaml:7")


def short_of(quota: Quota, **counts: Any) -> Finding:
    """Return the finding of a quota that two images on five nodes share."""
    shared = Shortage(quota, pulls=10, images=2, most=5, by=PulledBy.NODE)
    shortage = replace(shared, **counts)
    judged = judged_of(Outcome(Pull.OK, requests=(asked(401), asked(200)), quota=quota))
    return Finding(Cause.QUOTA_TOO_SMALL, Action.WARN, judged, FIELD, shortage=shortage)


def pod_with(cause: Cause) -> PodFacts:
    if cause is Cause.SECRET_NOT_FOUND:
        return pod_of(named("regcred", Absent()))
    if cause is Cause.SECRET_WRONG_TYPE:
        return pod_of(named("regcred", Secret("shop", "regcred", "Opaque", {})))
    return pod_of(named("regcred", docker_secret("regcred", ["quay.io", "docker.io"])))


def test_every_cause_has_its_words() -> None:
    assert [cause for cause in Cause if not is_said(cause)] == []


def test_the_words_of_every_cause_are_the_golden_ones(request: pytest.FixtureRequest) -> None:
    told = "\n".join(f"{paragraph(f)}\nWarning: {warning(f)}\n" for f in map(example, Cause))
    if request.config.getoption("--update-goldens"):
        GOLDEN.write_text(told, encoding="utf-8")
    assert told == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("cause", Cause)
def test_a_warning_fits_its_line_and_names_field_doubt_and_code(cause: Cause) -> None:
    finding = example(cause)
    line = warning(finding)
    assert len(line) <= WARNING_LIMIT
    assert line.startswith(finding.field)
    assert line.endswith(f"[{cause.code}]")
    if cause.rule is Rule.UNDECIDED:
        assert (
            line.split(": ")[1] == "not checked" or "of their own" in line or "checked with" in line
        )
    else:
        assert finding.doubt in line
    assert "…" not in line, "nothing of an ordinary finding is cut"


HOSTILE = (
    "ghcr.io/a\nWarning: all is well",
    "ghcr.io/\x1b[2J\x1b[31mred",
    "ghcr.io/\u202egnp.exe\u2066",
    "ghcr.io/\u0085\u2028\u2029\r\x00",
    "x" * 100_000,
    "ghcr.io/" + "a/" * 50_000 + ":1",
    "\ud800",
    "ghcr.io/" + "a" * 200 + ":1.2",
    "",
)


def lines_of(finding: Finding) -> Iterator[str]:
    text = paragraph(finding)
    assert text.count("\n") == 3
    yield from text.split("\n")
    yield warning(finding)


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_what_others_wrote_stays_on_its_line_bounded_and_printable(
    cause: Cause, hostile: str
) -> None:
    plain = example(cause)
    secret = Secret("shop", hostile, hostile, {})
    pod = replace(
        plain.judged.pod,
        namespace=hostile,
        name=hostile,
        account=hostile,
        secrets=(*plain.judged.pod.secrets, replace(named(hostile), state=secret)),
    )
    outcome = replace(
        plain.judged.outcome,
        detail=hostile,
        source=f"secret/{hostile}",
        requests=(Exchanged("HEAD", f"{URL}{hostile}", 401, hostile),),
    )
    judged = Judged(pod, use_of(hostile, container=hostile), (), outcome)
    finding = replace(
        plain,
        judged=judged,
        secret=hostile if plain.secret else "",
        doubt=hostile,
        source=hostile,
        detail=hostile if plain.detail else "",
    )
    for line in lines_of(finding):
        assert len(line) <= 2500
        assert not [c for c in line if c != " " and unicodedata.category(c)[0] in "CZ"]
    assert len(warning(finding)) <= WARNING_LIMIT
    assert warning(finding).endswith(f"[{cause.code}]")
    assert "\n" not in heading(hostile, hostile, hostile, 1)


def test_a_finding_that_lacks_proof_says_so_even_where_the_image_is_long() -> None:
    pod = pod_of(named("regcred", Absent()))
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING, requests=(asked(401),))
    judged = judged_of(outcome, use_of("ghcr.io/" + "long/" * 30 + "app:1.2"), pod)
    doubt = pulls.doubt(judged, Cause.CREDENTIALS_MISSING)
    finding = Finding(Cause.CREDENTIALS_MISSING, Action.WARN, judged, FIELD, doubt=doubt)
    assert 'not certain: secret "regcred" is not there yet and may bring a login' in warning(
        finding
    )
    assert len(warning(finding)) <= WARNING_LIMIT


def denied(
    cause: Cause, outcome: Outcome, pod: PodFacts | None = None, image: str = IMAGE
) -> Finding:
    return Finding(cause, Action.DENY, judged_of(outcome, use_of(image), pod), FIELD)


def test_docker_hubs_secret_is_made_for_the_key_that_the_kubelet_looks_up() -> None:
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING, requests=(asked(401),))
    said = words(denied(Cause.CREDENTIALS_MISSING, outcome, image="acme/app:1.2"))
    assert "--docker-server=https://index.docker.io/v1/ " in said.mend
    assert said.mend.startswith("write spec.template.spec.imagePullSecrets: [{name: regcred}]")


def test_a_pod_with_pull_secrets_is_told_to_add_one_not_to_overwrite_it() -> None:
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING, requests=(asked(401),))
    pod = pod_of(named("regcred", docker_secret("regcred", ["quay.io"])))
    said = words(denied(Cause.CREDENTIALS_MISSING, outcome, pod))
    assert said.mend.startswith("add {name: regcred-2} to spec.template.spec.imagePullSecrets")
    assert "docker-registry regcred-2 -n shop" in said.mend


def test_secrets_of_the_account_are_added_to_at_the_account() -> None:
    # A list of the pod's own would keep the account's secrets from being copied.
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING, requests=(asked(401),))
    account = ServiceAccount("shop", "default", ("robot",))
    pod = pod_of(named("robot", docker_secret("robot", ["quay.io"])), account=account)
    said = words(denied(Cause.CREDENTIALS_MISSING, outcome, pod))
    assert 'to imagePullSecrets of service account "default"' in said.mend


def test_a_secret_with_other_registries_is_not_to_be_recreated() -> None:
    secret = named("regcred", docker_secret("regcred", ["ghcr.io", "quay.io"]))
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_REJECTED, source="secret/regcred")
    said = words(denied(Cause.CREDENTIALS_REJECTED, outcome, pod_of(secret)))
    assert "do not recreate it: it also serves quay.io" in said.mend
    assert "kubectl" not in said.mend


def test_a_secret_of_the_legacy_type_is_replaced_since_a_type_cannot_change() -> None:
    body = b'{"ghcr.io": {"username": "bot", "password": "pw"}}'
    secret = named("old", Secret("shop", "old", DOCKERCFG_TYPE, {".dockercfg": body}))
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_REJECTED, source="secret/old")
    said = words(denied(Cause.CREDENTIALS_REJECTED, outcome, pod_of(secret)))
    assert said.mend.endswith("--dry-run=client -o yaml | kubectl replace --force -f -")


def test_a_refusal_without_a_challenge_does_not_recommend_a_pull_secret() -> None:
    # 403 to the first HEAD is final: the kubelet never sends the credential.
    outcome = Outcome(
        Pull.FAILS, Cause.DENIED_OR_MISSING, requests=(asked(403),), before_credentials=True
    )
    said = words(denied(Cause.DENIED_OR_MISSING, outcome, pod_of(named("regcred"))))
    assert "a pull secret does not help" in said.mend
    assert said.known == f"HEAD {URL} answered 403 without asking for a login"


def test_an_entry_without_a_password_is_not_called_none() -> None:
    secret = named("regcred", docker_secret("regcred", user=""))
    outcome = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING, requests=(asked(401),))
    said = words(denied(Cause.CREDENTIALS_MISSING, outcome, pod_of(secret)))
    assert 'the matching entry of secret "regcred" has no user or password' in said.what


def test_the_evidence_is_that_of_the_attempt_that_decided() -> None:
    # The first credential saw the 404; the second one was refused by the token service.
    pod = pod_of(named("a", docker_secret("a")), named("b", docker_secret("b", user="ci")))
    trail = (
        asked(401),
        Exchanged("POST", TOKEN, 200, "bot"),
        asked(404, "bot"),
        asked(401),
        Exchanged("POST", TOKEN, 401, "ci"),
    )
    outcome = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, requests=trail, source="secret/a")
    said = words(denied(Cause.TAG_NOT_FOUND, outcome, pod))
    assert said.known == (
        f'HEAD {URL} answered 404 to user "bot" of secret "a"; also tried: secret "b"'
    )


def test_a_token_services_address_is_never_told() -> None:
    told = "".join(f"{paragraph(f)}{warning(f)}" for f in map(example, Cause))
    assert "auth.example/" not in told
    assert "pw" not in told.split()


def test_an_object_that_is_there_gets_the_command_too() -> None:
    outcome = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, tags=("1.3",), tag_count=2)
    said = words(denied(Cause.TAG_NOT_FOUND, outcome, pod_of(operation="UPDATE")))
    assert "kubectl set image deployment/web app=ghcr.io/acme/app:1.3 -n shop" in said.mend
    created = words(denied(Cause.TAG_NOT_FOUND, outcome))
    assert created.mend == "use ghcr.io/acme/app:1.3 (near: 1.3), or push the tag"


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        ("http://ghcr.io/acme/app:1", 'take "http://" away: write ghcr.io/acme/app:1'),
        (" ghcr.io/acme/app:1\n", "take the spaces and quotes away: write ghcr.io/acme/app:1"),
        ('"nginx"', "take the spaces and quotes away: write nginx"),
        (
            "ghcr.io/acme/app:$(TAG)",
            "put the value in the place of the variable: Kubernetes fills in none here",
        ),
        ("a:b:c", "write it as [REGISTRY/]REPOSITORY[:TAG][@DIGEST]"),
    ],
)
def test_a_malformed_reference_is_mended_by_what_stands_in_it(written: str, mend: str) -> None:
    outcome = Outcome(Pull.FAILS, Cause.REFERENCE_MALFORMED, detail="invalid reference format")
    assert words(denied(Cause.REFERENCE_MALFORMED, outcome, image=written)).mend == mend


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        ("ghcr.io/acme/App:V1", "write ghcr.io/acme/app:V1"),
        ("Nginx", "write nginx"),
        ("localhost:5000/App", "write localhost:5000/app"),
        ("foo/Bar baz", "write the repository in lower case; only a tag may have capitals"),
    ],
)
def test_a_capital_letter_is_mended_in_the_repository_alone(written: str, mend: str) -> None:
    outcome = Outcome(Pull.FAILS, Cause.REFERENCE_UPPERCASE)
    assert words(denied(Cause.REFERENCE_UPPERCASE, outcome, image=written)).mend == mend


def test_a_name_that_no_secret_can_have_is_not_to_be_created() -> None:
    finding = replace(example(Cause.SECRET_NOT_FOUND), secret="--all")
    assert words(finding).mend.startswith("no secret can have that name")


def test_a_finding_of_a_secret_names_the_secret_and_a_volume_its_name() -> None:
    assert paragraph(example(Cause.SECRET_NOT_FOUND)).startswith(
        "spec.template.spec.imagePullSecrets[0].name: regcred\n"
    )
    use = use_of(
        place=Place.VOLUME, container="volume:data", path="spec.volumes[0].image.reference"
    )
    finding = Finding(
        Cause.TAG_NOT_FOUND,
        Action.DENY,
        judged_of(Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND), use),
        use.field,
    )
    assert paragraph(finding).splitlines()[0].endswith('app:1.2 (volume "data")')


def test_a_request_without_an_answer_says_why() -> None:
    finding = example(Cause.TIMEOUT)
    assert words(finding).known == f"HEAD {URL} got no answer (timeout)"
    node = replace(
        finding, judged=judged_of(finding.judged.outcome, pod=pod_of(vantage=Vantage.NODE))
    )
    assert pulls.doubt(node.judged, Cause.TIMEOUT) == ""


def test_what_could_not_be_read_is_cut_to_the_warnings_room() -> None:
    why = "cannot read secret " + "x" * 300
    pod = pod_of(named("regcred", Unreadable(Cause.SECRET_UNREADABLE, why)))
    judged = judged_of(Outcome(Pull.UNKNOWN, Cause.SECRET_UNREADABLE, detail=why), pod=pod)
    finding = Finding(Cause.SECRET_UNREADABLE, Action.WARN, judged, FIELD)
    assert len(warning(finding)) <= WARNING_LIMIT


# -- quotas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finding", "what", "brief"),
    [
        (
            short_of(Quota(3, 100, 21600, "ghcr.io")),
            "ghcr.io has 3 pulls left (of 100 in 6 hours) for anonymous pulls from pullproof's "
            "address, and this rollout starts up to 10 (2 images on 5 nodes)",
            "ghcr.io has 3 anonymous pulls left, and this rollout starts up to 10 "
            "(2 images on 5 nodes)",
        ),
        (
            short_of(Quota(1, None, 60, "ghcr.io", "bot"), pulls=7),
            'ghcr.io has 1 pull left in 1 minute for user "bot", and this rollout starts up to 7 '
            "(2 images on up to 5 nodes)",
            'ghcr.io has 1 pull left for user "bot", and this rollout starts up to 7 '
            "(2 images on up to 5 nodes)",
        ),
        (
            short_of(Quota(0, 200, None, "ghcr.io", "bot"), pulls=1, images=1, most=1),
            'ghcr.io has no pulls left (of 200) for user "bot", and this rollout starts 1 '
            "(1 image on 1 node)",
            'ghcr.io has no pulls left for user "bot", and this rollout starts 1 '
            "(1 image on 1 node)",
        ),
        (
            short_of(Quota(4, None, None, "ghcr.io"), by=PulledBy.POD),
            "ghcr.io has 4 pulls left for anonymous pulls from pullproof's address, and this "
            "rollout starts up to 10 (2 images for 5 pods)",
            "ghcr.io has 4 anonymous pulls left, and this rollout starts up to 10 "
            "(2 images for 5 pods)",
        ),
        (
            short_of(Quota(1, 9, 7, "m.corp"), pulls=2, most=1, by=PulledBy.EVERY_NODE),
            "m.corp has 1 pull left (of 9 in 7 seconds) for anonymous pulls from pullproof's "
            "address, and this rollout starts 2 on each node",
            "m.corp has 1 anonymous pull left, and this rollout starts 2 on each node",
        ),
    ],
)
def test_a_quota_is_told_with_every_number_that_makes_it_too_small(
    finding: Finding, what: str, brief: str
) -> None:
    assert words(finding).what == what
    assert f" {IMAGE}: {brief}; " in warning(finding)


def test_a_quota_is_known_from_the_head_that_was_answered() -> None:
    known = words(short_of(Quota(3, host="ghcr.io"))).known
    told = "and told in ratelimit-remaining what is left"
    assert known == f"HEAD {URL} answered 200 to an anonymous request, {told}"


def test_a_larger_quota_is_had_by_a_login_where_one_counts() -> None:
    anonymous = short_of(Quota(3, host="ghcr.io"))
    anyhow = "pull through a mirror, or start fewer pods at a time"
    assert words(anonymous).mend == (
        f"{anyhow}; or log in: write spec.template.spec.imagePullSecrets: [{{name: regcred}}], and "
        "create that secret if it is not there: kubectl create secret docker-registry regcred "
        "-n shop --docker-server=ghcr.io --docker-username=USER --docker-password=PASSWORD"
    )
    assert "; log in, or use a mirror [" in warning(anonymous)
    account = short_of(Quota(3, host="ghcr.io", user="bot"))
    higher = 'name a pull secret of an account with a higher limit than "bot" has'
    assert words(account).mend == f"{higher}; or {anyhow}"
    assert "; use a larger account, or use a mirror [" in warning(account)


def test_no_login_is_told_of_where_none_is_asked_for() -> None:
    opened = short_of(Quota(3, host="ghcr.io"))
    outcome = replace(opened.judged.outcome, before_credentials=True)
    opened = replace(opened, judged=replace(opened.judged, outcome=outcome))
    mirrored = short_of(Quota(3, host="mirror.corp"))
    for finding in (opened, mirrored):
        assert words(finding).mend == "pull through a mirror, or start fewer pods at a time"
        assert "; start fewer pods at a time [" in warning(finding)
