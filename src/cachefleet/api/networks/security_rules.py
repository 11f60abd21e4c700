"""Rules of security groups as callers write them: permissions into rules, and rules into permissions. Pure.

A permission says a protocol, ports and several sources; each source of it is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv6Network
from typing import Any

from cachefleet.api.names import is_writable, quoted
from cachefleet.api.networks.ec2_requests import show_tags
from cachefleet.api.networks.vpcs import read_network
from cachefleet.model.errors import AwsError, invalid_combination, invalid_value
from cachefleet.model.vpc import ANY_PROTOCOL, SecurityRule

_NUMBERS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": ANY_PROTOCOL}
_WITH_PORTS = ("tcp", "udp")
_WITH_TYPES = ("icmp", "icmpv6")
_LAST_PORT = 65_535
_TEXT_LENGTH = 255
_FLAT = ("IpProtocol", "FromPort", "ToPort", "CidrIp")
FindGroup = Callable[[Mapping[str, Any]], str]  # a pair of user and group -> the group's id


def read_rules(request: Mapping[str, Any], find_group: FindGroup) -> list[SecurityRule]:
    """What the request says, without ids, in its order. Raises AwsError."""
    permissions: Sequence[Mapping[str, Any]] = request.get("IpPermissions") or ()
    if any(request.get(member) is not None for member in (*_FLAT, "SourceSecurityGroupName")):
        if permissions:
            raise invalid_combination(f"Give IpPermissions, or {', '.join(_FLAT)}; not both.")
        permissions = [_flat(request)]
    rules = [rule for permission in permissions for rule in _read(permission, find_group)]
    if not rules:
        raise AwsError("MissingParameter", "The request must contain IpPermissions, each with at least one source.")
    seen: set[object] = set()
    for rule in rules:
        if rule.what in seen:
            raise invalid_value(f"The same permission must not appear multiple times: {spoken(rule)}")
        seen.add(rule.what)
    return rules


def spoken(rule: SecurityRule) -> str:
    """As AWS words a rule in its messages."""
    peer = rule.cidr or rule.cidr6 or rule.group_id
    protocol = "ALL" if rule.protocol == ANY_PROTOCOL else rule.protocol.upper()
    ports = "" if rule.first_port == -1 else f", from port: {rule.first_port}, to port: {rule.last_port}"
    return f'"peer: {peer}, {protocol}{ports}, ALLOW"'


def show_permissions(rules: Sequence[SecurityRule], account: str) -> list[dict[str, Any]]:
    """Rules with the same protocol and ports together, in the order in which they were made."""
    together: dict[tuple[str, int, int], dict[str, Any]] = {}
    for rule in rules:
        shown = together.setdefault((rule.protocol, rule.first_port, rule.last_port), _empty(rule))
        text = {"Description": rule.description} if rule.description else {}
        if rule.cidr:
            shown["IpRanges"].append({"CidrIp": rule.cidr, **text})
        elif rule.cidr6:
            shown["Ipv6Ranges"].append({"CidrIpv6": rule.cidr6, **text})
        else:
            shown["UserIdGroupPairs"].append({"GroupId": rule.group_id, "UserId": account, **text})
    return list(together.values())


def show_rule(rule: SecurityRule, group_id: str, account: str, region: str, *, egress: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "SecurityGroupRuleId": rule.rule_id,
        "SecurityGroupRuleArn": f"arn:aws:ec2:{region}:{account}:security-group-rule/{rule.rule_id}",
        "GroupId": group_id,
        "GroupOwnerId": account,
        "IsEgress": egress,
        "IpProtocol": rule.protocol,
        "FromPort": rule.first_port,
        "ToPort": rule.last_port,
        "Tags": show_tags(rule.tags),
    }
    if rule.cidr:
        shown["CidrIpv4"] = rule.cidr
    elif rule.cidr6:
        shown["CidrIpv6"] = rule.cidr6
    else:
        shown["ReferencedGroupInfo"] = {"GroupId": rule.group_id, "UserId": account}
    if rule.description:
        shown["Description"] = rule.description
    return shown


def _empty(rule: SecurityRule) -> dict[str, Any]:
    shown: dict[str, Any] = {"IpProtocol": rule.protocol}
    if rule.protocol != ANY_PROTOCOL:
        shown |= {"FromPort": rule.first_port, "ToPort": rule.last_port}
    return {**shown, "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []}


def _flat(request: Mapping[str, Any]) -> dict[str, Any]:
    permission: dict[str, Any] = {member: request.get(member) for member in ("IpProtocol", "FromPort", "ToPort")}
    if request.get("CidrIp"):
        permission["IpRanges"] = [{"CidrIp": request["CidrIp"]}]
    if request.get("SourceSecurityGroupName"):
        pair = {"GroupName": request["SourceSecurityGroupName"], "UserId": request.get("SourceSecurityGroupOwnerId")}
        permission["UserIdGroupPairs"] = [pair]
        permission["IpProtocol"] = permission["IpProtocol"] or ANY_PROTOCOL
    return permission


def _read(permission: Mapping[str, Any], find_group: FindGroup) -> Iterator[SecurityRule]:
    protocol = _protocol(permission.get("IpProtocol"))
    first, last = _ports(protocol, permission.get("FromPort"), permission.get("ToPort"))
    if permission.get("PrefixListIds"):
        raise AwsError("InvalidPrefixListID.NotFound", "PrefixListIds: there are no prefix lists; use IpRanges.")

    def rule(source: Mapping[str, Any], cidr: str = "", cidr6: str = "", group_id: str = "") -> SecurityRule:
        return SecurityRule("", protocol, first, last, cidr, cidr6, group_id, read_description(source.get("Description") or ""))

    for source in permission.get("IpRanges") or ():
        yield rule(source, cidr=str(read_network(source.get("CidrIp") or "", "CidrIp")))
    for source in permission.get("Ipv6Ranges") or ():
        yield rule(source, cidr6=_network6(source.get("CidrIpv6") or ""))
    for source in permission.get("UserIdGroupPairs") or ():
        yield rule(source, group_id=find_group(source))


def _protocol(text: str | None) -> str:
    if not text:
        raise AwsError("MissingParameter", "The request must contain the parameter IpProtocol.")
    protocol = _NUMBERS.get(text.lower(), text.lower())
    numbered = protocol.isascii() and protocol.isdecimal() and len(protocol) <= 3 and int(protocol) <= 255
    if protocol not in (ANY_PROTOCOL, *_WITH_PORTS, *_WITH_TYPES) and not numbered:
        raise invalid_value(
            f"Invalid value {quoted(text)} for IP protocol. Unknown protocol; use tcp, udp, icmp or -1 for all."
        )
    return protocol


def _ports(protocol: str, first: int | None, last: int | None) -> tuple[int, int]:
    if protocol in _WITH_TYPES:
        return (-1 if first is None else first), (-1 if last is None else last)
    if protocol not in _WITH_PORTS:
        return -1, -1  # whatever is said of ports, AWS takes it for all of them
    if first is None or last is None:
        raise invalid_value(f"Invalid value for portRange. Must specify both from and to ports with {protocol.upper()}.")
    if (first, last) == (-1, -1):
        return 0, _LAST_PORT
    if not 0 <= first <= last <= _LAST_PORT:
        raise invalid_value(
            f"Invalid range {first}-{last}: ports go from 0 to {_LAST_PORT}, and the first is not above the last."
        )
    return first, last


def _network6(text: str) -> str:
    try:
        if "/" not in text or "%" in text:
            raise ValueError(text)
        return str(IPv6Network(text, strict=False))
    except ValueError:
        raise invalid_value(f"CidrIpv6: {quoted(text)} is not an IPv6 network such as ::/0.") from None


def read_description(text: str) -> str:
    """Of a rule. Raises InvalidParameterValue."""
    if len(text) > _TEXT_LENGTH or not all(map(is_writable, text)):
        raise invalid_value(f"Description: at most {_TEXT_LENGTH} characters without control characters are allowed.")
    return text
