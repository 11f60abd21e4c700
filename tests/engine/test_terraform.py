"""Terraform's AWS provider, unchanged: makes a network and a cache in it, sees no difference, changes rules, takes all away.

The provider waits longer than anything here takes: 10 s for a VPC, 30 s for a cache that comes or goes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.engine.groups import describe
from tests.fixtures.doors import await_door, enters, need_guards
from tests.fixtures.service import Service

CONFIGURATION = Path(__file__).parents[2] / "examples" / "terraform" / "main.tf"
MIRRORS = [Path("~/.terraform.d/plugins").expanduser(), Path("/usr/local/share/terraform/plugins"), *Path("/opt").glob("*")]
PROVIDER = "registry.terraform.io/hashicorp/aws"
UNCHANGED, CHANGED = 0, 2  # exit codes of a plan


def mirror() -> Path | None:
    """The folder in which the provider is installed; nothing is downloaded."""
    return next((folder for folder in MIRRORS if (folder / PROVIDER).is_dir()), None)


class Terraform:
    """In a folder of its own, with the credentials of a service."""

    def __init__(self, folder: Path, service: Service) -> None:
        self._folder = folder
        settings = folder / "terraformrc"
        settings.write_text(
            f'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{ path = "{mirror()}" }}\n}}\n'
        )
        shutil.copy(CONFIGURATION, folder)
        nowhere = str(folder / "nowhere")
        self._environment = {
            **service.environment(),
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        }
        self.run("init")

    def run(self, command: str, *arguments: str, expected: int = 0) -> str:
        """What it printed."""
        line = ["terraform", command, "-no-color", "-input=false", *arguments]
        done = subprocess.run(
            line, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == expected, done.stdout[-6000:] + done.stderr[-4000:]
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        line = ["terraform", "output", "-json"]
        done = subprocess.run(line, cwd=self._folder, env=self._environment, capture_output=True, check=True, timeout=60)
        return {name: one["value"] for name, one in json.loads(done.stdout).items()}


@pytest.fixture
def terraform(tmp_path: Path, service: Service) -> Terraform:
    if shutil.which("terraform") is None or mirror() is None:
        pytest.skip("Terraform and its AWS provider are not installed here")
    return Terraform(tmp_path, service)


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
        terraform.run("apply", "-auto-approve")
        _check_made(service, terraform)
        terraform.run("plan", "-detailed-exitcode", expected=UNCHANGED)
        changed = ["-var", 'clients=["127.0.0.40/32", "127.0.0.44/30"]', "-var", "last_port=6390"]
        planned = terraform.run("plan", "-detailed-exitcode", "-out=changes", *changed, expected=CHANGED)
        assert "0 to add, 2 to change, 0 to destroy" in planned
        terraform.run("apply", "changes")
        _check_changed(service, terraform)
        terraform.run("plan", "-detailed-exitcode", *changed, expected=UNCHANGED)
    finally:
        terraform.run("destroy", "-auto-approve", "-refresh=false")
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
