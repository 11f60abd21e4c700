"""Reserved nodes: what was bought, and what state that is in by the clock (reference 1.8, 13.11)."""

from __future__ import annotations

import msgspec

YEAR_S = 31_536_000
PAYMENT_S = 5.0  # nobody has to pay here; clients wait for the state that follows
PAYMENT_PENDING, ACTIVE, RETIRED = "payment-pending", "active", "retired"


class ReservedNodesDesired(msgspec.Struct, frozen=True, kw_only=True):
    """Prices are for one node, as they were when it was bought. Times in epoch seconds."""

    offering_id: str
    node_type: str
    product: str  # redis | memcached | valkey
    offering_type: str  # No Upfront | Partial Upfront | All Upfront
    duration_s: int
    fixed_price: float
    hourly_price: float
    count: int
    started_at: float

    @property
    def ends_at(self) -> float:
        return self.started_at + self.duration_s

    def state(self, now: float) -> str:
        if now >= self.ends_at:
            return RETIRED
        return PAYMENT_PENDING if now < self.started_at + PAYMENT_S else ACTIVE
