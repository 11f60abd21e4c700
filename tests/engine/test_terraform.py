"""Terraform's AWS provider, unchanged: makes a network and a cache in it, sees no difference, changes rules, takes all away.

The provider waits longer than anything here takes: 10 s for a VPC, 30 s for a cache that comes or goes. So CI leaves this to
`make tools`; test_terraform_caches.py is of what is ElastiCache's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.engine.groups import describe
from tests.fixtures.doors import await_door, enters, need_guards
from tests.fixtures.service import Service
from tests.fixtures.terraform import EXAMPLES, Terraform

pytestmark = pytest.mark.skipif(not os.environ.get("TEST_TOOLS"), reason="waits for minutes: make tools")


@pytest.fixture
def terraform(tmp_path: Path, service: Service) -> Terraform:
    return Terraform(tmp_path, service, EXAMPLES / "main.tf")


def rules_of(service: Service, name: str) -> set[tuple[str, int, int, str]]:
    """(protocol, first port, last port, network) of the ingress rules with one."""
    ec2 = service.client("ec2")
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
    return {
        (allowed["IpProtocol"], allowed["FromPort"], allowed["ToPort"], source["CidrIp"])
        for allowed in group["IpPermissions"]
        for source in allowed["IpRanges"]
    }


def test_a_network_and_a_cache_from_nothing_to_nothing(service: Service, elasticache: Any, terraform: Terraform) -> None:
    ec2 = service.client("ec2")
    before = [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]]
    try:
        terraform.apply()
        _check_made(service, terraform)
        terraform.change("0 added, 2 changed, 0 destroyed", clients=["127.0.0.40/32", "127.0.0.44/30"], last_port=6390)
        _check_changed(service, terraform)
    finally:
        terraform.run("destroy", "-refresh=false")
    assert describe(elasticache, "shop") is None
    assert [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]] == before
    assert ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["cache", "tools"]}])["SecurityGroups"] == []


def _check_made(service: Service, terraform: Terraform) -> None:
    outputs = terraform.outputs()
    assert outputs["found"] == {
        "zones": ["local-1a", "local-1b", "local-1c"],
        "default_network": "127.0.0.0/8",
        "default_group": "default",
        "default_subnets": 3,
        "first_network": "10.20.0.0/24",
        "cache_group": "Who may connect to the cache",
        "cache_rules": 3,
    }
    assert rules_of(service, "cache") == {("tcp", 6379, 6379, "127.0.0.1/32")}
    tags = service.client("ec2").describe_tags(Filters=[{"Name": "key", "Values": ["Team"]}])["Tags"]
    assert {tag["ResourceType"] for tag in tags} >= {"vpc", "subnet", "security-group", "security-group-rule"}
    need_guards(service)
    where = (outputs["primary"], 6379)
    let_in = [number for number in (1, 9, 20, 23, 24, 27, 28, 30, 31, 32, 40) if enters(where, f"127.0.0.{number}")]
    assert let_in == [1, 20, 24, 27, 30, 31]


def _check_changed(service: Service, terraform: Terraform) -> None:
    where = (terraform.outputs()["primary"], 6379)
    assert ("tcp", 6379, 6390, "127.0.0.30/32") in rules_of(service, "tools")
    await_door(where, "127.0.0.40", is_open=True)
    await_door(where, "127.0.0.1", is_open=False)
    assert enters(where, "127.0.0.46")
    assert not enters(where, "127.0.0.48")
