"""Networks as users make them: VPCs, subnets, security groups and their rules. What they mean for connections is decided by
planning.guarding.
"""

from __future__ import annotations

from ipaddress import IPv4Network

import msgspec

ANY_PROTOCOL = "-1"
ANY_ADDRESS = "0.0.0.0/0"
DEFAULT_GROUP = "default"  # name of the security group that every VPC has
MEMBERS = "cachefleet:members"  # tag of a security group: further addresses that count as its members


class VpcDesired(msgspec.Struct, frozen=True):
    """Attributes are kept and shown; there is no DNS."""

    cidr: str
    dns_support: bool = True
    dns_hostnames: bool = False
    usage_metrics: bool = False


class SubnetDesired(msgspec.Struct, frozen=True):
    vpc_id: str
    cidr: str
    zone: str
    public_addresses: bool = False


class SecurityRule(msgspec.Struct, frozen=True):
    """Exactly one of cidr, cidr6 and group_id says who. protocol: "-1" (any), "tcp", "udp", "icmp", "icmpv6" or a number;
    ports from -1 to -1: all of them (of icmp: type and code)."""

    rule_id: str
    protocol: str = ANY_PROTOCOL
    first_port: int = -1
    last_port: int = -1
    cidr: str = ""
    cidr6: str = ""
    group_id: str = ""
    description: str = ""
    tags: dict[str, str] = {}

    @property
    def what(self) -> tuple[str, int, int, str, str, str]:
        """No group has two rules for which this is the same."""
        return self.protocol, self.first_port, self.last_port, self.cidr, self.cidr6, self.group_id

    def covers(self, port: int) -> bool:
        """Whether it lets TCP connections to that port in."""
        if self.protocol == ANY_PROTOCOL:
            return True
        return self.protocol == "tcp" and (self.first_port == -1 or self.first_port <= port <= self.last_port)


class SecurityGroupDesired(msgspec.Struct, frozen=True):
    vpc_id: str
    name: str
    description: str
    ingress: tuple[SecurityRule, ...] = ()
    egress: tuple[SecurityRule, ...] = ()


def read_members(text: str) -> tuple[IPv4Network, ...]:
    """What the tag MEMBERS says. Raises ValueError for what is no list of IPv4 networks and addresses."""
    return tuple(IPv4Network(word) for word in text.split())
