"""EC2's tags of VPCs, subnets, security groups and their rules: add, remove, show.

The tag `cachefleet:members` of a security group names further addresses that count as its members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks import networks
from cachefleet.api.networks.ec2_requests import DRY_RUN, PAGES, chosen, paged
from cachefleet.api.registry import operation
from cachefleet.api.tag_rules import added, read_tags
from cachefleet.interfaces import AnyRow
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.model.resource import Key, Kind
from cachefleet.model.vpc import MEMBERS, SecurityGroupDesired

_MOST_RESOURCES = 1000
_TYPES = {"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule"}
Change = Callable[[Mapping[str, str]], dict[str, str]]


@operation("CreateTags", service="ec2", effective=("Resources", "Tags", DRY_RUN))
async def create_tags(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    more = read_tags(request["Tags"], of_network=True)
    if MEMBERS in more and any(not name.startswith("sg-") for name in request["Resources"]):
        raise invalid_value(f"Tags: {MEMBERS} has a meaning for security groups only.")
    return await _change(context, request["Resources"], lambda tags: added(tags, more))


@operation("DeleteTags", service="ec2", effective=("Resources", "Tags", DRY_RUN))
async def delete_tags(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    asked = request.get("Tags")

    def keeps(key: str, value: str) -> bool:
        return asked is not None and not any(tag.get("Key") == key and tag.get("Value") in (None, value) for tag in asked)

    return await _change(context, request["Resources"], lambda tags: {key: tags[key] for key in tags if keeps(key, tags[key])})


@operation("DescribeTags", service="ec2", effective=PAGES)
async def describe_tags(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    there = {f"{name} {key}": (name, key, text) for name, tags in (await _all(context)).items() for key, text in tags.items()}
    found = chosen(
        there,
        request,
        None,
        {
            "key": lambda tag: [tag[1]],
            "value": lambda tag: [tag[2]],
            "resource-id": lambda tag: [tag[0]],
            "resource-type": lambda tag: [_TYPES[tag[0].partition("-")[0]]],
        },
        lambda tag: {tag[1]: tag[2]},
        lambda name: invalid_value(name),
    )
    shown, token = paged(found, request, "tags")
    tags = [
        {"ResourceId": name, "ResourceType": _TYPES[name.partition("-")[0]], "Key": key, "Value": text}
        for _, (name, key, text) in shown
    ]
    return {"Tags": tags, **token}


async def _all(context: Context) -> dict[str, dict[str, str]]:
    """Tags by id."""
    groups = await networks.security_groups(context)
    rows: list[tuple[str, AnyRow]] = [
        *(await networks.vpcs(context)).items(),
        *(await networks.subnets(context)).items(),
        *groups.items(),
    ]
    found = {name: row.tags for name, row in rows}
    for row in groups.values():
        found |= {rule.rule_id: rule.tags for rule in (*row.desired.ingress, *row.desired.egress)}
    return found


async def _change(context: Context, names: list[str], change: Change) -> dict[str, Any]:
    """All or nothing."""
    if not 0 < len(names) <= _MOST_RESOURCES:
        raise invalid_value(f"Resources names {len(names)} resources; from 1 to {_MOST_RESOURCES} may be.")
    rows: dict[Key, AnyRow] = {}
    for name in dict.fromkeys(names):
        row = await _find(context, name)
        row = rows.get(row.key, row)
        rows[row.key] = _changed(row, name, change)
    woken = []
    async with context.store.transaction() as transaction:
        for row in rows.values():
            await networks.put(transaction, row)
        for key in rows:
            if key.kind is Kind.SECURITY_GROUP:
                woken += await networks.wake_guarded(context, transaction, key.name)
    for group in woken:
        context.wake(group.key)
    return {}


async def _find(context: Context, name: str) -> AnyRow:
    """The row that holds the tags of the resource with this id. Raises the resource's not-found code, InvalidID."""
    prefix = name.partition("-")[0]
    if prefix == "vpc":
        return await networks.load_vpc(context, name)
    if prefix == "subnet":
        return await networks.load_subnet(context, name)
    if prefix == "sg":
        return await networks.load_security_group(context, name)
    for row in (await networks.security_groups(context)).values():
        if any(rule.rule_id == name for rule in (*row.desired.ingress, *row.desired.egress)):
            return row
    raise AwsError(
        "InvalidID", f"The ID {quoted(name)} is not valid: it is that of no VPC, subnet, security group or rule here."
    )


def _changed(row: AnyRow, name: str, change: Change) -> AnyRow:
    if row.key.name == name:
        return replace(row, tags=change(row.tags))
    desired: SecurityGroupDesired = row.desired
    ingress, egress = (
        tuple(replace(rule, tags=change(rule.tags)) if rule.rule_id == name else rule for rule in rules)
        for rules in (desired.ingress, desired.egress)
    )
    return replace(row, desired=replace(desired, ingress=ingress, egress=egress))
