"""What a client's operations say of a time in which something was changed: what is lost or there twice, what failed, how long
it waited. Pure.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from tests.traffic.operation import Operation, Outcome


class Remains(msgspec.Struct, frozen=True):
    """Values that ought to be otherwise, as (key, value)."""

    lost: Sequence[tuple[int, int]]  # acknowledged, and not there
    doubled: Sequence[tuple[int, int]]  # there more than once, though no attempt sends what another one sent


class Verdict(msgspec.Struct, frozen=True):
    """In the order in which they ended."""

    operations: Sequence[Operation]

    def between(self, since_s: float, until_s: float) -> Verdict:
        """Those that were under way or ended in that time."""
        return Verdict([one for one in self.operations if one.ended_s > since_s and one.due_s <= until_s])

    @property
    def errors(self) -> int:
        """Operations that failed, and failed again when they were tried once more."""
        return sum(one.outcome is Outcome.FAILED for one in self.operations)

    @property
    def wrong_reads(self) -> int:
        """Reads that did not show what had been acknowledged."""
        return sum(one.outcome is Outcome.WRONG for one in self.operations)

    @property
    def retries(self) -> int:
        return sum(one.tries > 1 for one in self.operations)

    @property
    def longest_gap_s(self) -> float:
        """Between two operations that succeeded; 0 where there are not two."""
        done = [one.ended_s for one in self.operations if one.outcome is not Outcome.FAILED]
        return max((after - before for before, after in itertools.pairwise(done)), default=0.0)

    def latency_s(self, share: float) -> float:
        """That share of all operations took no longer from when they were due. Raises ValueError when there are none."""
        if not self.operations:
            raise ValueError("there are no operations")
        took_s = sorted(one.took_s for one in self.operations)
        return took_s[math.ceil(share * len(took_s)) - 1]

    def remains(self, kept: Mapping[int, Sequence[int]]) -> Remains:
        """kept: every key's values in the end."""
        counts = {key: Counter(values) for key, values in kept.items()}
        nothing: Counter[int] = Counter()
        acknowledged = [one for one in self.operations if one.write and one.outcome is Outcome.DONE]
        return Remains(
            lost=[(one.key, one.value) for one in acknowledged if not counts.get(one.key, nothing)[one.value]],
            doubled=[(key, value) for key, values in counts.items() for value, times in values.items() if times > 1],
        )
