import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook.policy import store as store_module
from webhook.policy.fault import Refused
from webhook.policy.files import BUILT_IN
from webhook.policy.store import PolicyStore


def policy(action: str) -> str:
    return (
        "apiVersion: pullproof.dev/v1alpha1\nkind: ImagePolicy\n"
        f"metadata: {{name: p}}\nspec: {{rules: {{undecided: {action}}}}}\n"
    )


def configmap(folder: Path, version: str, text: str) -> None:
    """Write as the kubelet does: a new folder, then one rename of ``..data``."""
    (folder / version).mkdir()
    (folder / version / "p.yaml").write_text(text)
    (folder / "..tmp").symlink_to(version)
    (folder / "..tmp").rename(folder / "..data")
    if not (folder / "p.yaml").is_symlink():
        (folder / "p.yaml").symlink_to("..data/p.yaml")


def opened(path: Path) -> PolicyStore:
    store = PolicyStore.open([path])
    assert isinstance(store, PolicyStore), store
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    configmap(tmp_path, "..1", policy("warn"))
    yield tmp_path


def test_a_broken_start_returns_its_faults(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(policy("nonsense"))
    assert isinstance(PolicyStore.open([tmp_path]), Refused)


def test_without_paths_the_built_in_defaults_hold() -> None:
    store = PolicyStore.open([])
    assert isinstance(store, PolicyStore)
    assert store.current == BUILT_IN
    store.start()
    store.close()


def test_nothing_is_loaded_where_nothing_changed(folder: Path) -> None:
    store = opened(folder)
    before = store.current
    assert not store.reload_if_changed()
    assert store.current is before


def test_a_config_map_that_moved_on_is_loaded(folder: Path) -> None:
    store = opened(folder)
    before = store.current.hash
    configmap(folder, "..2", policy("deny"))
    assert store.reload_if_changed()
    assert store.current.hash != before


def test_a_broken_reload_keeps_the_last_good_set_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(folder)
    before = store.current
    configmap(folder, "..2", policy("nonsense"))
    with caplog.at_level(logging.ERROR):
        assert not store.reload_if_changed()
        assert not store.reload_if_changed()
    assert store.current is before
    assert store.problem is not None
    assert "spec.rules.undecided" in store.problem
    assert store.failures == 1
    assert len(caplog.records) == 1
    configmap(folder, "..3", policy("audit"))
    assert store.reload_if_changed()
    assert store.problem is None


def test_files_that_went_away_are_a_broken_reload(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(policy("warn"))
    store = opened(file)
    before = store.current
    file.unlink()
    assert not store.reload_if_changed()
    assert store.current is before
    assert store.problem is not None


def test_a_file_of_the_same_size_and_time_but_another_inode_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(policy("warn"))
    store = opened(file)
    status = file.stat()
    other = tmp_path / "other"
    other.write_text(policy("deny"))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(file)
    assert store.reload_if_changed()


def test_a_started_store_looks_by_itself_and_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "INTERVAL", 0.01)
    store = opened(folder)
    swapped = threading.Event()
    reload_if_changed = store.reload_if_changed

    def tell() -> bool:
        if reload_if_changed():
            swapped.set()
        return swapped.is_set()

    monkeypatch.setattr(store, "reload_if_changed", tell)
    store.start()
    configmap(folder, "..2", policy("deny"))
    assert swapped.wait(10)
    store.close()
    assert not any(thread.name == "policies" for thread in threading.enumerate())
