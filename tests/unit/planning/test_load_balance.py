"""A rebalancing by load from its request to its last word: measured, written down, waited for, measured again; never stuck."""

from __future__ import annotations

from msgspec.structs import replace

from cachefleet.model.group import SLOTS, GroupDesired
from cachefleet.model.observed import SlotLoad
from cachefleet.model.plan import Action, CountLoad
from cachefleet.planning.draft import Draft
from cachefleet.planning.load_balance import PATIENCE_S, balance_load
from tests.unit.planning.groups import clustered, created

PRIMARIES = ("demo-0001-001", "demo-0002-001", "demo-0003-001")
BUSY = {0: 400_000, 1: 400_000, 2: 300_000, 6000: 200_000, 12_000: 200_000}  # 0001 has 73 %


def cpu(costs: dict[int, int]) -> dict[int, SlotLoad]:
    return {slot: SlotLoad(1, costs.get(slot, 0), 0, 0) for slot in range(SLOTS)}


class Group:
    """Three shards of two nodes that are available, and a rebalancing by load that was asked for. Draft by draft."""

    def __init__(self, asked: int = 1) -> None:
        self.world = created(clustered(3, 1))
        self.desired: GroupDesired = replace(self.world.desired, rebalances=asked)
        self.memory = self.world.memory
        self.now = self.world.now
        self.counts: dict[str, bool] = {}
        self.events: list[str] = []
        self.unready: set[str] = set()
        self.data_bytes = 0

    def step(self, loads: dict[int, SlotLoad] | None = None, seconds: float = 0.1) -> Draft:
        """One pass, saved and acted on."""
        self.now += seconds
        seen = self.world.observe()
        views = {name: replace(view, used_bytes=900) for name, view in seen.views.items()}
        seen = replace(seen, views=views, counting=dict(self.counts), loads=loads, data_bytes=self.data_bytes)
        draft = Draft("demo", True, self.desired, seen, self.memory, self.now, self.world.rules)
        draft.ready = {node.name for node in self.desired.nodes} - self.unready
        balance_load(draft)
        self.memory, self.desired = draft.memory, draft.changed or draft.desired
        self.events += [event.message for event in draft.events]
        self.counts = {name: known.counts_load for name, known in self.memory.nodes.items() if known.counts_load}
        for action in draft.actions:
            assert isinstance(action, CountLoad)
            self.counts[action.node] = action.on
        return draft

    def move(self) -> None:
        """All slots are where they are to be."""
        self.memory = replace(self.memory, slots={shard.shard_id: shard.slots for shard in self.desired.shards})

    @property
    def done(self) -> bool:
        return self.memory.balancing is None and self.memory.rebalances == self.desired.rebalances


def switches(actions: list[Action]) -> dict[str, bool]:
    return {action.node: action.on for action in actions if isinstance(action, CountLoad)}


def test_the_whole_course() -> None:
    group = Group()
    draft = group.step()
    assert switches(draft.actions) == dict.fromkeys(PRIMARIES, True)
    assert draft.modifying and draft.waiting
    draft = group.step()
    assert not draft.actions and draft.modifying
    draft = group.step(cpu(BUSY))
    assert switches(draft.actions) == dict.fromkeys(PRIMARIES, False)
    assert group.desired.shards[0].slots[0] != (0, 5460)
    assert "0001 73.3 %, 0002 13.3 %, 0003 13.3 %; 2 slots are moved" in group.events[-1]
    draft = group.step()
    assert draft.modifying and not any(known.counts_load for known in group.memory.nodes.values())
    assert not group.step(cpu(BUSY)).events  # nobody asked for that
    group.move()
    assert not switches(group.step().actions)
    assert switches(group.step().actions) == dict.fromkeys(PRIMARIES, True)
    draft = group.step(cpu(BUSY))
    assert "had 73.3 % of the load and has 40.0 %, 33.3 % being an even part; 2 slots were moved" in group.events[-1]
    assert group.done and draft.modifying
    assert switches(draft.actions) == dict.fromkeys(PRIMARIES, False)
    draft = group.step()
    assert not draft.modifying and not draft.actions
    assert not any(known.counts_load for known in group.memory.nodes.values())


def test_nothing_was_asked_for() -> None:
    group = Group(asked=0)
    before = group.memory
    draft = group.step(cpu(BUSY))
    assert not (draft.actions or draft.events or draft.modifying or draft.waiting) and group.memory == before


def test_even_load_and_no_load() -> None:
    group = Group()
    group.step()
    group.step(cpu({0: 100_000, 6000: 101_000, 12_000: 99_000}))
    assert group.done and group.desired.shards == group.world.desired.shards
    (told,) = group.events
    assert "not rebalanced by load: no move would make it more even; node groups' parts of the load: 0002 33.7 %" in told
    group = Group()
    group.step()
    group.step(cpu({0: 100}))
    assert group.done and group.desired.shards == group.world.desired.shards
    assert "in 5 s there was too little load" in group.events[-1]


def test_a_single_hot_slot_is_named() -> None:
    group = Group()
    group.step()
    group.step(cpu({7: 900_000, 6000: 50_000, 12_000: 50_000}))
    assert group.done
    assert "0001 90.0 %, 0002 5.0 %, 0003 5.0 %. Slot 7 alone has 90.0 %, and a slot cannot be split" in group.events[-1]
    group = Group()
    group.step()
    group.step(cpu({7: 700_000, 8: 200_000, 6000: 50_000, 12_000: 50_000}))
    assert "1 slots are moved. Slot 7 alone has 70.0 %" in group.events[-1]


def test_slots_are_not_moved_where_memory_is_full() -> None:
    group = Group()
    group.step()
    group.data_bytes = 1000  # of which each has 900
    group.step(cpu(BUSY))
    assert group.done and group.desired.shards == group.world.desired.shards


def test_it_waits_for_slots_that_are_on_their_way() -> None:
    group = Group()
    there = group.memory.slots
    group.memory = replace(group.memory, slots={**there, "0001": ((0, 16383),), "0002": (), "0003": ()})
    for _ in range(3):
        draft = group.step(seconds=100.0)
        assert draft.modifying and not draft.actions and group.memory.balancing is None
    group.memory = replace(group.memory, slots=there)
    assert switches(group.step().actions) == dict.fromkeys(PRIMARIES, True)


def test_a_load_that_cannot_be_measured() -> None:
    group = Group()
    group.unready = {"demo-0002-001"}
    assert not group.step().actions
    assert not group.step(seconds=PATIENCE_S).events
    group.step(seconds=10.0)
    assert group.done and "could not be measured" in group.events[-1]


def test_a_second_measurement_that_fails_leaves_what_was_expected() -> None:
    for second in (None, cpu({0: 3})):
        group = Group()
        group.step()
        group.step(cpu(BUSY))
        group.move()
        group.step()
        group.step(second, seconds=PATIENCE_S + 10)
        assert group.done and "is expected to have 40.0 %" in group.events[-1]


def test_a_reading_that_lacks_slots_is_none() -> None:
    group = Group()
    group.step()
    group.step({slot: load for slot, load in cpu(BUSY).items() if slot})
    assert not group.done and not group.events


def test_who_does_not_count_is_told_again() -> None:
    group = Group()
    group.step()
    group.counts = {PRIMARIES[0]: True, PRIMARIES[1]: False}
    assert set(switches(group.step().actions)) == {PRIMARIES[1], PRIMARIES[2]}
    group.step(cpu(BUSY))
    group.counts[PRIMARIES[0]] = True  # it was not heard
    assert switches(group.step().actions) == {PRIMARIES[0]: False}
    group.step()
    assert not any(known.counts_load for known in group.memory.nodes.values())
