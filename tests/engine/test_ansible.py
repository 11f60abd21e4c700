"""Ansible's modules, unchanged: a playbook makes caches, its second run changes nothing, others change and remove them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.groups import await_available, describe_cluster, replication_group
from tests.fixtures.service import Service, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples" / "ansible"
ANSIBLE = Path(sys.prefix) / "ansible"
Playbook = Callable[..., dict[str, bool]]


@pytest.fixture
def playbook(service: Service, tmp_path: Path) -> Playbook:
    """Runs one with these variables; by the names of its tasks, whether they changed something."""
    if not (ANSIBLE / "installed.lock").exists():
        assert os.environ.get("CI") != "true", "scripts/install-test-clients could not install Ansible"
        pytest.skip("Ansible is not installed here: scripts/install-test-clients")
    nowhere = str(tmp_path / "nowhere")
    (tmp_path / "ansible.cfg").touch()
    environment = {
        **service.environment(),
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "ANSIBLE_COLLECTIONS_PATH": str(ANSIBLE),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_PIPELINING": "true",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ANSIBLE),
    }

    def run(path: Path, *options: str, **variables: object) -> dict[str, bool]:
        line = [sys.executable, "-m", "ansible", "playbook", str(path), "--extra-vars", json.dumps(variables), *options]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
        tasks = (block.partition("]") for block in done.stdout.split("\nTASK [")[1:])
        return {name: "\nchanged: [localhost]" in told for name, _, told in tasks}

    return run


def test_caches_come_stay_change_and_go(elasticache: Any, playbook: Playbook) -> None:
    first = playbook(EXAMPLES / "caches.yml")
    assert first == {
        "Subnets that there are": False,
        "Where the caches stand": True,
        "Parameters": True,
        "Sessions": True,
        "A queue": True,
        "What there is": False,
    }
    assert set(playbook(EXAMPLES / "caches.yml").values()) == {False}
    changed = playbook(EXAMPLES / "caches.yml", "--start-at-task=Parameters", nodes=3, eviction="allkeys-lru")
    assert [name for name, is_changed in changed.items() if is_changed] == ["Parameters", "Sessions"]
    sessions = describe_cluster(elasticache, "ansible-sessions")
    assert sessions is not None and sessions["NumCacheNodes"] == 3
    (policy,) = elasticache.describe_cache_parameters(CacheParameterGroupName="ansible", Source="user")["Parameters"]
    assert (policy["ParameterName"], policy["ParameterValue"]) == ("maxmemory-policy", "allkeys-lru")
    assert set(playbook(EXAMPLES / "removal.yml").values()) == {True}
    assert describe_cluster(elasticache, "ansible-queue") is None


def test_snapshots(elasticache: Any, playbook: Playbook, tmp_path: Path) -> None:
    name = "ansible-nightly"
    path = tmp_path / "snapshot.yml"

    def task(state: str, **more: str) -> dict[str, bool]:
        module = {"name": name, "state": state, **more}
        path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [
            {"name": state, "community.aws.elasticache_snapshot": module}]}]))  # fmt: skip
        return playbook(path)

    def state() -> str:
        return str(elasticache.describe_snapshots(SnapshotName=name)["Snapshots"][0]["SnapshotStatus"])

    of = {"replication_id": "ansible-shop", "cluster_id": "ansible-shop-002"}
    with replication_group(elasticache, "ansible-shop", NumCacheClusters=2):
        assert task("present", **of) == {"present": True}
        wait_for("the snapshot is available", lambda: state() == "available")
        await_available(elasticache, "ansible-shop")
        assert task("present", **of) == {"present": False}
        assert task("absent") == {"absent": True}
