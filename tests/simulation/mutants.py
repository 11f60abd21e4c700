"""The control plane with one thing wrong, made by patching it in a narrow place: each has to be caught by a checker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from cachefleet.control import controller, leadership, pulse
from cachefleet.control.executor import Executor
from cachefleet.engines import switchover
from cachefleet.model.observed import Silence
from cachefleet.model.plan import Launch, Plan
from cachefleet.model.row import GroupRow
from cachefleet.planning import clustered, draft, lifecycle, mesh, replicated, succession
from tests.simulation import (
    change_mutants,
    host,
    key_mutants,
    machine,
    parameter_mutants,
    snapshot_mutants,
    store,
    story_mutants,
)
from tests.simulation.process import Process
from tests.simulation.scenario import run

Patches = Iterator[Any]


class Mutant(msgspec.Struct, frozen=True):
    """rules: any of these violations tells it. only: the faults that bring it out."""

    patches: Callable[[], list[Any]]
    rules: frozenset[str]
    only: tuple[str, ...] = ()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with ExitStack() as stack:
            for made in self.patches():
                stack.enter_context(made)
            yield


def _no_fencing() -> list[Any]:
    """A silent node counts as dead, without being ended."""
    running = draft.Draft.running

    def runs(self: draft.Draft, node: str) -> bool:
        silence = self.observed.silences.get(node)
        return running(self, node) and (silence is None or silence.seconds < 1.0)

    return [patch.object(draft.Draft, "running", runs)]


def _acts_before_saving() -> list[Any]:
    save = controller.Controller._save

    async def late(self: controller.Controller, row: GroupRow, plan: Plan, token: int) -> GroupRow:
        decided = replace(row, memory=plan.memory, status=plan.status)
        if not plan.finished:
            early = tuple(action for action in plan.actions if not isinstance(action, Launch))
            await Executor(self._seams, decided, token).run(early)
        return await save(self, row, plan, token)

    return [patch.object(controller.Controller, "_save", late)]


def _any_replica() -> list[Any]:
    """By name, whatever it holds."""

    def ranked(made: draft.Draft, memory: Any, names: list[str]) -> list[str]:
        return sorted(names, reverse=bool(made.memory.epoch % 2))

    return [patch.object(succession, "_ranked", ranked)]


def _host_restarts() -> list[Any]:
    ended = machine.Machine._ended

    def again(self: machine.Machine, process: Process, how: str) -> None:
        files = self.files.get(process.incarnation, {})
        ended(self, process, how)
        if files and process.incarnation in self.renderings:
            self.loop.after(0.05, self.spawn, process.incarnation, self.renderings[process.incarnation])

    return [patch.object(machine.Machine, "_ended", again)]


def _stale_is_eligible() -> list[Any]:
    return [patch.object(succession, "_is_stale", lambda *given: False)]


def _empty_primary() -> list[Any]:
    """Three guards stand before each other: it does not start, it is not promoted, and another's data make it a replica."""
    never = lambda *given: False  # noqa: E731
    guards = ("must_wait", "is_blank", "note_headless")
    return [patch.object(module, guard, never) for module in (replicated, clustered) for guard in guards]


def _never_deposed() -> list[Any]:
    """One that was stalled goes on as if nobody else had led meanwhile, and the store takes what it saves."""

    def token(self: leadership.Leadership) -> int:
        return max(1, self._token)

    async def fence(self: store.GatheredTransaction, lease: str, token: int) -> None:
        return None

    return [patch.object(leadership.Leadership, "token", token), patch.object(store.GatheredTransaction, "fence", fence)]


def _no_pause() -> list[Any]:
    """A hand-over that does not stop the writers."""
    return [patch.object(switchover, "_pause", lambda duration_ms: ("CLIENT", "UNPAUSE"))]


def _no_catching_up() -> list[Any]:
    """A hand-over that does not wait for the heir to have everything."""

    async def at_once(self: switchover.Switchover, offset: int) -> None:
        return None

    return [patch.object(switchover.Switchover, "_caught_up", at_once)]


def _same_incarnation() -> list[Any]:
    """Every launch of a node has the same number."""
    launch = lifecycle.launch

    def again(made: draft.Draft, node: str, follow: str = "") -> None:
        memory = made.remembered(node)
        if memory.launches:
            memory.launches -= 1
        launch(made, node, follow)

    return [patch.object(lifecycle, "launch", again)]


def _busy_is_dead() -> list[Any]:
    silence = pulse.Pulse.silence

    def idle(self: pulse.Pulse, uid: str, incarnation: str) -> Silence | None:
        found = silence(self, uid, incarnation)
        return found and replace(found, busy=False)

    return [patch.object(pulse.Pulse, "silence", idle)]


def _addresses_not_kept() -> list[Any]:
    return [patch.object(host.SimHost, "keep", lambda self, uid, addresses: self._pool.keep(uid, []) and None)]


def _no_forgetting() -> list[Any]:
    """Those that are gone stay in the tables."""
    return [patch.object(mesh, "_forget", lambda *given: None)]


_RESTORES = ("restore, then lose something",)
_STEPS = ("transit", "step with TLS, then lose a node")
_KEYS = frozenset({"let in", "kept out"})
_MOVES = ("move slots, then lose an end",)
MUTANTS: dict[str, Mutant] = {
    "promotes without ending the old process": Mutant(
        _no_fencing, frozenset({"not fenced", "two primaries"}), ("freeze a primary",)
    ),
    "acts before it saves": Mutant(_acts_before_saving, frozenset({"not saved"}), ("crash",)),
    "promotes any replica": Mutant(_any_replica, frozenset({"worse replica"}), ("lag, then crash",)),
    "host restarts what ended": Mutant(_host_restarts, frozenset({"started twice"}), ("crash",)),
    "promotes a stale replica": Mutant(_stale_is_eligible, frozenset({"stale replica"}), ("cut off, then crash",)),
    "starts an empty primary": Mutant(_empty_primary, frozenset({"empty primary", "wiped"}), ("cut off, then crash", "freeze")),
    "acts though it was deposed": Mutant(_never_deposed, frozenset({"acted deposed"}), ("plane stalled at an effect", "crash")),
    "hands over without a pause": Mutant(_no_pause, frozenset({"planned loss", "not fenced"}), ("lag, then hand over",)),
    "hands over before the heir has everything": Mutant(_no_catching_up, frozenset({"planned loss"}), ("lag, then hand over",)),
    "launches an incarnation again": Mutant(_same_incarnation, frozenset({"started twice"}), ("crash",)),
    "takes busy for dead": Mutant(_busy_is_dead, frozenset({"busy primary ended"}), ("freeze a primary", "busy")),
    "does not keep addresses": Mutant(_addresses_not_kept, frozenset({"address shared"}), ("plane killed", "create")),
    "forgets nobody": Mutant(_no_forgetting, frozenset({"not converged"}), ("crash",)),
    "enters slots before they are there": Mutant(change_mutants.books_ahead, frozenset({"books ahead"}), _MOVES),
    "claims what is asked for, not what is in the books": Mutant(
        change_mutants.claims_by_target, frozenset({"lost in a move", "two owners", "not converged", "books ahead"}), _MOVES
    ),
    "drops a shard that owns slots": Mutant(change_mutants.drops_owners, frozenset({"books"}), ("fewer_shards",)),
    "gives away slots that have keys": Mutant(
        change_mutants.closes_full_slots, frozenset({"lost in a move"}), ("other_slots",)
    ),
    "moves slots while nodes are launched anew": Mutant(
        change_mutants.moves_in_a_roll, frozenset({"two at once"}), ("everything",)
    ),
    "launches all replicas anew at once": Mutant(change_mutants.rolls_all_replicas, frozenset({"two at once"}), ("upgrade",)),
    "launches primaries anew without a hand-over": Mutant(
        change_mutants.rolls_primaries, frozenset({"primary rolled"}), ("upgrade",)
    ),
    "leaves replicas behind newer primaries": Mutant(
        change_mutants.stops_anywhere, frozenset({"not converged"}), ("update", "stop_update")
    ),
    "keeps temporary replicas": Mutant(change_mutants.keeps_temporaries, frozenset({"not converged"}), ("upgrade",)),
    "encrypts links before all nodes can": Mutant(change_mutants.encrypts_early, frozenset({"not converged"}), _STEPS),
    "never encrypts links": Mutant(change_mutants.links_in_the_clear, frozenset({"not converged"}), ("transit",)),
    "keeps certificates for ever": Mutant(
        change_mutants.keeps_certificates, frozenset({"not converged"}), ("transit", "rotate")
    ),
    "makes restored groups available without their data": Mutant(
        snapshot_mutants.restores_nothing, frozenset({"restored less"}), _RESTORES
    ),
    "takes a primary that begins anew for restored": Mutant(
        snapshot_mutants.forgets_what_is_lost, frozenset({"restored less"}), _RESTORES
    ),
    "feeds an engine that another has fed": Mutant(
        snapshot_mutants.feeds_again, frozenset({"fed twice"}), (*_RESTORES, "plane killed at an effect")
    ),
    "seeds primaries that were available": Mutant(snapshot_mutants.seeds_late, frozenset({"seeded late"}), ("crash",)),
    "takes snapshots of replicas that get no writes": Mutant(
        snapshot_mutants.takes_any_replica, frozenset({"stale snapshot"}), ("snapshot of a replica that is cut off",)
    ),
    "looks at access keys once": Mutant(key_mutants.looks_once, _KEYS, ("keys",)),
    "tells nodes once who may connect": Mutant(key_mutants.tells_once, _KEYS, ("keys",)),
    "tells primaries alone who may connect": Mutant(key_mutants.tells_primaries, _KEYS, ("keys",)),
    "keeps what policies said of a key": Mutant(key_mutants.keeps_verdicts, _KEYS, ("keys",)),
    "keeps tags of users": Mutant(key_mutants.keeps_tags, _KEYS, ("keys",)),
    "takes access keys that are off": Mutant(key_mutants.takes_keys_that_are_off, _KEYS, ("keys",)),
    "passes over denials to connect": Mutant(key_mutants.passes_over_denials, _KEYS, ("keys",)),
    "sets parameters of primaries alone": Mutant(
        parameter_mutants.tells_primaries, frozenset({"not converged"}), ("parameters",)
    ),
    "reads parameters once": Mutant(parameter_mutants.reads_once, frozenset({"not converged"}), ("parameters",)),
    "forgets topics": Mutant(story_mutants.forgets_topics, frozenset({"story"}), ("crash",)),
    "tells of failovers ahead": Mutant(story_mutants.tells_ahead, frozenset({"story"}), ("crash",)),
    "launches a new node under an old one's id": Mutant(
        change_mutants.forgets_the_departed, frozenset({"started twice"}), ("replicas", "one_replica")
    ),
}


class Caught(msgspec.Struct, frozen=True):
    seed: int
    violation: str


def hunt(name: str, seeds: range) -> Caught | None:
    """The first of these seeds that tells the mutant."""
    mutant = MUTANTS[name]
    with mutant.at_work():
        for seed in seeds:
            for violation in run(seed, only=mutant.only, until=mutant.rules).violations:
                if violation.rule in mutant.rules:
                    return Caught(seed, str(violation))
    return None
