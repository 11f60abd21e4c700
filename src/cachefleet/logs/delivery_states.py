"""What a delivery shows after an attempt (reference 2.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from cachefleet.model.log_delivery import DeliveryState, LogDelivery, LogType


def after_attempt(deliveries: tuple[LogDelivery, ...], attempts: Mapping[LogDelivery, str]) -> tuple[LogDelivery, ...]:
    """attempts: the deliveries that were attempted, as they were then -> why that failed, "" where it did not. What was changed
    since stays; one that was to end has ended, however its last attempt went."""
    found: list[LogDelivery] = []
    for delivery in deliveries:
        why = attempts.get(delivery)
        if why is None:
            found.append(delivery)
        elif delivery.state is not DeliveryState.DISABLING:
            state = DeliveryState.ERROR if why else DeliveryState.ACTIVE
            found.append(replace(delivery, state=state, message=why))
    return tuple(found)


def ended(before: tuple[LogDelivery, ...], after: tuple[LogDelivery, ...]) -> list[LogType]:
    """Logs that are no longer delivered."""
    left = {delivery.log_type for delivery in after}
    return [delivery.log_type for delivery in before if delivery.log_type not in left]
