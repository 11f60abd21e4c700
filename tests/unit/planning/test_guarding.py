"""What security groups let in together, and what the host is told about it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachefleet.model.guard import Guard, Opening
from cachefleet.model.plan import Launch, Protect
from cachefleet.model.vpc import SecurityGroupDesired, SecurityRule
from cachefleet.planning.group import plan_group
from cachefleet.planning.guarding import members_of, named_groups, openings
from tests.unit.planning.groups import replicated
from tests.unit.planning.world import World

OPEN = (Opening(6379, ("127.0.0.0/8",)),)


def group(*rules: SecurityRule) -> SecurityGroupDesired:
    return SecurityGroupDesired("vpc-1", "name", "text", ingress=rules)


def tcp(first: int, last: int, **who: str) -> SecurityRule:
    return SecurityRule("sgr-1", "tcp", first, last, **who)  # type: ignore[arg-type]


def let_in(*rules: SecurityRule, port: int = 6379, **members: tuple[str, ...]) -> tuple[str, ...]:
    """Sources that may reach the port."""
    found = {opening.port: opening.sources for opening in openings([group(*rules)], [port], members)}
    return found.get(port, ())


def test_only_rules_that_cover_the_port_count() -> None:
    assert let_in(tcp(6379, 6379, cidr="10.0.0.0/8")) == ("10.0.0.0/8",)
    assert let_in(tcp(0, 65535, cidr="10.0.0.0/8")) == ("10.0.0.0/8",)
    assert let_in(SecurityRule("sgr-1", cidr="10.0.0.0/8")) == ("10.0.0.0/8",)
    assert let_in(tcp(6380, 6390, cidr="10.0.0.0/8")) == ()
    assert let_in(SecurityRule("sgr-1", "udp", 0, 65535, cidr="10.0.0.0/8")) == ()
    assert let_in(SecurityRule("sgr-1", "icmp", cidr="10.0.0.0/8")) == ()
    assert let_in(tcp(6379, 6379, cidr6="::/0")) == ()
    assert let_in() == ()


def test_networks_within_others_are_left_out() -> None:
    rules = [tcp(6379, 6379, cidr=cidr) for cidr in ("10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/9", "11.128.0.0/9")]
    assert let_in(*rules) == ("10.0.0.0/7",)


def test_members_of_a_named_group() -> None:
    rule = tcp(6379, 6379, group_id="sg-app")
    assert let_in(rule) == ()
    assert openings([group(rule)], [6379], {"sg-app": ("127.1.0.1/32",)})[0] == Opening(6379, ("127.1.0.1/32",))
    assert named_groups([group(rule)], [6379]) == {"sg-app"}
    assert named_groups([group(rule)], [11211]) == frozenset()
    assert named_groups([group(rule, tcp(1, 9999, cidr="127.0.0.0/8"))], [6379]) == frozenset()
    tags = {"cachefleet:members": "127.9.0.0/16 127.0.0.7"}
    assert members_of(tags, ["127.41.64.1"]) == ("127.9.0.0/16", "127.0.0.7/32", "127.41.64.1/32")
    assert members_of({}, []) == ()


def test_the_port_with_tls_beside_the_one_without_is_open_as_that_one_is() -> None:
    assert openings([group(tcp(6379, 6379, cidr="10.0.0.0/8"))], [6379], {}) == (
        Opening(6379, ("10.0.0.0/8",)),
        Opening(6380, ("10.0.0.0/8",)),
    )
    two = [tcp(6379, 6379, cidr="10.0.0.0/8"), tcp(6380, 6380, cidr="11.0.0.0/8")]
    assert openings([group(*two)], [6379, 6380], {})[1] == Opening(6380, ("11.0.0.0/8",))


networks = st.builds(
    lambda address, bits: str(IPv4Network((address, bits), strict=False)), st.integers(0, 2**32 - 1), st.integers(0, 32)
)


@given(st.lists(networks, max_size=6), st.integers(0, 2**32 - 1))
def test_an_address_gets_in_exactly_when_a_rule_says_so(cidrs: list[str], address: int) -> None:
    client = IPv4Address(address)
    sources = let_in(*(tcp(6379, 6379, cidr=cidr) for cidr in cidrs))
    assert any(client in IPv4Network(source) for source in sources) is any(client in IPv4Network(cidr) for cidr in cidrs)


# --- a plan --------------------------------------------------------------------------------------------------------


def plan(world: World, **seen: Any) -> Any:
    observed = replace(world.observe(), **seen)
    return plan_group(world.name, True, world.desired, observed, world.memory, world.now, world.rules)


def test_nothing_is_launched_before_its_address_is_guarded() -> None:
    world = World(replicated(2))
    first = plan(world, openings=OPEN)
    assert [type(action) for action in first.actions] == [Protect]
    guard = first.actions[0].guard
    assert set(guard.addresses) == {known.address for known in first.memory.nodes.values()} | set(
        first.memory.endpoints.values()
    )
    assert "waits until its security groups hold" in first.status.why
    world.memory = first.memory
    second = plan(world, openings=OPEN, guard=guard)
    assert {type(action) for action in second.actions} == {Launch}
    assert {type(action) for action in plan(world, openings=None).actions} == {Launch}


def test_what_stands_is_replaced_when_it_is_not_what_it_shall_be() -> None:
    world = World(replicated(2))
    world.settle()
    held = tuple(sorted(world.addresses_held()))
    assert plan(world, openings=OPEN, guard=Guard(held, OPEN)).actions == ()
    (action,) = plan(world, openings=(), guard=Guard(held, OPEN)).actions
    assert action.guard == Guard(held, ())
    (action,) = plan(world, openings=OPEN, guard=None).actions
    assert action.guard == Guard(held, OPEN)
    assert plan(world, openings=None, guard=None).actions == ()


def test_the_guard_goes_with_the_last_process() -> None:
    world = World(replicated(2))
    world.settle()
    guard = Guard(tuple(sorted(world.addresses_held())), OPEN)
    world.desired = replace(world.desired, deleting=True)
    going = plan(world, guard=guard)
    assert going.actions
    assert not any(isinstance(action, Protect) for action in going.actions)
    over = plan(world, guard=guard, processes={}, views={})
    assert [action.guard for action in over.actions] == [None]
    assert not over.finished
    assert plan(world, processes={}, views={}).finished
