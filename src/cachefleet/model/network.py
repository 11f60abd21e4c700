"""Subnet groups and the built-in default VPC of every account and region.

The VPC is no row until something of it is changed (a tag, a rule): its ids are derived from account and region, so that they
are the same after every start and on every installation. It has one subnet per zone and one security group.
"""

from __future__ import annotations

import hashlib

import msgspec

from cachefleet.model.resource import Scope
from cachefleet.model.vpc import ANY_ADDRESS, DEFAULT_GROUP, SecurityGroupDesired, SecurityRule, SubnetDesired, VpcDesired
from cachefleet.reference.zones import zones

DEFAULT_SUBNET_GROUP = "default"
THIS_MACHINE = "127.0.0.0/8"  # where caches have their addresses, and clients on this machine
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


def built_in_vpc() -> VpcDesired:
    return VpcDesired(THIS_MACHINE, dns_hostnames=True)


def built_in_subnets(scope: Scope, network: int) -> dict[str, SubnetDesired]:
    """By id. network: N of the 127.N.0.0/16 whose slices they are (hosts.addresses)."""
    vpc_id = default_vpc_id(scope)
    return {
        subnet.subnet_id: SubnetDesired(vpc_id, f"127.{network}.{64 * (number + 1)}.0/18", subnet.zone, True)
        for number, subnet in enumerate(default_subnets(scope))
    }


def built_in_security_group(scope: Scope) -> SecurityGroupDesired:
    """As AWS has it, its members may connect; and so may all of this machine, which could otherwise not reach a cache that
    names no security group."""
    group_id = default_security_group_id(scope)
    return SecurityGroupDesired(
        default_vpc_id(scope),
        DEFAULT_GROUP,
        "default VPC security group",
        ingress=(
            SecurityRule(_derived_id("sgr", scope, "members"), group_id=group_id),
            SecurityRule(_derived_id("sgr", scope, "machine"), cidr=THIS_MACHINE),
        ),
        egress=(SecurityRule(_derived_id("sgr", scope, "egress"), cidr=ANY_ADDRESS),),
    )


def new_id(prefix: str, digits: str) -> str:
    """digits: random, hexadecimal, at least 17."""
    return f"{prefix}-{digits[:_ID_DIGITS]}"


def default_subnet_group(scope: Scope) -> SubnetGroupDesired:
    """The subnet group "default", which exists always and is no row."""
    return SubnetGroupDesired("Default CacheSubnetGroup", default_vpc_id(scope), default_subnets(scope))


def _derived_id(prefix: str, scope: Scope, what: str) -> str:
    digest = hashlib.sha256(f"{prefix}/{scope.account}/{scope.region}/{what}".encode()).hexdigest()
    return f"{prefix}-{digest[:_ID_DIGITS]}"
