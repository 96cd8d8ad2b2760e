"""The sample manifests say what is expected of them, and use what the demo has."""

import json
from pathlib import Path

import pytest

from webhook.cli.demo import samples
from webhook.cli.demo.content import demo_store
from webhook.cli.demo.samples import Expected
from webhook.policy.action import Action
from webhook.registry.outcome import Cause


def test_every_sample_lives_in_the_namespace_shop_under_a_name_of_its_own() -> None:
    names = set()
    for sample in samples.load(samples.FOLDER):
        for document in sample.documents:
            assert document["metadata"]["namespace"] == "shop"
            names.add((document["kind"], document["metadata"]["name"]))
    assert len(names) == sum(len(sample.documents) for sample in samples.load(samples.FOLDER))


def test_a_sample_tells_its_title_and_what_is_expected() -> None:
    found = {sample.path.stem: sample for sample in samples.load(samples.FOLDER)}
    assert found["01-public"].title == "A public image"
    assert found["01-public"].expects == frozenset()
    assert found["08-missing-secret-needed"].expects == {
        Expected(Action.WARN, Cause.SECRET_NOT_FOUND),
        Expected(Action.WARN, Cause.CREDENTIALS_MISSING),
    }


def test_a_sample_that_declares_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("# A title\nkind: Pod\n")
    with pytest.raises(ValueError, match=r"x\.yaml does not say what is expected"):
        samples.load(tmp_path)


def test_rendered_samples_name_the_registry_that_runs(tmp_path: Path) -> None:
    folder = samples.render(tmp_path, "localhost:41234")
    texts = [path.read_text() for path in folder.rglob("*.yaml")]
    assert len(texts) == len(list(samples.FOLDER.rglob("*.yaml")))
    assert not any("localhost:5000" in text for text in texts)
    assert (folder / "cluster" / "10-secrets.yaml").exists()


def test_samples_rendered_for_the_port_they_are_written_for_are_the_same(tmp_path: Path) -> None:
    folder = samples.render(tmp_path, samples.WRITTEN_HOST)
    for source in samples.FOLDER.rglob("*.yaml"):
        assert (folder / source.relative_to(samples.FOLDER)).read_bytes() == source.read_bytes()


def test_the_secrets_hold_the_users_of_the_registry() -> None:
    users = demo_store().users
    good = set()
    for document in samples.cluster_documents(samples.FOLDER):
        if document["kind"] == "Secret":
            config = json.loads(document["stringData"][".dockerconfigjson"])
            for login in config["auths"].values():
                if users[login["username"]] == login["password"]:
                    good.add(document["metadata"]["name"])
    assert good == {"shop-registry", "worker-registry"}
