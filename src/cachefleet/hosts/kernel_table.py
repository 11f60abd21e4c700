"""One nftables table of an installation: rules by key, read back, replaced as a whole.

Every change replaces the whole table in one transaction, so that there is never a moment without rules. What rules mean and how
they are written is the subclasses' business. Called by LocalHost.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from cachefleet.interfaces import HostRefused, Permit, always

K = TypeVar("K")
V = TypeVar("V")
_TIMEOUT_S = 10.0


class KernelTable(Generic[K, V]):
    """Lives in one event loop. script: nft's input that leaves exactly these rules in the table of that name; parse: what
    `nft -j list table` printed, as rules, anything that we did not write passed over; both pure. permit: asked before a
    change."""

    def __init__(
        self,
        name: str,
        script: Callable[[str, Mapping[K, V]], str],
        parse: Callable[[str], dict[K, V]],
        purpose: str,
        permit: Permit = always,
    ) -> None:
        """purpose: of the rules, for messages: "that ..."."""
        self._permit = permit
        self._table = name
        self._script = script
        self._parse = parse
        self._purpose = purpose
        self._wanted: dict[K, V] = {}
        self._standing: dict[K, V] = {}
        self._listed: tuple[str, dict[K, V]] = "", {}  # what was last read back, and as rules
        self._changes = 0  # of _wanted
        self._applied = 0  # of these, how many stand
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def standing(self) -> Mapping[K, V]:
        """What is in place, as far as was last looked."""
        return self._standing

    async def takes(self, rules: Mapping[K, V]) -> bool:
        """Whether such rules can really be put in place (one transaction adds and removes them) and read back."""
        probe = f"{self._table}_probe"
        text = f"{self._script(probe, rules)}delete table ip {probe}\n"
        for arguments, said in ((("-f", "-"), text), (("-j", "list", "tables", "ip"), "")):
            if (await self._run(*arguments, text=said))[0]:
                return False
        return True

    async def look(self) -> None:
        """Read back what stands: at the start the rules of an earlier run, later what others left of ours."""
        async with self._lock:
            status, output = await self._run("-j", "list", "table", "ip", self._table)
            if status == 0 and output != self._listed[0]:
                self._listed = output, await asyncio.to_thread(self._parse, output)
            self._standing = self._listed[1] if status == 0 else {}
            if not self._changes:
                self._wanted = dict(self._standing)

    async def replace(self, key: K, rule: V | None) -> None:
        """One rule, or with None: remove it. Returns when it stands. Raises HostRefused."""
        if rule is None:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = rule
        self._changes += 1
        task = asyncio.create_task(self._bring_about(self._changes))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)  # a caller that is cancelled must not leave us ignorant of what was done

    async def remove_all(self) -> None:
        """Delete the table. Raises HostRefused."""
        self._wanted = {}
        self._changes += 1
        async with self._lock:
            await self._apply(without(self._table) + "\n", {}, self._changes)

    async def settle(self) -> None:
        """Wait for transactions under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _bring_about(self, change: int) -> None:
        """Those that wait while one transaction runs are all served by the next."""
        async with self._lock:
            if self._applied >= change:
                return
            rules, changes = dict(self._wanted), self._changes
            text = await asyncio.to_thread(self._script, self._table, rules)  # takes long where there is much
            self._permit()
            await self._apply(text, rules, changes)

    async def _apply(self, text: str, rules: dict[K, V], changes: int) -> None:
        status, output = await self._run("-f", "-", text=text)
        if status:
            raise HostRefused(f"nftables did not take the rules {self._purpose}: {output.strip()[:300]}")
        self._standing, self._applied = rules, changes

    async def _run(self, *arguments: str, text: str = "") -> tuple[int, str]:
        return await asyncio.to_thread(run_nft, arguments, text)


def without(table: str) -> str:
    """nft's input after which there is no such table: deleting what is not there fails, adding what is there does not. Pure."""
    return f"add table ip {table}\ndelete table ip {table}"


def run_nft(arguments: Sequence[str], text: str = "") -> tuple[int, str]:
    """(exit status, what was printed, or why it failed). text: the program's input. Blocking."""
    program = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin:/usr/local/sbin")
    if program is None:
        return 1, "there is no program nft"
    try:
        done = subprocess.run(
            [program, *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stderr if done.returncode else done.stdout
