"""`aws ec2`, unchanged: a network made and taken away, rules in every form that the command line has, pages, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.service import Service

AWS = str(Path(sys.executable).with_name("aws"))
Aws = Callable[..., Any]
ANYWHERE = "0.0.0.0/0"


class Refused(Exception):
    """args: what the command line printed."""


@pytest.fixture
def aws(service: Service, tmp_path: Path) -> Aws:
    nowhere = str(tmp_path / "nowhere")
    environment = {
        **service.environment(),
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_PAGER": "",
    }

    def run(*words: str) -> Any:
        done = subprocess.run([AWS, "ec2", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Refused(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def authorized(aws: Aws, group: str, *words: str) -> list[tuple[str, int, int, str]]:
    """(protocol, from, to, source) of the rules that came of it."""
    made = aws("authorize-security-group-ingress", "--group-id", group, *words)["SecurityGroupRules"]
    return [
        (
            rule["IpProtocol"],
            rule["FromPort"],
            rule["ToPort"],
            rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule["ReferencedGroupInfo"]["GroupId"],
        )
        for rule in made
    ]


def test_a_network_by_hand(aws: Aws) -> None:
    tags = "ResourceType=vpc,Tags=[{Key=Name,Value=by-hand}]"
    vpc = aws("create-vpc", "--cidr-block", "10.40.0.0/16", "--tag-specifications", tags)["Vpc"]["VpcId"]
    aws("wait", "vpc-available", "--vpc-ids", vpc)
    made = aws("create-subnet", "--vpc-id", vpc, "--cidr-block", "10.40.1.0/24", "--availability-zone", "local-1b")
    subnet = made["Subnet"]["SubnetId"]
    group = aws("create-security-group", "--group-name", "hand", "--description", "by hand", "--vpc-id", vpc)["GroupId"]
    aws("wait", "security-group-exists", "--group-ids", group)

    with pytest.raises(Refused, match=rf"\(DependencyViolation\).*The vpc '{vpc}' has dependencies and cannot be deleted"):
        aws("delete-vpc", "--vpc-id", vpc)
    with pytest.raises(Refused, match=r"\(DryRunOperation\).*Request would have succeeded, but DryRun flag is set"):
        aws("delete-subnet", "--subnet-id", subnet, "--dry-run")
    aws("delete-security-group", "--group-id", group)
    with pytest.raises(Refused, match=rf"\(InvalidGroup.NotFound\).*The security group '{group}' does not exist"):
        aws("delete-security-group", "--group-id", group)
    aws("delete-subnet", "--subnet-id", subnet)
    aws("delete-vpc", "--vpc-id", vpc)
    with pytest.raises(Refused, match=rf"\(InvalidVpcID.NotFound\).*The vpc ID '{vpc}' does not exist"):
        aws("describe-vpcs", "--vpc-ids", vpc)


def test_rules_in_every_form(aws: Aws) -> None:
    group = aws("create-security-group", "--group-name", "forms", "--description", "d")["GroupId"]
    for words, expected in (
        (("--protocol", "tcp", "--port", "6379", "--cidr", "127.0.0.9/32"), ("tcp", 6379, 6379, "127.0.0.9/32")),
        (("--protocol", "tcp", "--port", "6379-6400", "--cidr", "10.1.2.3/8"), ("tcp", 6379, 6400, "10.0.0.0/8")),
        (("--protocol", "tcp", "--port", "all", "--cidr", "11.0.0.0/8"), ("tcp", 0, 65535, "11.0.0.0/8")),
        (("--protocol", "icmp", "--port", "-1", "--cidr", ANYWHERE), ("icmp", -1, -1, ANYWHERE)),
        (("--protocol", "-1", "--cidr", "12.0.0.0/8"), ("-1", -1, -1, "12.0.0.0/8")),
        (("--protocol", "tcp", "--port", "6379", "--source-group", group), ("tcp", 6379, 6379, group)),
        (
            ("--ip-permissions", "IpProtocol=tcp,FromPort=1,ToPort=2,Ipv6Ranges=[{CidrIpv6=::/0}]"),
            ("tcp", 1, 2, "::/0"),
        ),
    ):
        assert authorized(aws, group, *words) == [expected]
    pair = [{"IpProtocol": "tcp", "FromPort": 3, "ToPort": 3, "UserIdGroupPairs": [{"GroupId": group, "Description": "us"}]}]
    assert authorized(aws, group, "--ip-permissions", json.dumps(pair)) == [("tcp", 3, 3, group)]

    again = ("--protocol", "tcp", "--port", "6379", "--cidr", "127.0.0.9/32")
    spoken = r'the specified rule "peer: 127.0.0.9/32, TCP, from port: 6379, to port: 6379, ALLOW" already exists'
    with pytest.raises(Refused, match=rf"\(InvalidPermission.Duplicate\).*{spoken}"):
        authorized(aws, group, *again)
    aws("revoke-security-group-ingress", "--group-id", group, *again)
    with pytest.raises(Refused, match=r"\(InvalidPermission.NotFound\).*does not exist in this security group"):
        aws("revoke-security-group-ingress", "--group-id", group, *again)
    listed = ("describe-security-group-rules", "--filters", f"Name=group-id,Values={group}")
    rules = aws(*listed)["SecurityGroupRules"]
    assert (len(rules), sum(rule["IsEgress"] for rule in rules)) == (8, 1)
    ids = [rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]]
    aws("revoke-security-group-ingress", "--group-id", group, "--security-group-rule-ids", *ids)
    assert [rule["IsEgress"] for rule in aws(*listed)["SecurityGroupRules"]] == [True]
    aws("delete-security-group", "--group-name", "forms")


def test_pages(service: Service, aws: Aws) -> None:
    names = [f"page-{number}" for number in range(7)]
    ec2 = service.client("ec2")
    for name in names:
        ec2.create_security_group(GroupName=name, Description="d")
    asked = ("describe-security-groups", "--filters", "Name=group-name,Values=page-?")
    found = aws(*asked, "--page-size", "5")["SecurityGroups"]
    assert sorted(group["GroupName"] for group in found) == names
    first = aws(*asked, "--max-items", "4")
    second = aws(*asked, "--starting-token", first["NextToken"])
    assert [len(part["SecurityGroups"]) for part in (first, second)] == [4, 3]
    for name in names:
        ec2.delete_security_group(GroupName=name)
