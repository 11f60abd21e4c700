"""Users with keys and policies of their own, through boto3, the AWS CLI and `cachefleet users`, on a real service."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fixtures.service import CACHEFLEET, Service, running_service, wait_for

ACCOUNT = "000000000000"
AWS = str(Path(sys.executable).with_name("aws"))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cachefleet-test-") as folder, running_service(Path(folder)) as running:
        yield running


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action: Any, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    made = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


def new_user(service: Service, name: str, *statements: dict[str, Any]) -> dict[str, str]:
    """Its access key."""
    iam = service.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    made: dict[str, str] = iam.create_access_key(UserName=name)["AccessKey"]
    return made


def refusal(call: Any, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_two_users_with_different_rights(service: Service) -> None:
    group = "arn:aws:elasticache:*:*:replicationgroup:"
    reader = service.client(key=new_user(service, "reader", allow("elasticache:Describe*")))
    maker = service.client(
        key=new_user(
            service,
            "maker",
            allow(["elasticache:CreateReplicationGroup", "elasticache:AddTagsToResource"], f"{group}mine-*"),
            allow("elasticache:DeleteReplicationGroup", "*", StringEquals={"aws:ResourceTag/owner": "${aws:username}"}),
        ),
    )
    request = {"ReplicationGroupDescription": "d", "Engine": "valkey", "CacheNodeType": "cache.t4g.micro"}
    code, status, message = refusal(reader.create_replication_group, ReplicationGroupId="mine-1", **request)
    assert (code, status) == ("AccessDenied", 403)
    assert message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/reader is not authorized to perform: elasticache:CreateReplicationGroup on "
        f"resource: arn:aws:elasticache:local-1:{ACCOUNT}:replicationgroup:mine-1 because no identity-based policy allows the "
        "elasticache:CreateReplicationGroup action"
    )
    assert refusal(maker.create_replication_group, ReplicationGroupId="other-1", **request)[0] == "AccessDenied"
    tags = [{"Key": "owner", "Value": "maker"}]
    maker.create_replication_group(ReplicationGroupId="mine-1", Tags=tags, **request)
    maker.create_replication_group(ReplicationGroupId="mine-2", **request)
    assert refusal(maker.describe_replication_groups)[0] == "AccessDenied"

    def available() -> bool:
        groups = reader.describe_replication_groups()["ReplicationGroups"]
        return [found["Status"] for found in groups] == ["available", "available"]

    wait_for("both groups are available", available, 60)
    assert refusal(reader.delete_replication_group, ReplicationGroupId="mine-1")[0] == "AccessDenied"
    assert refusal(maker.delete_replication_group, ReplicationGroupId="mine-2")[0] == "AccessDenied"  # has not the tag
    maker.delete_replication_group(ReplicationGroupId="mine-1")
    service.client().delete_replication_group(ReplicationGroupId="mine-2")
    wait_for("both groups are gone", lambda: not reader.describe_replication_groups()["ReplicationGroups"], 60)


def test_who_one_is(service: Service) -> None:
    key = new_user(service, "ann")
    told = service.client("sts", key=key).get_caller_identity()
    assert (told["Arn"], told["Account"]) == (f"arn:aws:iam::{ACCOUNT}:user/ann", ACCOUNT)
    assert told["UserId"] == service.client("iam").get_user(UserName="ann")["User"]["UserId"]


def test_any_region_will_do_for_iam(service: Service) -> None:
    names = [user["UserName"] for user in service.client("iam", region="us-east-1").list_users()["Users"]]
    assert names == [user["UserName"] for user in service.client("iam", region="local-9").list_users()["Users"]]


def test_a_key_is_refused_as_soon_as_it_is_switched_off(service: Service) -> None:
    key, iam = new_user(service, "bob", allow("elasticache:Describe*")), service.client("iam")
    bob = service.client(key=key)
    bob.describe_cache_clusters()
    iam.update_access_key(UserName="bob", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert refusal(bob.describe_cache_clusters)[:2] == ("InvalidClientTokenId", 403)
    iam.update_access_key(UserName="bob", AccessKeyId=key["AccessKeyId"], Status="Active")
    bob.describe_cache_clusters()
    iam.delete_user_policy(UserName="bob", PolicyName="own")
    assert refusal(bob.describe_cache_clusters)[0] == "AccessDenied"
    iam.delete_access_key(UserName="bob", AccessKeyId=key["AccessKeyId"])
    assert refusal(bob.describe_cache_clusters)[0] == "InvalidClientTokenId"
    iam.delete_user(UserName="bob")


def test_users_outlive_the_service(service: Service) -> None:
    key = new_user(service, "eve", allow("elasticache:DescribeEvents"))
    service.kill()
    service.start()
    assert "Events" in service.client(key=key).describe_events()


def test_policies_come_back_as_documents(service: Service) -> None:
    new_user(service, "pat", allow("elasticache:*"))
    shown = service.client("iam").get_user_policy(UserName="pat", PolicyName="own")["PolicyDocument"]
    assert shown == json.loads(policy(allow("elasticache:*")))


def test_the_aws_command_line(service: Service) -> None:
    def aws(*words: str) -> Any:
        done = subprocess.run(
            [AWS, "--output", "json", *words], capture_output=True, text=True, timeout=60, env=service.environment(), check=True
        )
        return json.loads(done.stdout) if done.stdout else None

    made = aws("iam", "create-user", "--user-name", "shell", "--path", "/tools/")
    assert made["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/tools/shell"
    document = policy(allow("elasticache:Describe*"))
    aws("iam", "put-user-policy", "--user-name", "shell", "--policy-name", "p", "--policy-document", document)
    assert aws("iam", "get-user-policy", "--user-name", "shell", "--policy-name", "p")["PolicyDocument"] == json.loads(document)
    key = aws("iam", "create-access-key", "--user-name", "shell")["AccessKey"]
    assert service.client(key=key).describe_cache_clusters()["CacheClusters"] == []


def test_our_own_command_line(service: Service, tmp_path: Path) -> None:
    def users(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [CACHEFLEET, "users", *words, "--data", str(service.data)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    lines = dict(line.split("=", 1) for line in users("create", "kim").splitlines() if "=" in line and " " not in line)
    kim = service.client(key={"AccessKeyId": lines["AWS_ACCESS_KEY_ID"], "SecretAccessKey": lines["AWS_SECRET_ACCESS_KEY"]})
    assert refusal(kim.describe_events)[0] == "AccessDenied"
    file = tmp_path / "policy.json"
    file.write_text(policy(allow("elasticache:Describe*")))
    users("policy", "put", "kim", "reads", str(file))
    kim.describe_events()
    assert json.loads(users("policy", "show", "kim", "reads")) == json.loads(file.read_text())
    assert users("policy", "list", "kim").split() == ["reads"]
    users("keys", "disable", "kim", lines["AWS_ACCESS_KEY_ID"])
    assert refusal(kim.describe_events)[0] == "InvalidClientTokenId"
    users("keys", "enable", "kim", lines["AWS_ACCESS_KEY_ID"])
    kim.describe_events()
    shown = users("list")
    assert "kim" in shown and "reads" in shown and lines["AWS_SECRET_ACCESS_KEY"] not in shown
    file.write_text(policy(allow("elasticache:*", StringMatches={"aws:username": "x"})))
    assert "MalformedPolicyDocument" in users("policy", "put", "kim", "odd", str(file), code=1)
    assert "Inactive" not in users("keys", "list", "kim")
    users("delete", "kim")
    assert "NoSuchEntity" in users("keys", "list", "kim", code=1)


def test_every_call_is_in_the_audit_log(service: Service) -> None:
    root = service.client()
    root.describe_events()
    forged = service.client(key={"AccessKeyId": _root_key(service), "SecretAccessKey": "wrong"})
    assert refusal(forged.describe_events)[0] == "SignatureDoesNotMatch"
    key = new_user(service, "zoe")
    assert refusal(service.client(key=key).delete_snapshot, SnapshotName="none")[0] == "AccessDenied"
    file = service.data / "audit.log"

    def records() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    denied = wait_for(
        "the refused call is there", lambda: [one for one in records() if one["eventName"] == "DeleteSnapshot"], 10
    )[-1]
    assert denied["errorCode"] == "AccessDenied" and denied["userIdentity"]["userName"] == "zoe"
    assert denied["requestParameters"] == {"snapshotName": "none"} and denied["sourceIPAddress"] == "127.0.0.1"
    assert denied["userAgent"].startswith("Boto3")
    assert any(one.get("errorCode") == "SignatureDoesNotMatch" for one in records())
    made = [one for one in records() if one["eventName"] == "CreateAccessKey"][-1]
    assert made["responseElements"]["accessKey"]["secretAccessKey"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert key["SecretAccessKey"] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _root_key(service: Service) -> str:
    return str(json.loads((service.data / "credentials.json").read_bytes())["access_key_id"])


def test_a_normal_stop_loses_no_record(service: Service) -> None:
    root = service.client()
    for _ in range(50):
        root.describe_events()
    request_id = root.describe_cache_clusters()["ResponseMetadata"]["RequestId"]
    subprocess.run(
        [CACHEFLEET, "down", "--keep-caches", "--data", str(service.data)], check=True, capture_output=True, timeout=60
    )
    assert request_id in (service.data / "audit.log").read_text()
    assert service.process is not None
    service.process.wait(15)
    service.start()


def test_no_secret_of_a_user_is_in_the_data_folder(service: Service) -> None:
    key = new_user(service, "sam")
    secret = key["SecretAccessKey"].encode()
    files = [path for path in service.data.rglob("*") if path.is_file()]
    assert (service.data / "cachefleet.db") in files
    assert [path for path in files if secret in path.read_bytes()] == []
