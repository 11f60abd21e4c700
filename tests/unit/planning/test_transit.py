"""Encryption in transit against a model world: nodes reach each other with TLS only while all of them can, and certificates are
replaced that are not what they shall be.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.observed import Address
from cachefleet.model.plan import Certify
from cachefleet.model.transit import CertificateView, Issuance
from cachefleet.planning.draft import Draft
from cachefleet.planning.transit import certify, linking_port
from cachefleet.settings import ControlSettings
from tests.unit.planning.groups import created, memcached, replicated
from tests.unit.planning.world import World

DAY_S = 86_400.0


def forms(world: World) -> set[str]:
    return {known.form.transit for known in world.memory.nodes.values() if known.form is not None and not known.ended_at}


def go(world: World, transit: str) -> None:
    world.desired = replace(world.desired, transit=transit)
    for _ in range(400):
        plan = world.step()
        assert not (world.memory.encrypted_links and "" in forms(world)), "a node without TLS cannot reach the others"
        if not plan.actions and world.status.state == "available":
            return
    raise AssertionError(f"did not settle: {world.status}")


def test_links_are_encrypted_while_all_nodes_can() -> None:
    world = created(replicated(3))
    assert world.write(1)
    assert not world.memory.encrypted_links
    for transit, encrypted in (("preferred", True), ("required", True), ("preferred", True), ("", False)):
        go(world, transit)
        assert forms(world) == {transit}
        assert world.memory.encrypted_links is encrypted
        assert world.memory.settled is not None
        assert world.memory.settled.form.transit == transit
    assert world.write(2)


def test_a_new_group_has_them_from_the_start() -> None:
    world = World(replace(replicated(2), transit="required"))
    world.step()
    assert world.memory.encrypted_links


def test_a_node_that_dies_on_the_way_comes_back_as_the_others_can_reach_it() -> None:
    world = created(replicated(3))
    go(world, "preferred")
    world.desired = replace(world.desired, transit="")
    world.step(apply=False)
    world.kill("demo-003")
    go(world, "")


def test_ports() -> None:
    assert Address("h", 6379).own_port == Address("h", 6379).link_port == 6379
    preferred = Address("h", 6379, "l", "preferred", encrypted_links=True)
    assert (preferred.own_port, preferred.link_port, preferred.ports) == (6380, 6380, (6379, 6380))
    assert replace(preferred, encrypted_links=False).link_port == 6379
    required = replace(preferred, transit="required")
    assert (required.own_port, required.link_port, required.ports) == (6379, 6379, (6379,))
    assert Address("h", 0, "", "required", encrypted_links=True).link_port == 0
    world = created(replicated(2))
    go(world, "preferred")
    assert linking_port(world.desired, world.memory, "demo-001") == world.desired.port + 1


def shown(world: World, node: str = "demo-001", **more: object) -> list[str]:
    """Nodes that get another certificate when all show one that is right but for this."""
    addresses = [*(known.address for known in world.memory.nodes.values()), *world.memory.endpoints.values()]
    right = CertificateView("now", world.now + 60 * DAY_S, tuple(addresses))
    observed = world.observe()
    views = {
        name: replace(view, certificate=replace(right, **more) if name == node else right)
        for name, view in observed.views.items()
    }
    issuance = Issuance("now", world.now + 90 * DAY_S, 30 * DAY_S)
    observed = replace(observed, views=views, issuance=issuance)
    draft = Draft("demo", True, world.desired, observed, world.memory, world.now, ControlSettings())
    certify(draft)
    found = [action for action in draft.actions if isinstance(action, Certify)]
    assert all(set(world.memory.endpoints.values()) <= set(action.addresses) for action in found)
    assert all(world.memory.nodes[action.node].address in action.addresses for action in found)
    return [action.node for action in found]


def test_certificates_are_replaced_when_they_are_not_what_they_shall_be() -> None:
    world = created(replace(replicated(2), transit="required"))
    assert shown(world) == []
    assert shown(world, series="earlier") == ["demo-001"]
    assert shown(world, until=world.now + 29 * DAY_S) == ["demo-001"]
    assert shown(world, until=world.now + 31 * DAY_S) == []
    assert shown(world, addresses=(world.memory.nodes["demo-001"].address,)) == ["demo-001"]
    assert shown(world, until=world.now + 80 * DAY_S, names=("a.example",)) == []


def test_memcached_and_its_endpoint_get_certificates_anew_too() -> None:
    world = created(replace(memcached(2), transit="required"))
    assert "demo.discovery" in world.memory.nodes
    assert shown(world, "demo.0001") == []
    for name in ("demo.0001", "demo.discovery"):
        assert shown(world, name, series="earlier") == [name]
        assert shown(world, name, until=world.now + 29 * DAY_S) == [name]
