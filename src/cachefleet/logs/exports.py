"""Events as HTTP collectors take them: OTLP (logs, JSON) and Loki's push API. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cachefleet.model.log import Parcel

_NS = 1_000_000


def otlp_body(parcels: Sequence[Parcel]) -> bytes:
    """ExportLogsServiceRequest in its JSON form; a resource for each log of a node."""
    resources = [
        {
            "resource": {"attributes": _attributes({"service.name": "cachefleet"} | _dotted(labels))},
            "scopeLogs": [{"scope": {"name": "cachefleet"}, "logRecords": [_record(parcel) for parcel in several]}],
        }
        for labels, several in _by_labels(parcels)
    ]
    return msgspec.json.encode({"resourceLogs": resources})


def _record(parcel: Parcel) -> dict[str, Any]:
    return {"timeUnixNano": str(parcel.at_ms * _NS), "body": {"stringValue": parcel.message}}


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in values.items()]


def _dotted(labels: Mapping[str, str]) -> dict[str, str]:
    return {f"cachefleet.{name}": value for name, value in labels.items()}


def loki_body(parcels: Sequence[Parcel]) -> bytes:
    """A stream for each log of a node."""
    streams = [
        {
            "stream": {"job": "cachefleet"} | labels,
            "values": [[str(parcel.at_ms * _NS), parcel.message] for parcel in several],
        }
        for labels, several in _by_labels(parcels)
    ]
    return msgspec.json.encode({"streams": streams})


def _by_labels(parcels: Sequence[Parcel]) -> list[tuple[dict[str, str], list[Parcel]]]:
    found: dict[tuple[tuple[str, str], ...], list[Parcel]] = {}
    for parcel in parcels:
        found.setdefault(tuple(sorted(parcel.labels.items())), []).append(parcel)
    return [(dict(labels), several) for labels, several in found.items()]
