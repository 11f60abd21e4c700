"""EC2's operations on rules of security groups: authorize, revoke, change, show.

Ingress rules decide who may connect to caches; the caches that they concern are woken. Egress rules are recorded: caches
connect to nobody but each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.api.networks import networks
from cachefleet.api.networks.ec2_requests import DRY_RUN, PAGES, Values, asked_tags, chosen, drawn_id, paged, word
from cachefleet.api.networks.security_groups import asked_group
from cachefleet.api.networks.security_rules import read_description, read_rules, show_rule, spoken
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_combination
from cachefleet.model.row import SecurityGroupRow
from cachefleet.model.vpc import SecurityRule

RULES_PER_GROUP = 60  # in each direction, as in AWS
_WHICH = (
    "GroupId",
    "IpPermissions",
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIp",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
)
_RECORDED = {"IpPermissions": "kept and shown; caches connect to nobody but each other"}


@operation("AuthorizeSecurityGroupIngress", service="ec2", effective=(*_WHICH, "GroupName", "TagSpecifications", DRY_RUN))
async def authorize_security_group_ingress(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    return await _authorize(context, request, egress=False)


@operation(
    "AuthorizeSecurityGroupEgress",
    service="ec2",
    effective=("GroupId", "TagSpecifications", DRY_RUN),
    recorded=_RECORDED,
)
async def authorize_security_group_egress(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    return await _authorize(context, request, egress=True)


@operation("RevokeSecurityGroupIngress", service="ec2", effective=(*_WHICH, "GroupName", "SecurityGroupRuleIds", DRY_RUN))
async def revoke_security_group_ingress(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    return await _revoke(context, request, egress=False)


@operation(
    "RevokeSecurityGroupEgress",
    service="ec2",
    effective=("GroupId", "SecurityGroupRuleIds", DRY_RUN),
    recorded=_RECORDED,
)
async def revoke_security_group_egress(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    return await _revoke(context, request, egress=True)


@operation("ModifySecurityGroupRules", service="ec2", effective=("GroupId", "SecurityGroupRules", DRY_RUN))
async def modify_security_group_rules(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    row = await asked_group(context, request)
    known = await _groups_of(context, row)
    for update in request["SecurityGroupRules"]:
        rule_id = update.get("SecurityGroupRuleId") or ""
        egress = any(rule.rule_id == rule_id for rule in row.desired.egress)
        rules = _rules(row, egress=egress)
        if all(rule.rule_id != rule_id for rule in rules):
            raise _no_rule(rule_id)
        wanted = _asked_rule(update.get("SecurityGroupRule") or {}, known)
        others = [rule for rule in rules if rule.rule_id != rule_id]
        _check_new([wanted], others)
        changed = [replace(wanted, rule_id=rule_id, tags=rule.tags) if rule.rule_id == rule_id else rule for rule in rules]
        row = _with_rules(row, changed, egress=egress)
    await _store(context, row)
    return {"Return": True}


@operation(
    "UpdateSecurityGroupRuleDescriptionsIngress",
    service="ec2",
    effective=("GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleDescriptions", DRY_RUN),
)
async def update_security_group_rule_descriptions_ingress(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    return await _describe_anew(context, request, egress=False)


@operation(
    "UpdateSecurityGroupRuleDescriptionsEgress",
    service="ec2",
    effective=("GroupId", "GroupName", "IpPermissions", "SecurityGroupRuleDescriptions", DRY_RUN),
)
async def update_security_group_rule_descriptions_egress(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    return await _describe_anew(context, request, egress=True)


@operation("DescribeSecurityGroupRules", service="ec2", effective=("SecurityGroupRuleIds", *PAGES))
async def describe_security_group_rules(context: Context, request: Mapping[str, Any]) -> dict[str, Any]:
    rows = (await networks.security_groups(context)).values()
    rules = {
        rule.rule_id: (row, rule, egress) for row in rows for egress in (False, True) for rule in _rules(row, egress=egress)
    }
    found = chosen(rules, request, request.get("SecurityGroupRuleIds"), _FILTERS, lambda known: known[1].tags, _no_rule)
    shown, token = paged(found, request, "security-group-rules")
    return {"SecurityGroupRules": [_view(row, [rule], egress=egress)[0] for _, (row, rule, egress) in shown], **token}


_FILTERS: Mapping[str, Values[tuple[SecurityGroupRow, SecurityRule, bool]]] = {
    "group-id": lambda known: [known[0].key.name],
    "security-group-rule-id": lambda known: [known[1].rule_id],
    "is-egress": lambda known: [word(known[2])],
}


async def _authorize(context: Context, request: Mapping[str, Any], *, egress: bool) -> dict[str, Any]:
    row = await asked_group(context, request)
    known = await _groups_of(context, row)
    rules = _rules(row, egress=egress)
    asked = read_rules(request, lambda pair: _source(pair, known, row))
    _check_new(asked, rules)
    if len(rules) + len(asked) > RULES_PER_GROUP:
        raise AwsError(
            "RulesPerSecurityGroupLimitExceeded", f"A security group has at most {RULES_PER_GROUP} rules a direction."
        )
    tags = asked_tags(request, "security-group-rule")
    made = [replace(rule, rule_id=drawn_id(context, "sgr"), tags=tags) for rule in asked]
    row = await _store(
        context, _with_rules(row, [*rules, *made], egress=egress), [known[rule.group_id] for rule in made if rule.group_id]
    )
    return {"Return": True, "SecurityGroupRules": _view(row, made, egress=egress)}


async def _revoke(context: Context, request: Mapping[str, Any], *, egress: bool) -> dict[str, Any]:
    row = await asked_group(context, request)
    rules = _rules(row, egress=egress)
    ids = request.get("SecurityGroupRuleIds") or ()
    if ids:
        for rule_id in ids:
            if all(rule.rule_id != rule_id for rule in rules):
                raise _no_rule(rule_id)
        gone = [rule for rule in rules if rule.rule_id in ids]
    else:
        gone = [there for there, _ in await _those_asked(context, request, row, rules)]
    await _store(context, _with_rules(row, [rule for rule in rules if rule not in gone], egress=egress))
    return {
        "Return": True,
        "RevokedSecurityGroupRules": [_revoked(rule) for rule in _view(row, gone, egress=egress)],
    }


async def _describe_anew(context: Context, request: Mapping[str, Any], *, egress: bool) -> dict[str, Any]:
    """A description that is left out is taken away."""
    row = await asked_group(context, request)
    rules = _rules(row, egress=egress)
    by_id = request.get("SecurityGroupRuleDescriptions") or ()
    if bool(by_id) == bool(request.get("IpPermissions")):
        raise invalid_combination("Exactly one of IpPermissions and SecurityGroupRuleDescriptions must be given.")
    if by_id:
        texts = {asked.get("SecurityGroupRuleId") or "": read_description(asked.get("Description") or "") for asked in by_id}
        for rule_id in texts:
            if all(rule.rule_id != rule_id for rule in rules):
                raise _no_rule(rule_id)
    else:
        texts = {there.rule_id: asked.description for there, asked in await _those_asked(context, request, row, rules)}
    changed = [replace(rule, description=texts.get(rule.rule_id, rule.description)) for rule in rules]
    async with context.store.transaction() as transaction:
        await networks.put(transaction, _with_rules(row, changed, egress=egress))
    return {"Return": True}


async def _those_asked(
    context: Context, request: Mapping[str, Any], row: SecurityGroupRow, rules: Sequence[SecurityRule]
) -> list[tuple[SecurityRule, SecurityRule]]:
    """(the rule that is there, as it is asked for) for each that the request's permissions name. Raises
    InvalidPermission.NotFound."""
    known = await _groups_of(context, row)
    there = {rule.what: rule for rule in rules}
    asked = read_rules(request, lambda pair: _source(pair, known, row))
    for rule in asked:
        if rule.what not in there:
            raise AwsError(
                "InvalidPermission.NotFound", f"The specified rule {spoken(rule)} does not exist in this security group."
            )
    return [(there[rule.what], rule) for rule in asked]


async def _store(context: Context, row: SecurityGroupRow, sources: Sequence[SecurityGroupRow] = ()) -> SecurityGroupRow:
    """sources: groups that its rules name from now on, which nobody may delete at the same time."""
    async with context.store.transaction() as transaction:
        stored = await networks.put(transaction, row)
        for source in {source.key: source for source in sources if source.key != row.key}.values():
            await networks.hold(transaction, source)
        concerned = await networks.wake_guarded(context, transaction, row.key.name)
    for group in concerned:
        context.wake(group.key)
    return stored


async def _groups_of(context: Context, row: SecurityGroupRow) -> dict[str, SecurityGroupRow]:
    """Those that rules of this one may name."""
    groups = await networks.security_groups(context)
    return {key: group for key, group in groups.items() if group.desired.vpc_id == row.desired.vpc_id}


def _source(pair: Mapping[str, Any], known: Mapping[str, SecurityGroupRow], row: SecurityGroupRow) -> str:
    """Raises InvalidGroup.NotFound."""
    if pair.get("UserId") not in (None, "", row.key.account):
        raise AwsError(
            "InvalidGroup.NotFound", f"UserId: {quoted(str(pair['UserId']))} is not this account; there is no other."
        )
    group_id = pair.get("GroupId")
    if not group_id:
        name = pair.get("GroupName")
        group_id = next((key for key, group in known.items() if group.desired.name == name), "")
    if group_id not in known:
        raise AwsError(
            "InvalidGroup.NotFound",
            f"You have specified two resources that belong to different networks, or a security group that is not there: "
            f"{quoted(group_id or str(pair.get('GroupName')))}.",
        )
    return str(group_id)


def _asked_rule(asked: Mapping[str, Any], known: Mapping[str, SecurityGroupRow]) -> SecurityRule:
    """Of ModifySecurityGroupRules."""
    permission: dict[str, Any] = {member: asked.get(member) for member in ("IpProtocol", "FromPort", "ToPort")}
    text = {"Description": asked.get("Description")}
    sources: dict[str, tuple[str, str]] = {
        "CidrIpv4": ("IpRanges", "CidrIp"),
        "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
        "ReferencedGroupId": ("UserIdGroupPairs", "GroupId"),
    }
    if asked.get("PrefixListId"):
        raise AwsError("InvalidPrefixListID.NotFound", "PrefixListId: there are no prefix lists; use CidrIpv4.")
    given = [member for member in sources if asked.get(member)]
    if len(given) != 1:
        raise invalid_combination(f"Exactly one of {', '.join(sources)} must be given.")
    list_name, member = sources[given[0]]
    permission[list_name] = [{member: asked[given[0]], **text}]
    any_row = next(iter(known.values()))
    (rule,) = read_rules({"IpPermissions": [permission]}, lambda pair: _source(pair, known, any_row))
    return rule


def _check_new(asked: Sequence[SecurityRule], there: Sequence[SecurityRule]) -> None:
    known = {rule.what for rule in there}
    for rule in asked:
        if rule.what in known:
            raise AwsError("InvalidPermission.Duplicate", f"the specified rule {spoken(rule)} already exists")


def _rules(row: SecurityGroupRow, *, egress: bool) -> tuple[SecurityRule, ...]:
    return row.desired.egress if egress else row.desired.ingress


def _with_rules(row: SecurityGroupRow, rules: Sequence[SecurityRule], *, egress: bool) -> SecurityGroupRow:
    changed = {"egress": tuple(rules)} if egress else {"ingress": tuple(rules)}
    return replace(row, desired=replace(row.desired, **changed))


def _view(row: SecurityGroupRow, rules: Sequence[SecurityRule], *, egress: bool) -> list[dict[str, Any]]:
    return [show_rule(rule, row.key.name, row.key.account, row.key.region, egress=egress) for rule in rules]


def _revoked(shown: Mapping[str, Any]) -> dict[str, Any]:
    members = (
        "SecurityGroupRuleId",
        "GroupId",
        "IsEgress",
        "IpProtocol",
        "FromPort",
        "ToPort",
        "CidrIpv4",
        "CidrIpv6",
        "Description",
    )
    revoked = {member: shown[member] for member in members if member in shown}
    if "ReferencedGroupInfo" in shown:
        revoked["ReferencedGroupId"] = shown["ReferencedGroupInfo"]["GroupId"]
    return revoked


def _no_rule(rule_id: str) -> AwsError:
    if not rule_id.startswith("sgr-"):
        return AwsError("InvalidSecurityGroupRuleId.Malformed", f"Invalid id: {quoted(rule_id)} (expecting 'sgr-...')")
    return AwsError("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID {quoted(rule_id)} does not exist")
