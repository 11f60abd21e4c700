"""Which of several services runs the control loop: the one that holds the lease, for as long as it can know that it does.

Takes the lease, renews it and gives it up; decides nothing about groups. `token` is what everything that has an effect asks
before. Made by app, which hands `run` what the leader does; the controller sees it as seams.Authority.

The time of a lease is counted twice: by the database from when it executed the renewal, and by us from before we sent it. Ours
ends first, whatever was slow in between. So nobody else has it while we believe that we do, unless the database's clock jumps;
then the token tells: what is saved under an old one is refused.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from cachefleet.clock import Clock
from cachefleet.interfaces import Conflict, Deposed, HostRefused, Lease, Store, StoreError

log = structlog.get_logger()
LEASE = "controller"
STANDBY_LOOK_S = 0.2  # how often one that waits looks whether it may lead
RENEWALS = 3  # in the time of a lease
TRIES = 10  # the same, after a renewal that failed
LEADS, STANDS_BY = "leads", "stands by: another service leads"
PAUSE_S = 1.0  # after a term that ended by an error: another may have better luck


class Leadership:
    """A seams.Authority. holder: names this process and no other ever. is_dead: whether that other holder is known to be dead.
    sole: nobody else can be alive (the caller holds the lock that proves it), so that the lease never runs out.
    changed: told the token when a term begins, and 0 when it is over."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        holder: str,
        lease_s: float,
        *,
        is_dead: Callable[[str], bool] = lambda holder: False,
        sole: bool = False,
        changed: Callable[[int], None] = lambda token: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._lease_s = lease_s
        self._is_dead = is_dead
        self._sole = sole
        self._changed = changed
        self._token = 0
        self._deadline = -math.inf  # monotonic; the lease is ours before
        self._unwell = False  # the last try failed; told once
        self._other_leads = False
        self._complaint = ""  # why the last term ended, when it ended by an error; told once

    def token(self) -> int:
        """See seams.Authority."""
        if not self._token or self._clock.monotonic() >= self._deadline:
            raise Deposed("this service does not lead, or cannot know at present whether it does")
        return self._token

    @property
    def standing(self) -> str:
        """For people: whether this service leads, and why it does not."""
        if self._token and self._clock.monotonic() < self._deadline:
            return LEADS
        if self._unwell:
            return "does not lead: the database does not say who does"
        return STANDS_BY if self._other_leads else "does not lead yet"

    def permit(self) -> None:
        """Raises Deposed where nothing may be done: for those that have effects and no use for the token."""
        self.token()

    async def run(self, term: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Until cancelled: wait for the lease, then run `term` for as long as it is ours. Gives it up at the end."""
        while True:
            await self.obtain()
            try:
                await self._lead(term())
            finally:
                await self._resign()

    async def obtain(self) -> None:
        """Returns when the lease is ours. Nothing renews it but `run`."""
        dead = ""
        while True:
            lease = await self._hold(dead)
            if lease is not None and lease.holder == self._holder:
                return
            known = lease.holder if lease is not None and self._is_lost(lease.holder) else ""
            if not known or known == dead:
                await self._clock.sleep(STANDBY_LOOK_S)
            dead = known

    def _is_lost(self, holder: str) -> bool:
        return bool(holder) and (self._sole or self._is_dead(holder))

    async def _hold(self, dead: str = "") -> Lease | None:
        """The lease as it stands, and ours noted; None when the store does not say."""
        began = self._clock.monotonic()
        try:
            lease = await self._store.hold_lease(LEASE, self._holder, self._lease_s, dead=dead)
        except (StoreError, Conflict) as error:
            if not self._unwell:
                log.warning("lease not known", why=str(error), leads=bool(self._token))
            self._unwell = True
            return None
        self._unwell = False
        self._other_leads = lease.holder not in ("", self._holder)
        if lease != Lease(self._holder, self._token or lease.token):
            self._deadline = -math.inf  # somebody else has it, or had it
        else:
            self._deadline = math.inf if self._sole else max(self._deadline, began + self._lease_s)
            if not self._token:
                self._token = lease.token
                log.info("leads", token=lease.token)
                self._changed(lease.token)
        return lease

    async def _lead(self, term: Coroutine[Any, Any, None]) -> None:
        """Until the lease is lost or may be lost, the term is over, or we are cancelled. The term has ended then."""
        working = asyncio.create_task(term)
        keeping = [] if self._sole else [asyncio.create_task(self._renew()), asyncio.create_task(self._expire())]
        try:
            await asyncio.wait([working, *keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed = working.done()
            for task in (working, *keeping):
                task.cancel()
            await asyncio.wait([working])
            await asyncio.wait([working, *keeping])
        if failed:
            self._complain(working)
            await self._resign()
            await self._clock.sleep(PAUSE_S)

    def _complain(self, term: asyncio.Task[None]) -> None:
        error = None if term.cancelled() else term.exception()
        if isinstance(error, StoreError | HostRefused | Conflict):
            if str(error) != self._complaint:
                log.warning("control loop ended", why=str(error))
            self._complaint = str(error)
        elif not isinstance(error, Deposed):
            log.error("control loop ended", exc_info=error)

    async def _renew(self) -> None:
        """Returns when somebody else has, or had, the lease."""
        pause_s = self._lease_s / RENEWALS
        while True:
            await self._clock.sleep(pause_s)
            lease = await self._hold()
            pause_s = self._lease_s / (TRIES if lease is None else RENEWALS)
            if lease is not None and lease != Lease(self._holder, self._token):
                return

    async def _expire(self) -> None:
        """Returns when the lease may have run out."""
        while (left_s := self._deadline - self._clock.monotonic()) > 0:
            await self._clock.sleep(left_s)

    async def _resign(self) -> None:
        """Whether it was lost or is to be given up: from now on it is not ours."""
        token, self._token = self._token, 0
        if not token:
            return
        held = self._clock.monotonic() < self._deadline
        self._deadline = -math.inf
        log.info("leads no more", token=token)
        self._changed(0)
        if held:
            try:
                await self._store.release_lease(LEASE, Lease(self._holder, token))
            except (StoreError, Conflict) as error:
                log.warning("lease not given up", why=str(error))
