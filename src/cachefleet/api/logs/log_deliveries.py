"""LogDeliveryConfigurations of groups: asked for, and shown (reference 13.7). Delivered by telemetry.log_collector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cachefleet.api.context import Context
from cachefleet.api.names import quoted
from cachefleet.model.errors import invalid_combination, invalid_value
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.log_delivery import DeliveryState, DestinationType, LogDelivery, LogFormat, LogType

MEMBER = "LogDeliveryConfigurations"
_DETAILS = {
    DestinationType.LOG_GROUP: ("CloudWatchLogsDetails", "LogGroup"),
    DestinationType.STREAM: ("KinesisFirehoseDetails", "DeliveryStream"),
}
_LEAST_REDIS = {LogType.SLOW: (6, 0), LogType.ENGINE: (6, 2)}


# --- asked for -----------------------------------------------------------------------------------------------------


async def created_logs(context: Context, desired: GroupDesired, request: Mapping[str, Any]) -> GroupDesired:
    """Raises InvalidParameterValue, InvalidParameterCombination."""
    return replace(desired, logs=await _asked(context, desired, request))


async def changed_logs(context: Context, desired: GroupDesired, request: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of GroupDesired that change. Raises InvalidParameterValue, InvalidParameterCombination."""
    if request.get(MEMBER) and not request.get("ApplyImmediately"):
        raise invalid_combination(f"{MEMBER}: log delivery is changed at once only; set ApplyImmediately to true.")
    logs = await _asked(context, desired, request)
    return {"logs": logs} if logs != desired.logs else {}


async def _asked(context: Context, desired: GroupDesired, request: Mapping[str, Any]) -> tuple[LogDelivery, ...]:
    asked = request.get(MEMBER) or ()
    if asked and desired.engine is Engine.MEMCACHED:
        raise invalid_combination(f"{MEMBER}: Memcached has no logs that are delivered; leave it out.")
    found = {delivery.log_type: delivery for delivery in desired.logs}
    seen: set[LogType] = set()
    for given in asked:
        log_type = _choice(LogType, given, "LogType")
        if log_type in seen:
            raise invalid_value(f"{MEMBER}: {log_type} is configured twice; give each LogType once.")
        seen.add(log_type)
        before = found.get(log_type)
        if given.get("Enabled") is False:
            if before is not None:
                found[log_type] = replace(before, state=DeliveryState.DISABLING, message="")
            continue
        _check_version(desired, log_type)
        found[log_type] = _merged(before, await _delivery(context, given, log_type))
    return tuple(found[log_type] for log_type in LogType if log_type in found)


async def _delivery(context: Context, given: Mapping[str, Any], log_type: LogType) -> LogDelivery:
    destination_type = _choice(DestinationType, given, "DestinationType")
    details, name = _DETAILS[destination_type]
    for other in given.get("DestinationDetails") or {}:
        if other != details:
            raise invalid_combination(
                f"{MEMBER}: {other} does not belong to DestinationType {destination_type}; give {details}."
            )
    destination = ((given.get("DestinationDetails") or {}).get(details) or {}).get(name) or ""
    if not destination:
        raise invalid_value(
            f"{MEMBER}: DestinationDetails.{details}.{name} is missing; DestinationType {destination_type} needs it."
        )
    if destination_type is DestinationType.LOG_GROUP:
        if context.logs is None or await context.logs.group(context.scope, destination) is None:
            raise invalid_value(
                f"{MEMBER}: the log group {quoted(destination)} does not exist; make it with CreateLogGroup of CloudWatch Logs."
            )
    elif destination not in context.settings.logs.streams:
        raise invalid_value(
            f"{MEMBER}: there is no delivery stream {quoted(destination)}; the setting logs.streams says to which folder or "
            "HTTP collector the name of a stream leads."
        )
    return LogDelivery(
        log_type=log_type,
        destination_type=destination_type,
        destination=destination,
        log_format=_choice(LogFormat, given, "LogFormat"),
        since=context.clock.now(),
    )


def _merged(before: LogDelivery | None, asked: LogDelivery) -> LogDelivery:
    """What is delivered already goes on from where it is."""
    if before is None or before.state is DeliveryState.DISABLING:
        return asked
    same = replace(asked, since=before.since, state=before.state, message=before.message)
    return before if same == before else replace(same, state=DeliveryState.MODIFYING, message="")


def _choice(kind: Any, given: Mapping[str, Any], member: str) -> Any:
    try:
        return kind(given.get(member))
    except ValueError:
        choices = " or ".join(one.value for one in kind)
        raise invalid_value(f"{MEMBER}: {member} {quoted(str(given.get(member) or ''))} must be {choices}.") from None


def _check_version(desired: GroupDesired, log_type: LogType) -> None:
    version = tuple(int(part) for part in desired.engine_version.split(".")[:2])
    if desired.engine is Engine.REDIS and version < _LEAST_REDIS[log_type]:
        least = ".".join(map(str, _LEAST_REDIS[log_type]))
        raise invalid_combination(f"{MEMBER}: {log_type} needs Redis {least} or later; this is {desired.engine_version}.")


# --- shown ---------------------------------------------------------------------------------------------------------


def logs_view(desired: GroupDesired) -> list[dict[str, Any]]:
    """LogDeliveryConfigurations."""
    found = []
    for delivery in desired.logs:
        view = {**_configuration(delivery), "Status": delivery.state.value}
        if delivery.message:
            view["Message"] = delivery.message
        found.append(view)
    return found


def pending_logs(desired: GroupDesired) -> dict[str, Any]:
    """Of PendingModifiedValues: what was not delivered in this way yet."""
    waiting = [_configuration(delivery) for delivery in desired.logs if delivery.waits]
    return {MEMBER: waiting} if waiting else {}


def _configuration(delivery: LogDelivery) -> dict[str, Any]:
    details, name = _DETAILS[delivery.destination_type]
    return {
        "LogType": delivery.log_type.value,
        "DestinationType": delivery.destination_type.value,
        "DestinationDetails": {details: {name: delivery.destination}},
        "LogFormat": delivery.log_format.value,
    }
