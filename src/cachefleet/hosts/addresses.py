"""Decides which address of an installation's 127.N.0.0/16 belongs to whom: one slice for endpoints and one for each zone.

Pure: no files, no clock. An address that was given up is offered again only after the rest of its slice had its turn, so that
nobody who remembers it talks to a stranger soon. Called by LocalHost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cachefleet.interfaces import NoAddresses

# Third number of the first address of each slice of 64 * 256 addresses. "" holds endpoints.
SLICES = {"": 0, "a": 64, "b": 128, "c": 192}
_HOSTS = 254  # host numbers 0 and 255 are never used: they look like a network and a broadcast address
SLICE_SIZE = 64 * _HOSTS


class AddressPool:
    """Every address is free, reserved (offered to one uid, not committed yet) or kept (by one uid)."""

    def __init__(self, network: int, cursors: Mapping[str, int] | None = None) -> None:
        """network: N of 127.N.0.0/16. cursors: where the search of each slice goes on (`cursors` of an earlier pool)."""
        self.network = network
        self._cursors = {zone: (cursors or {}).get(zone, 0) % SLICE_SIZE for zone in SLICES}
        self._owners: dict[str, str] = {}
        self._reserved: dict[str, dict[str, list[str]]] = {}  # uid -> zone -> addresses in the order of offering
        self._kept: dict[str, frozenset[str]] = {}

    @property
    def cursors(self) -> dict[str, int]:
        """Where the search of each slice goes on."""
        return dict(self._cursors)

    def owner(self, address: str) -> str:
        """The uid that has it reserved or kept, "" when it is free."""
        return self._owners.get(address, "")

    @property
    def size(self) -> int:
        """How many addresses are not free."""
        return len(self._owners)

    def offer(self, uid: str, wanted: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
        """That many addresses of each zone, reserved for uid: first those that it was offered already. All or none.

        Raises NoAddresses.
        """
        reserved = self._reserved.get(uid, {})
        fresh = {zone: self._search(zone, count - len(reserved.get(zone, ()))) for zone, count in wanted.items()}
        for zone, found in fresh.items():
            for index in found:
                address = self._address(zone, index)
                self._owners[address] = uid
                self._reserved.setdefault(uid, {}).setdefault(zone, []).append(address)
                self._cursors[zone] = (index + 1) % SLICE_SIZE
        reserved = self._reserved.get(uid, {})
        return {zone: tuple(reserved.get(zone, ())[:count]) for zone, count in wanted.items()}

    def keep(self, uid: str, addresses: Iterable[str]) -> dict[str, str]:
        """uid holds exactly these from now on; nothing else is reserved for it. What another uid has kept before stays
        there: such addresses are returned with that uid. One that another was merely offered goes to the one that
        committed it. Addresses outside the network are nobody's business here."""
        mine = {address for address in addresses if self._zone(address) is not None}
        taken = {address: self.owner(address) for address in mine if self._kept_by_other(uid, address)}
        self._drop(uid)
        for address in mine - taken.keys():
            self._withdraw(address)
            self._owners[address] = uid
        if mine - taken.keys():
            self._kept[uid] = frozenset(mine - taken.keys())
        return taken

    def _search(self, zone: str, count: int) -> list[int]:
        if zone not in SLICES:
            raise NoAddresses(f"this machine has no zone {zone!r}, only " + ", ".join(repr(name) for name in SLICES if name))
        found: list[int] = []
        for step in range(SLICE_SIZE if count > 0 else 0):
            index = (self._cursors[zone] + step) % SLICE_SIZE
            if self._address(zone, index) not in self._owners:
                found.append(index)
                if len(found) == count:
                    return found
        if len(found) < count:
            what = f"zone {zone}" if zone else "endpoints"
            raise NoAddresses(
                f"the {SLICE_SIZE} addresses for {what} (from {self._address(zone, 0)}) are used up: "
                f"{count} asked for, {len(found)} free. Delete clusters that are not needed."
            )
        return found

    def _address(self, zone: str, index: int) -> str:
        third, host = divmod(index, _HOSTS)
        return f"127.{self.network}.{SLICES[zone] + third}.{host + 1}"

    def _zone(self, address: str) -> str | None:
        numbers = address.split(".")
        if numbers[:2] != ["127", str(self.network)] or len(numbers) != 4 or not all(part.isdecimal() for part in numbers):
            return None
        return max((first, zone) for zone, first in SLICES.items() if first <= int(numbers[2]))[1]

    def _kept_by_other(self, uid: str, address: str) -> bool:
        owner = self.owner(address)
        return owner not in ("", uid) and address in self._kept.get(owner, ())

    def _withdraw(self, address: str) -> None:
        """Take a mere offer back from whoever has it."""
        for offered in self._reserved.get(self._owners.pop(address, ""), {}).values():
            if address in offered:
                offered.remove(address)

    def _drop(self, uid: str) -> None:
        for offered in self._reserved.pop(uid, {}).values():
            for address in offered:
                del self._owners[address]
        for address in self._kept.pop(uid, frozenset()):
            del self._owners[address]
