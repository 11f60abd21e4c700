"""Subnet groups and the built-in default VPC."""

from __future__ import annotations

import msgspec


class Subnet(msgspec.Struct, frozen=True):
    subnet_id: str
    zone: str


class SubnetGroupDesired(msgspec.Struct, frozen=True):
    description: str
    vpc_id: str
    subnets: tuple[Subnet, ...]
