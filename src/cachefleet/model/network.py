"""Subnet groups and the built-in default VPC of every account and region.

The VPC is no row: its ids are derived from account and region, so that they are the same after every start and on every
installation. It has one subnet per zone and one security group.
"""

from __future__ import annotations

import hashlib

import msgspec

from cachefleet.model.resource import Scope
from cachefleet.reference.zones import zones

DEFAULT_SUBNET_GROUP = "default"
_ID_DIGITS = 17


class Subnet(msgspec.Struct, frozen=True):
    subnet_id: str
    zone: str


class SubnetGroupDesired(msgspec.Struct, frozen=True):
    description: str
    vpc_id: str
    subnets: tuple[Subnet, ...]

    @property
    def zones(self) -> tuple[str, ...]:
        """Where nodes may stand, each zone once, in the order of names."""
        return tuple(sorted({subnet.zone for subnet in self.subnets}))


def default_vpc_id(scope: Scope) -> str:
    return _derived_id("vpc", scope, "default")


def default_security_group_id(scope: Scope) -> str:
    """The security group of a cache that names none."""
    return _derived_id("sg", scope, "default")


def default_subnets(scope: Scope) -> tuple[Subnet, ...]:
    """One per zone, in the order of zones."""
    return tuple(Subnet(_derived_id("subnet", scope, zone), zone) for zone in zones(scope.region))


def default_subnet_group(scope: Scope) -> SubnetGroupDesired:
    """The subnet group "default", which exists always and is no row."""
    return SubnetGroupDesired("Default CacheSubnetGroup", default_vpc_id(scope), default_subnets(scope))


def _derived_id(prefix: str, scope: Scope, what: str) -> str:
    digest = hashlib.sha256(f"{prefix}/{scope.account}/{scope.region}/{what}".encode()).hexdigest()
    return f"{prefix}-{digest[:_ID_DIGITS]}"
