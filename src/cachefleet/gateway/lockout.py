"""Who guesses signatures is refused for a while: counted by source (gateway.sources) and access key together.

So nobody can lock a key out for others, at other addresses or of other users. What is remembered is bounded: the pair that was
quiet for longest is forgotten first. Called by the gateway around its check of signatures.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

import msgspec

from cachefleet.clock import Clock
from cachefleet.model.errors import AwsError

CAPACITY = 10_000  # pairs
_IPV6_PREFIX = 64  # one customer's; single addresses cost nothing there


class _Tries(msgspec.Struct):
    """wrong: in a row. last_at: when the last was, by the monotonic clock."""

    wrong: int
    last_at: float


class Lockout:
    """limit: wrong signatures in a row. hold_s: a pair that has reached it is refused for so long after its last try, and for a
    pair that was quiet for so long counting begins anew."""

    def __init__(self, clock: Clock, limit: int, hold_s: float, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._limit = limit
        self._hold_s = hold_s
        self._capacity = capacity
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def check(self, source: str, access_key_id: str) -> None:
        """Before a signature is looked at. Raises AwsError Throttling."""
        pair = (network_of(source), access_key_id)
        tries = self._tries.get(pair)
        if tries is None:
            return
        left_s = tries.last_at + self._hold_s - self._clock.monotonic()
        if left_s <= 0:
            del self._tries[pair]
        elif tries.wrong >= self._limit:
            raise AwsError(
                "Throttling",
                f"Rate exceeded: too many wrong signatures with this access key came from {told(source)}; try again in "
                f"{max(1, round(left_s))} seconds with the right secret key.",
            )

    def wrong(self, source: str, access_key_id: str) -> None:
        """A signature did not match."""
        pair = (network_of(source), access_key_id)
        tries = self._tries.setdefault(pair, _Tries(0, 0.0))
        tries.wrong += 1
        tries.last_at = self._clock.monotonic()
        self._tries.move_to_end(pair)
        if len(self._tries) > self._capacity:
            self._tries.popitem(last=False)

    def right(self, source: str, access_key_id: str) -> None:
        self._tries.pop((network_of(source), access_key_id), None)


def told(source: str) -> str:
    return f"processes of {source} of this machine" if " " in source else "this address"


def network_of(address: str) -> str:
    """What counts as one source: an IPv4 address, a network of IPv6, or what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
