"""The loop: load, observe, plan, save (compare-and-swap), execute, look again. One step per pass, never a wait inside a pass.

Runs only while the seams' authority lasts: what it saves carries the token, and before it acts it asks once more.

Level-triggered: a pass that is lost, doubled or cut short by our own death changes nothing, since the next one looks again.
"""

from __future__ import annotations

import asyncio

import structlog
from msgspec.structs import replace

from cachefleet.announcing import announce
from cachefleet.control.backups import Backups
from cachefleet.control.departures import forget_users
from cachefleet.control.executor import Executor
from cachefleet.control.guard_book import GuardBook
from cachefleet.control.iam_book import IamBook
from cachefleet.control.leadership import LEASE
from cachefleet.control.load_meter import LoadMeter
from cachefleet.control.lost_topics import give_up_topics
from cachefleet.control.observer import Books, observe
from cachefleet.control.parameter_reader import ParameterReader
from cachefleet.control.pulse import Pulse
from cachefleet.control.queue import KeyedQueue
from cachefleet.control.seams import Seams
from cachefleet.control.user_book import UserBook
from cachefleet.interfaces import Conflict, Deposed, HostRefused, StoreError
from cachefleet.model.access import Admitted
from cachefleet.model.plan import MoveKeys, Plan, SetParameters
from cachefleet.model.resource import GROUP_KINDS, Key, Kind
from cachefleet.model.row import GroupRow, member_names
from cachefleet.model.span import Attribute, Span
from cachefleet.planning.addresses import held
from cachefleet.planning.group import plan_group

log = structlog.get_logger()
WORKERS = 16
AFTER_ACTIONS_S = 0.002
SWEEP_INTERVAL_S = 30.0
WAKES_INTERVAL_S = 0.2
EVENTS_KEPT_S = 14 * 86_400.0  # reference 8.1
TROUBLE_FIRST_S = 0.05
TROUBLE_CAP_S = 10.0


class Controller:
    """lead() for each term of leadership, until cancelled; wake(key) from anywhere in the event loop."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._queue: KeyedQueue[Key] = KeyedQueue(seams.clock)
        self._keys: dict[str, Key] = {}  # uid -> key of every group that was seen
        self._trouble: dict[Key, int] = {}  # failed passes in a row
        self._acting: dict[Key, asyncio.Task[int]] = {}  # actions under way
        self._refusals: dict[Key, dict[str, str]] = {}  # see Observed.refusals
        self._patient: set[Key] = set()  # of those, the ones that take long and may be broken off at any time
        self._pulse = self._fresh_pulse()
        self._meter = LoadMeter(seams.clock, seams.resp, seams.host, seams.settings.control)
        self._backups = Backups(seams, self.wake)
        self._books = Books(
            UserBook(seams.store),
            IamBook(seams.store, seams.holders, seams.clock),
            self._fresh_guards(),
            self._fresh_parameters(),
        )
        seams.host.on_exit(self._exited)

    def wake(self, key: Key) -> None:
        """The row changed, or something that it refers to: look at it at once."""
        self._books.guards.hear()
        if key.kind in GROUP_KINDS:
            self._queue.add(key)
        if key.kind in GROUP_KINDS or key.kind is Kind.SNAPSHOT:
            self._backups.wake(key)

    def overdue(self) -> tuple[int, float]:
        """Groups that wait for a worker, and for how many seconds the first of them has."""
        return self._queue.overdue()

    def acting(self) -> int:
        """Groups of which actions are under way."""
        return len(self._acting)

    def _fresh_pulse(self) -> Pulse:
        return Pulse(self._seams.clock, self._seams.host, self._seams.settings.control, self.wake, self._interrupt)

    def _fresh_guards(self) -> GuardBook:
        return GuardBook(self._seams.store, self._seams.host.can_guard, self._seams.clock)

    def _fresh_parameters(self) -> ParameterReader:
        return ParameterReader(self._seams.clock, self._seams.settings.control.probe_timeout_s)

    def _interrupt(self, key: Key) -> None:
        """Something changed that actions under way may wait for in vain: they are broken off, and planned anew."""
        acting = self._acting.get(key)
        if acting is not None:
            acting.cancel()

    def _exited(self, uid: str) -> None:
        """Keys that are on their way can wait; who needs another primary cannot."""
        key = self._keys.get(uid)
        if key is not None:
            self._queue.add(key)
            if key in self._patient:
                self._interrupt(key)

    async def lead(self) -> None:
        """One term. Whatever was known from an earlier one is forgotten: somebody else has acted since."""
        await self.adopt()
        await self.run()

    async def adopt(self) -> None:
        """Before the first pass: find what runs, and claim the addresses that rows hold, so that none is given twice."""
        self._queue = KeyedQueue(self._seams.clock)
        self._keys.clear()
        self._trouble.clear()
        self._refusals.clear()
        self._books.tokens.forget()
        self._pulse = self._fresh_pulse()
        self._books = replace(self._books, guards=self._fresh_guards(), parameters=self._fresh_parameters())
        for driver in (self._seams.resp, self._seams.memcached, self._seams.discovery):
            await driver.close()  # what is known of a connection is of that term, too
        await self._seams.host.adopt()
        rows: list[GroupRow] = await self._seams.store.every(GROUP_KINDS)
        for row in rows:
            self._keys[row.desired.uid] = row.key
            self._seams.host.keep(row.desired.uid, held(row.memory))
            self._books.guards.note(row)
            self._queue.add(row.key)

    async def run(self) -> None:
        """Workers and the sweep; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            group.create_task(self._sweep())
            if self._seams.shared_store:
                group.create_task(self._listen())
            group.create_task(self._pulse.run())
            group.create_task(self._backups.run())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            began, outcome = self._seams.clock.monotonic(), "done"
            try:
                again_s = await self.step(key)
            except Conflict:
                again_s, outcome = 0.0, "conflict"
            except Deposed as error:  # this term is about to end
                log.info("pass given up", group=str(key), why=str(error))
                again_s, outcome = self._back_off(key), "deposed"
            except StoreError as error:
                log.warning("store failed", group=str(key), why=str(error))
                again_s, outcome = self._back_off(key), "store-failed"
            except Exception:
                log.exception("pass failed", group=str(key))
                again_s, outcome = self._back_off(key), "failed"
            self._seams.instruments.passes.observe(self._seams.clock.monotonic() - began, outcome)
            self._queue.done(key)
            if again_s is not None:
                self._queue.add(key, again_s)

    def _back_off(self, key: Key) -> float:
        self._trouble[key] = self._trouble.get(key, 0) + 1
        return min(TROUBLE_CAP_S, TROUBLE_FIRST_S * 2.0 ** min(self._trouble[key] - 1, 20))

    async def step(self, key: Key) -> float | None:
        """One pass; returns when to look again in seconds, None when the group is no more. Raises Conflict when the row
        changed meanwhile, Deposed when another control plane may act: nothing was done then."""
        token = self._seams.authority.token()
        row: GroupRow | None = await self._seams.store.get(key)
        if row is None:
            return None
        self._keys[row.desired.uid] = key
        observed = await observe(self._seams, self._pulse, self._meter, self._books, row)
        observed = replace(observed, refusals=self._refusals.pop(key, {}))
        plan = plan_group(
            key.name,
            key.kind is Kind.REPLICATION_GROUP,
            row.desired,
            observed,
            row.memory,
            self._seams.clock.now(),
            self._seams.settings.control,
        )
        before, row = row, await self._save(row, plan, token)
        self._seams.host.keep(row.desired.uid, [] if plan.finished else held(plan.memory))
        for other in self._books.guards.note(row, gone=plan.finished):
            self._queue.add(other)
        if plan.finished:
            self._pulse.watch(row.desired.uid, key, {})
            self._keys.pop(row.desired.uid, None)
            self._trouble.pop(key, None)
            self._refusals.pop(key, None)
            await self._forget_users(before, None, token)
            return None
        executor = Executor(self._seams, row, token, observed.parameters)
        if any(isinstance(action, SetParameters) for action in plan.actions):
            self._books.parameters.forget(row.desired.uid)
        failed = await self._traced(key, executor, plan) if plan.actions else 0
        if failed is None:
            return 0.0
        self._refusals[key] = executor.refusals
        if failed:
            return self._back_off(key)
        self._trouble.pop(key, None)
        await self._forget_users(before, plan.memory.admitted, token)
        return AFTER_ACTIONS_S if plan.actions else plan.look_again_s

    async def _forget_users(self, before: GroupRow, now: Admitted | None, token: int) -> None:
        """Those that are being deleted, when a group's nodes have agreed on others than the users of a user group."""
        known = before.memory.admitted
        if known is not None and known.user_group and known != now:
            await forget_users(self._seams, before.key.scope, token)

    async def _traced(self, key: Key, executor: Executor, plan: Plan) -> int | None:
        """See _act."""
        clock = self._seams.clock
        began_at, began = clock.now(), clock.monotonic()
        failed = await self._act(key, executor, plan)
        told: dict[str, Attribute] = {
            "cachefleet.group": str(key),
            "cachefleet.actions": tuple(type(action).__name__ for action in plan.actions),
            "cachefleet.actions.failed": failed or 0,
        }
        error = "broken off" if failed is None else f"{failed} actions failed" if failed else ""
        self._seams.trace(Span(name="act", began_at=began_at, took_s=clock.monotonic() - began, attributes=told, error=error))
        return failed

    async def _act(self, key: Key, executor: Executor, plan: Plan) -> int | None:
        """How many actions failed; None when they were broken off."""
        acting = self._acting[key] = asyncio.create_task(executor.run(plan.actions))
        if any(isinstance(action, MoveKeys) for action in plan.actions):
            self._patient.add(key)
        try:
            return await acting
        except asyncio.CancelledError:
            ours = asyncio.current_task()
            if ours is None or ours.cancelling():
                raise
            log.warning("actions broken off: a node has ended or does not answer", group=str(key))
            return None
        finally:
            self._acting.pop(key, None)
            self._patient.discard(key)

    async def _save(self, row: GroupRow, plan: Plan, token: int) -> GroupRow:
        changed = plan.memory != row.memory or plan.status != row.status or plan.desired is not None
        if not (changed or plan.events or plan.finished):
            return row
        async with self._seams.store.transaction() as transaction:
            await transaction.fence(LEASE, token)
            if plan.finished:
                await transaction.delete(row)
            else:
                row = await transaction.update(
                    GroupRow(
                        key=row.key,
                        desired=plan.desired or row.desired,
                        memory=plan.memory,
                        status=plan.status,
                        tags=row.tags,
                        version=row.version,
                    ),
                    None if plan.desired is None else member_names(row.key, plan.desired),
                )
            if plan.events:
                now, entropy = self._seams.clock.now(), self._seams.entropy
                await announce(transaction, row.key.scope, row.desired, plan.events, now, entropy)
        return row

    async def _listen(self) -> None:
        """Look at what other services left word of."""
        missed = False
        while True:
            await self._seams.clock.sleep(WAKES_INTERVAL_S)
            try:
                woken = await self._seams.store.take_wakes()
                if missed:  # it is not known whether words were taken that did not arrive here
                    woken += await self._seams.store.keys((*GROUP_KINDS, Kind.SNAPSHOT))
                missed = False
            except (StoreError, Conflict) as error:
                if not missed:
                    log.warning("store failed", why=str(error))
                missed = True
            else:
                for key in woken:
                    self.wake(key)

    async def _sweep(self) -> None:
        """Stop what runs for groups that are no more; forget topics that are gone, and old events."""
        while True:
            try:
                await self.stop_orphans()
                for scope in {key.scope for key in await self._seams.store.keys([Kind.USER])}:
                    await forget_users(self._seams, scope, self._seams.authority.token())
                await give_up_topics(self._seams, self._seams.authority.token())
                await self._seams.store.forget_events(self._seams.clock.now() - EVENTS_KEPT_S)
            except Deposed as error:
                log.info("sweep given up", why=str(error))
            except Exception:
                log.exception("sweep failed")
            await self._seams.clock.sleep(SWEEP_INTERVAL_S)

    async def stop_orphans(self) -> int:
        """Returns how many processes, folders and rules were cleared away. The host is asked before the store: a group that
        appears in between is then in the store, and so never taken for an orphan. Raises Deposed."""
        host = self._seams.host
        present, standing, guarded = host.uids(), list(host.spreads()), set(host.guards())
        rows: list[GroupRow] = await self._seams.store.every(GROUP_KINDS)
        known = {row.desired.uid for row in rows}
        addresses = {address for row in rows for address in held(row.memory)}
        cleared = 0
        for uid in sorted(present - known):
            gone = [await self._clear(incarnation) for incarnation in host.inspect(uid)]
            cleared += sum(gone)
            if all(gone):
                host.keep(uid, [])
        for address, port in standing:
            if address not in addresses:
                self._seams.authority.token()
                log.warning("orphaned rule found", address=address, port=port)
                await host.spread(address, port, ())
                cleared += 1
        for uid in sorted(guarded - known):
            self._seams.authority.token()
            await host.guard(uid, None)
            cleared += 1
        return cleared

    async def _clear(self, incarnation: str) -> bool:
        """Whether nothing is left of it. Raises Deposed."""
        self._seams.authority.token()
        log.warning("orphan found", incarnation=incarnation)
        try:
            await self._seams.host.stop(incarnation, kill=True)
            await self._seams.host.erase(incarnation)
        except HostRefused as error:
            log.warning("orphan stays for now", incarnation=incarnation, why=str(error))
            return False
        return True
