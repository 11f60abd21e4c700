"""Which logs of a group go where (reference 13.7). Plain data; shown as LogDeliveryConfigurations."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class LogType(StrEnum):
    SLOW = "slow-log"
    ENGINE = "engine-log"


class DestinationType(StrEnum):
    LOG_GROUP = "cloudwatch-logs"
    STREAM = "kinesis-firehose"  # a name that the settings map to a folder or an HTTP collector


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class DeliveryState(StrEnum):
    ENABLING = "enabling"
    MODIFYING = "modifying"
    DISABLING = "disabling"
    ACTIVE = "active"
    ERROR = "error"


class LogDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """At most one of each log type in a group."""

    log_type: LogType
    destination_type: DestinationType
    destination: str  # name of the log group, or of the stream
    log_format: LogFormat
    since: float  # epoch seconds: nothing older is delivered
    state: DeliveryState = DeliveryState.ENABLING
    message: str = ""  # why it cannot be delivered, while that is so

    @property
    def waits(self) -> bool:
        """Nothing has been delivered as it asks for yet."""
        return self.state in (DeliveryState.ENABLING, DeliveryState.MODIFYING)


SLOW_LENGTH = "slowlog-max-len"
KEPT_SLOW_ENTRIES = 16_384  # that an engine keeps at least while its slow log is delivered


def kept_slow_entries(deliveries: tuple[LogDelivery, ...], own: str) -> str:
    """SLOW_LENGTH of a node. own: what its parameters say."""
    delivered = any(each.log_type is LogType.SLOW and each.state is not DeliveryState.DISABLING for each in deliveries)
    return str(max(int(own), KEPT_SLOW_ENTRIES)) if delivered else own


def stream_name(engine: str, cluster: str, node_id: str, log_type: LogType) -> str:
    return f"elasticache/{engine}/{cluster}/{node_id}/{log_type}"
