"""The address pool: nobody shares, nothing is lost, nothing comes round soon."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cachefleet.hosts import addresses
from cachefleet.hosts.addresses import SLICE_SIZE, SLICES, AddressPool
from cachefleet.interfaces import NoAddresses

UIDS = st.sampled_from(["u1", "u2", "u3"])
WANTED = st.dictionaries(st.sampled_from(list(SLICES)), st.integers(0, 3), max_size=4)


class Pool(RuleBasedStateMachine):
    """Against a model that holds two plain dictionaries."""

    @initialize()
    def begin(self) -> None:
        self.pool = AddressPool(41)
        self.kept: dict[str, set[str]] = {}
        self.offered: dict[str, set[str]] = {}

    @rule(uid=UIDS, wanted=WANTED)
    def offer(self, uid: str, wanted: dict[str, int]) -> None:
        offers = self.pool.offer(uid, wanted)
        assert {zone: len(found) for zone, found in offers.items()} == wanted
        assert self.pool.offer(uid, wanted) == offers
        self.offered.setdefault(uid, set()).update(address for found in offers.values() for address in found)
        assert not self.offered[uid] & self.kept.get(uid, set())

    @rule(uid=UIDS, data=st.data())
    def keep(self, uid: str, data: st.DataObject) -> None:
        own = sorted(self.offered.get(uid, set()) | self.kept.get(uid, set()))
        kept = set(data.draw(st.lists(st.sampled_from(own), unique=True))) if own else set()
        assert self.pool.keep(uid, sorted(kept)) == {}
        self.kept[uid], self.offered[uid] = kept, set()

    @rule()
    def restart(self) -> None:
        """Only what was committed is told to the next pool."""
        self.pool = AddressPool(41, self.pool.cursors)
        self.offered = {}
        for uid, kept in self.kept.items():
            assert self.pool.keep(uid, kept) == {}

    @invariant()
    def nobody_shares(self) -> None:
        held = [(address, uid) for part in (self.kept, self.offered) for uid, some in part.items() for address in some]
        assert len({address for address, _ in held}) == len(held)
        assert all(self.pool.owner(address) == uid for address, uid in held)
        assert self.pool.size == len(held)


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_zones_are_slices_of_the_network() -> None:
    pool = AddressPool(50)
    assert pool.offer("u", {"": 1, "a": 1, "b": 1, "c": 1}) == {
        "": ("127.50.0.1",),
        "a": ("127.50.64.1",),
        "b": ("127.50.128.1",),
        "c": ("127.50.192.1",),
    }


def test_every_address_of_a_slice_is_used_once_and_none_ends_in_0_or_255() -> None:
    everything = AddressPool(50).offer("u", {"c": SLICE_SIZE})["c"]
    numbers = [tuple(map(int, address.split("."))) for address in everything]
    assert len(set(numbers)) == 64 * 254
    assert {number[:2] for number in numbers} == {(127, 50)}
    assert {number[2] for number in numbers} == set(range(192, 256))
    assert {number[3] for number in numbers} == set(range(1, 255))


def test_a_released_address_comes_round_after_all_others() -> None:
    pool = AddressPool(50)
    pool.keep("u", pool.offer("u", {"a": 2})["a"])
    pool.keep("u", [])
    others = pool.offer("v", {"a": SLICE_SIZE - 2})["a"]
    assert not {"127.50.64.1", "127.50.64.2"} & set(others)
    assert pool.offer("w", {"a": 2})["a"] == ("127.50.64.1", "127.50.64.2")


def test_all_or_nothing_is_reserved() -> None:
    pool = AddressPool(50)
    with pytest.raises(NoAddresses, match=f"zone b.*{SLICE_SIZE + 1} asked for, {SLICE_SIZE} free. Delete"):
        pool.offer("u", {"a": 5, "b": SLICE_SIZE + 1})
    assert pool.size == 0
    with pytest.raises(NoAddresses, match="endpoints"):
        pool.offer("u", {"": SLICE_SIZE + 1})
    with pytest.raises(NoAddresses, match=r"no zone 'd', only 'a', 'b', 'c'"):
        pool.offer("u", {"d": 1})


def test_what_was_committed_wins_over_what_was_offered() -> None:
    """After a restart a new group may be offered something before an old group's memory is read."""
    pool = AddressPool(50)
    offered = pool.offer("new", {"a": 2})["a"]
    assert pool.keep("old", [offered[0]]) == {}
    assert pool.owner(offered[0]) == "old"
    assert offered[0] not in pool.offer("new", {"a": 2})["a"]
    assert pool.keep("new", offered) == {offered[0]: "old"}
    assert (pool.owner(offered[0]), pool.owner(offered[1])) == ("old", "new")


def test_foreign_addresses_are_nobodys_business() -> None:
    pool = AddressPool(50)
    assert pool.keep("u", ["127.51.64.1", "10.0.0.1", "", "localhost", "127.50.64", "127.50.64.x"]) == {}
    assert pool.size == 0


def test_cursors_of_any_age_are_taken() -> None:
    pool = addresses.AddressPool(50, {"a": SLICE_SIZE * 3 + 1, "gone": 7})
    assert pool.offer("u", {"a": 1})["a"] == ("127.50.64.2",)
