"""The built-in default VPC."""

from __future__ import annotations

import re

from cachefleet.model.network import (
    Subnet,
    SubnetGroupDesired,
    default_security_group_id,
    default_subnet_group,
    default_subnets,
    default_vpc_id,
)
from cachefleet.model.resource import Scope

SCOPE = Scope("000000000000", "local-1")
OTHERS = (Scope("111111111111", "local-1"), Scope("000000000000", "eu-west-1"))


def _ids(scope: Scope) -> list[str]:
    return [default_vpc_id(scope), default_security_group_id(scope), *(subnet.subnet_id for subnet in default_subnets(scope))]


def test_ids_have_the_form_of_ids_and_differ() -> None:
    for made, prefix in zip(_ids(SCOPE), ("vpc", "sg", "subnet", "subnet", "subnet"), strict=True):
        assert re.fullmatch(f"{prefix}-[0-9a-f]{{17}}", made)
    everything = [made for scope in (SCOPE, *OTHERS) for made in _ids(scope)]
    assert len(set(everything)) == len(everything)


def test_ids_never_change() -> None:
    """Rows hold them: another way to derive them would orphan every subnet group."""
    assert default_vpc_id(SCOPE) == "vpc-df2336e4455e29ddc"
    assert default_subnets(SCOPE)[0].subnet_id == "subnet-3f78aa0c524f18d2b"


def test_a_subnet_in_every_zone() -> None:
    assert [subnet.zone for subnet in default_subnets(SCOPE)] == ["local-1a", "local-1b", "local-1c"]
    assert default_subnet_group(SCOPE).zones == ("local-1a", "local-1b", "local-1c")
    assert default_subnet_group(SCOPE).vpc_id == default_vpc_id(SCOPE)


def test_zones_of_a_subnet_group() -> None:
    group = SubnetGroupDesired("", "", (Subnet("s2", "b"), Subnet("s1", "a"), Subnet("s3", "b")))
    assert group.zones == ("a", "b")
