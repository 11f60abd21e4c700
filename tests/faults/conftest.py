"""A service for each module, and one with cluster-mode groups for all tests that break clusters: making those takes longer than
most of the faults.

Each test finds its group whole, and leaves it so or fails. Rules for packets go with each module.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cluster_truth import ClusterGroup, made_cluster
from tests.faults.packet_rules import PacketRules, packet_rules
from tests.faults.shard import Shard, made_shard
from tests.fixtures.machine import data_folder
from tests.fixtures.service import Service, running_service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as made:
        yield made


@pytest.fixture(scope="module")
def lasting_trio(service: Service) -> Iterator[Shard]:
    with made_shard(service, "trio", 3) as made:
        yield made


@pytest.fixture
def trio(lasting_trio: Shard) -> Shard:
    """A primary and two replicas, cluster mode disabled."""
    return lasting_trio


@pytest.fixture(scope="session")
def cluster_service() -> Iterator[Service]:
    with data_folder() as data, running_service(data) as made:
        yield made


@pytest.fixture(scope="session")
def lasting_three_shards(cluster_service: Service) -> Iterator[ClusterGroup]:
    with made_cluster(cluster_service, "trio", 3) as made:
        yield made


@pytest.fixture(scope="session")
def lasting_one_shard(cluster_service: Service) -> Iterator[ClusterGroup]:
    with made_cluster(cluster_service, "solo", 1) as made:
        yield made


@pytest.fixture
def three_shards(lasting_three_shards: ClusterGroup) -> ClusterGroup:
    """Each with a replica; whole, with marks in every shard that all nodes have."""
    lasting_three_shards.await_whole()
    lasting_three_shards.put_marks()
    return lasting_three_shards


@pytest.fixture
def one_shard(lasting_one_shard: ClusterGroup) -> ClusterGroup:
    lasting_one_shard.await_whole()
    lasting_one_shard.put_marks()
    return lasting_one_shard


@pytest.fixture(scope="module")
def rules() -> Iterator[PacketRules]:
    with packet_rules() as made:
        yield made
