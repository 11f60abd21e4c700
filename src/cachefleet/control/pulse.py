"""Asks every node for a sign of life, several times a second, and knows who is silent for how long.

Counts only time in which we looked: when we were stalled ourselves, that is nobody's silence; and knows since when we have been
looking without a stall. Decides nothing; wakes the group of a node that falls silent or speaks again, so that it is looked at.
Called by the controller and the observer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from cachefleet.clock import Clock
from cachefleet.engine_interfaces import EngineDriver
from cachefleet.interfaces import Host
from cachefleet.model.observed import Activity, Address, Silence
from cachefleet.model.resource import Key
from cachefleet.settings import ControlSettings

SUSPECT_BEATS = 2  # unanswered beats after which a node counts as silent
STALL_S = 1.0  # beats that are further apart: we did not look in between
BUSY_SHARE = 0.2  # of a processor, used since the silence began: it works
_NOTHING = Activity()


class _Node(msgspec.Struct):
    key: Key
    driver: EngineDriver
    address: Address
    silent_s: float = 0.0
    connected: bool = True  # there is a connection on which it owes us an answer
    cpu_s: float = 0.0  # when the silence began
    busy_since: float = 0.0  # monotonic; since when it answers only that it is busy, 0 when it does not


class Pulse:
    """Nodes by incarnation. wake(key) is called in the event loop; interrupt(key) once when a node has been silent for so long
    that it may be given up: whatever waits for it need not wait any longer."""

    def __init__(
        self, clock: Clock, host: Host, rules: ControlSettings, wake: Callable[[Key], None], interrupt: Callable[[Key], None]
    ) -> None:
        self._clock, self._host, self._wake, self._interrupt = clock, host, wake, interrupt
        self._interval_s, self._limit_s = rules.pulse_interval_s, rules.silence_limit_s
        self._groups: dict[str, dict[str, _Node]] = {}  # uid -> incarnation -> node
        self._since = self._last = -math.inf  # monotonic: of the first beat after a stall, and of the last one

    def watch(self, uid: str, key: Key, nodes: Mapping[str, tuple[EngineDriver, Address]]) -> None:
        """The incarnations of a group that run now; none: forget the group."""
        known = self._groups.pop(uid, {})
        if nodes:
            self._groups[uid] = {
                incarnation: known.get(incarnation) or _Node(key, driver, address)
                for incarnation, (driver, address) in nodes.items()
            }
            for node in self._groups[uid].values():
                node.key = key  # a group may become another kind of row

    def silence(self, uid: str, incarnation: str) -> Silence | None:
        """None while it answers."""
        node = self._node(uid, incarnation)
        if node is None or not self._is_silent(node):
            return None
        activity = self._host.activity(incarnation) or _NOTHING
        worked = activity.cpu_s - node.cpu_s >= BUSY_SHARE * node.silent_s
        return Silence(seconds=node.silent_s, stopped=activity.stopped, busy=activity.busy or worked)

    def busy(self, uid: str, incarnation: str, is_busy: bool) -> Silence | None:
        """Told of every look that was answered: whether by nothing but that it is busy; that is a silence of its own kind."""
        node = self._node(uid, incarnation)
        if node is None or not is_busy:
            if node is not None:
                node.busy_since = 0.0
            return None
        now = self._clock.monotonic()
        node.busy_since = node.busy_since or now
        return Silence(seconds=now - node.busy_since, busy=True)

    def owes_answer_s(self, uid: str, incarnation: str) -> float:
        """For how long it has been silent on an open connection: to ask more on it is of no use. 0 when it is not."""
        node = self._node(uid, incarnation)
        return node.silent_s if node is not None and node.connected and self._is_silent(node) else 0.0

    def _node(self, uid: str, incarnation: str) -> _Node | None:
        return self._groups.get(uid, {}).get(incarnation)

    def _is_silent(self, node: _Node) -> bool:
        return node.silent_s >= (SUSPECT_BEATS - 0.5) * self._interval_s

    def watched_s(self) -> float:
        """For so long everything that happened has been seen at once; 0 until we look, and while we are stalled."""
        now = self._clock.monotonic()
        return now - self._since if now - self._last <= self._stall_s else 0.0

    @property
    def _stall_s(self) -> float:
        return max(STALL_S, 2 * self._interval_s)

    async def run(self) -> None:
        """Ends only by cancellation."""
        self._since = self._last = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._interval_s)
            now = self._clock.monotonic()
            passed_s, self._last = now - self._last, now
            if passed_s > self._stall_s:
                self._since = now
            self.beat(min(passed_s, 2 * self._interval_s))

    def beat(self, passed_s: float) -> None:
        for group in self._groups.values():
            for incarnation, node in group.items():
                answered = node.driver.pulse(node.address)
                node.connected = answered is not None
                if answered:
                    if node.silent_s:
                        self._speaks(node)
                else:
                    self._misses(incarnation, node, passed_s)

    def _speaks(self, node: _Node) -> None:
        was_silent = self._is_silent(node)
        node.silent_s = 0.0
        if was_silent:
            self._wake(node.key)

    def _misses(self, incarnation: str, node: _Node, passed_s: float) -> None:
        if not node.silent_s:
            node.cpu_s = (self._host.activity(incarnation) or _NOTHING).cpu_s
        before_s, node.silent_s = node.silent_s, node.silent_s + passed_s
        if self._is_silent(node):
            self._wake(node.key)
        if before_s < self._limit_s <= node.silent_s:
            self._interrupt(node.key)
