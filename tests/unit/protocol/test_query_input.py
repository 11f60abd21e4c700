"""What the decoder refuses, and in which words."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from cachefleet.model.errors import AwsError
from cachefleet.protocol.message import HttpRequest
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import service

CODEC = QueryCodec()
GROUP = {"ReplicationGroupId": "demo", "ReplicationGroupDescription": "d"}


def decode(action: str = "CreateReplicationGroup", of: str = "elasticache", **parameters: str) -> tuple[str, dict[str, object]]:
    form = {"Action": action, "Version": service(of).api_version, **parameters}
    return raw(urlencode({name: value for name, value in form.items() if value != "(absent)"}), of)


def raw(form: str, of: str = "elasticache") -> tuple[str, dict[str, object]]:
    return CODEC.decode(service(of), HttpRequest("POST", "/", "", {}, form.encode()))


def refusal(action: str = "CreateReplicationGroup", **parameters: str) -> AwsError:
    with pytest.raises(AwsError) as refused:
        decode(action, **parameters)
    return refused.value


def test_values_have_python_types() -> None:
    _, value = decode(
        **GROUP,
        NumCacheClusters="2",
        MultiAZEnabled="TRUE",
        AutomaticFailoverEnabled="false",
        **{"Tags.Tag.1.Key": "a", "Tags.Tag.1.Value": "", "PreferredCacheClusterAZs.member.1": "local-1a"},
    )
    assert value == {
        **GROUP,
        "NumCacheClusters": 2,
        "MultiAZEnabled": True,
        "AutomaticFailoverEnabled": False,
        "Tags": [{"Key": "a", "Value": ""}],
        "PreferredCacheClusterAZs": ["local-1a"],
    }


def test_points_in_time_are_epoch_seconds() -> None:
    _, value = decode("DescribeEvents", StartTime="2026-11-22T12:00:00.250Z", EndTime="1795348800")
    assert value == {"StartTime": 1795348800.25, "EndTime": 1795348800.0}


def test_an_empty_list_is_a_list() -> None:
    assert decode("RemoveTagsFromResource", ResourceName="arn", TagKeys="")[1] == {"ResourceName": "arn", "TagKeys": []}


def test_items_keep_their_order_whatever_order_they_come_in() -> None:
    keys = {f"TagKeys.member.{number}": f"k{number}" for number in (10, 2, 1, 9, 3, 4, 8, 7, 6, 5)}
    assert decode("RemoveTagsFromResource", ResourceName="arn", **keys)[1]["TagKeys"] == [f"k{n}" for n in range(1, 11)]


def test_flattened_numbers_are_understood() -> None:
    found = decode("RemoveTagsFromResource", ResourceName="arn", **{"TagKeys.1": "a", "TagKeys.2": "b"})
    assert found[1]["TagKeys"] == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "words", "parameters"),
    [
        ("MissingAction", "Action", {"action": "(absent)"}),
        ("InvalidAction", "The action Nonsense is not valid for this web service.", {"action": "Nonsense"}),
        ("InvalidAction", "is not valid", {"action": "GetCallerIdentity"}),
        ("MissingParameter", "Version", {"Version": "(absent)"}),
        ("NoSuchVersion", "use 2015-02-02", {"Version": "2014-09-30"}),
        ("InvalidParameterValue", "Action must be a single value", {"action": "(absent)", "Action.1": "x"}),
        (
            "MissingParameter",
            "The request must contain the parameter ReplicationGroupDescription.",
            {"ReplicationGroupDescription": "(absent)"},
        ),
        ("InvalidParameterValue", "Unknown parameter Nonsense", {"Nonsense": "1"}),
        ("InvalidParameterValue", "Unknown parameter replicationGroupId", {"replicationGroupId": "x"}),
        ("InvalidParameterValue", "NumCacheClusters must be a whole number", {"NumCacheClusters": "two"}),
        ("InvalidParameterValue", "NumCacheClusters must be a whole number", {"NumCacheClusters": ""}),
        ("InvalidParameterValue", "NumCacheClusters must be a whole number", {"NumCacheClusters": "2147483648"}),
        ("InvalidParameterValue", "NumCacheClusters must be a whole number", {"NumCacheClusters": "9" * 4000}),
        ("InvalidParameterValue", "NumCacheClusters must be a whole number", {"NumCacheClusters": "\u0662"}),
        ("InvalidParameterValue", "MultiAZEnabled must be true or false", {"MultiAZEnabled": "yes"}),
        ("InvalidParameterValue", "Unknown parameter MultiAZEnabled.x", {"MultiAZEnabled.x": "true"}),
        ("InvalidParameterValue", "Tags must be a list", {"Tags": "a"}),
        ("InvalidParameterValue", "Tags.Tag.1 must be a structure", {"Tags.Tag.1": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag.1.Colour", {"Tags.Tag.1.Colour": "red"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag.0", {"Tags.Tag.0.Key": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag.01", {"Tags.Tag.01.Key": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag.2", {"Tags.Tag.2.Key": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.member.999999999", {"Tags.member.999999999.Key": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag.-1", {"Tags.Tag.-1.Key": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Label", {"Tags.Label.1.Key": "a"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag", {"Tags.Tag.1.Key": "a", "Tags.member.2.Key": "b"}),
        ("InvalidParameterValue", "Unknown parameter Tags.Tag", {"Tags.Tag": "a"}),
    ],
)
def test_refusals(code: str, words: str, parameters: dict[str, str]) -> None:
    error = refusal(**{**GROUP, **parameters})
    assert error.code == code
    assert words in error.message


def test_required_members_of_structures_are_named_with_their_path() -> None:
    error = refusal("ModifyCacheParameterGroup", CacheParameterGroupName="g")
    assert error.message == "The request must contain the parameter ParameterNameValues."
    error = refusal(
        "DecreaseReplicaCount",
        ReplicationGroupId="g",
        ApplyImmediately="true",
        **{"ReplicaConfiguration.ConfigureShard.1.NodeGroupId": "0001"},
    )
    assert error.code == "MissingParameter"
    assert error.message == "The request must contain the parameter ReplicaConfiguration.ConfigureShard.1.NewReplicaCount."


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01T00:00:00Z", "99999999999999999", "2026-W10", "0000-01-01"])
def test_what_is_no_point_in_time(text: str) -> None:
    error = refusal("DescribeEvents", StartTime=text)
    assert error.code == "InvalidParameterValue"
    assert "StartTime must be a point in time" in error.message


def test_values_are_not_repeated_in_messages() -> None:
    error = refusal(**GROUP, **{"AuthToken.x": "hunter2-hunter2-hunter2"})
    assert "hunter2" not in error.message


def test_services_are_told_apart() -> None:
    assert decode("GetCallerIdentity", of="sts") == ("GetCallerIdentity", {})
    with pytest.raises(AwsError):
        decode("DescribeEvents", of="sts")
