"""The AdmissionReviews of the demo are those that an API server would send."""

import json
from typing import Any
from uuid import UUID

import pytest

from webhook.cli.demo import samples
from webhook.cli.demo.reviews import LAST_APPLIED, Accounts, NotAdmitted, last_applied, review

ACCOUNTS = Accounts(samples.cluster_documents(samples.FOLDER))
SAMPLES = {sample.path.stem: sample for sample in samples.load(samples.FOLDER)}


def pod(**spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "localhost:5000/shop/web:1.27"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"containers": [container], **spec},
    }


def reviewed(document: Any) -> dict[str, Any]:
    request: dict[str, Any] = review(document, ACCOUNTS)["request"]
    return request


def test_a_request_names_object_kind_and_resource() -> None:
    request = reviewed(SAMPLES["01-public"].documents[0])
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    resource = {"group": "apps", "version": "v1", "resource": "deployments"}
    assert (request["kind"], request["requestKind"]) == (kind, kind)
    assert (request["resource"], request["requestResource"]) == (resource, resource)
    assert (request["name"], request["namespace"]) == ("web", "shop")
    assert (request["operation"], request["oldObject"], request["dryRun"]) == (
        "CREATE",
        None,
        False,
    )
    assert request["options"]["fieldManager"] == "kubectl-client-side-apply"
    assert UUID(request["uid"])


def test_no_two_reviews_have_the_same_uid() -> None:
    assert reviewed(pod())["uid"] != reviewed(pod())["uid"]


def test_what_the_user_wrote_is_not_changed() -> None:
    document = pod()
    before = json.dumps(document)
    reviewed(document)
    assert json.dumps(document) == before


def test_a_deployment_is_defaulted() -> None:
    spec = reviewed(SAMPLES["01-public"].documents[0])["object"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert spec["progressDeadlineSeconds"] == 600
    template = spec["template"]["spec"]
    assert template["restartPolicy"] == "Always"
    assert template["terminationGracePeriodSeconds"] == 30
    assert template["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert "imagePullSecrets" not in template
    assert "serviceAccountName" not in template


def test_the_template_of_a_cronjob_is_defaulted() -> None:
    spec = reviewed(SAMPLES["16-cronjob"].documents[0])["object"]["spec"]
    assert spec["concurrencyPolicy"] == "Allow"
    container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["terminationMessagePolicy"] == "File"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("localhost:5000/shop/web", "Always"),
        ("localhost:5000/shop/web:latest", "Always"),
        ("localhost:5000/shop/web:1", "IfNotPresent"),
        ("https://localhost:5000/shop/web:latest", "IfNotPresent"),
        ("web@sha256:" + "a" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_goes_by_the_tag(image: str, policy: str) -> None:
    document = pod(containers=[{"name": "c", "image": image}])
    container = reviewed(document)["object"]["spec"]["containers"][0]
    assert container["imagePullPolicy"] == policy


def test_init_containers_are_defaulted_too() -> None:
    template = reviewed(SAMPLES["11-init-container"].documents[0])["object"]["spec"]["template"]
    assert template["spec"]["initContainers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_a_pod_gets_the_default_account_and_its_token() -> None:
    spec = reviewed(pod())["object"]["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert "imagePullSecrets" not in spec
    volume = spec["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume


def test_a_pod_without_pull_secrets_gets_those_of_its_account() -> None:
    spec = reviewed(pod(serviceAccountName="worker"))["object"]["spec"]
    assert spec["imagePullSecrets"] == [{"name": "worker-registry"}]


def test_a_pod_with_pull_secrets_keeps_its_own() -> None:
    own = [{"name": "mine"}]
    spec = reviewed(pod(serviceAccountName="worker", imagePullSecrets=own))["object"]["spec"]
    assert spec["imagePullSecrets"] == own


def test_a_pod_of_an_account_that_does_not_exist_is_not_admitted() -> None:
    with pytest.raises(NotAdmitted, match='serviceaccount "nobody" not found'):
        reviewed(pod(serviceAccountName="nobody"))


def test_what_was_applied_is_kept_as_go_writes_json() -> None:
    document = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "<ä>"}}
    text = last_applied(document)
    assert text == (
        '{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{},"name":"\\u003cä\\u003e"}}\n'
    )
    annotations = reviewed(pod())["object"]["metadata"]["annotations"]
    assert json.loads(annotations[LAST_APPLIED])["spec"] == pod()["spec"]


def test_every_sample_makes_reviews_that_are_json() -> None:
    for sample in SAMPLES.values():
        for document in sample.documents:
            assert json.dumps(review(document, ACCOUNTS))
