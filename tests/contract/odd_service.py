"""A small service model with what ElastiCache's lacks: flattened lists, maps, blobs, longs, shapes that contain themselves."""

from __future__ import annotations

from typing import Any

from botocore.model import ServiceModel

from cachefleet.protocol.service import Service

_SHAPES: dict[str, Any] = {
    "String": {"type": "string"},
    "Long": {"type": "long"},
    "Blob": {"type": "blob"},
    "Double": {"type": "double"},
    "When": {"type": "timestamp"},
    "Plain": {"type": "list", "member": {"shape": "String"}},
    "Named": {"type": "list", "member": {"shape": "String", "locationName": "Item"}},
    "Flat": {"type": "list", "member": {"shape": "String"}, "flattened": True},
    "FlatNamed": {"type": "list", "member": {"shape": "Node", "locationName": "Leaf"}, "flattened": True},
    "Map": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "Long"}},
    "NamedMap": {
        "type": "map",
        "key": {"shape": "String", "locationName": "K"},
        "value": {"shape": "Double", "locationName": "V"},
    },
    "FlatMap": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "String"}, "flattened": True},
    "Nodes": {"type": "list", "member": {"shape": "Node"}},
    "Node": {
        "type": "structure",
        "required": ["Name"],
        "members": {"Name": {"shape": "String"}, "Below": {"shape": "Nodes"}, "Only": {"shape": "Node"}},
    },
    "Everything": {
        "type": "structure",
        "members": {
            "Renamed": {"shape": "String", "locationName": "OtherName"},
            "Size": {"shape": "Long"},
            "Data": {"shape": "Blob"},
            "When": {"shape": "When"},
            "Plain": {"shape": "Plain"},
            "Named": {"shape": "Named"},
            "Flat": {"shape": "Flat"},
            "FlatNamed": {"shape": "FlatNamed"},
            "Map": {"shape": "Map"},
            "NamedMap": {"shape": "NamedMap"},
            "FlatMap": {"shape": "FlatMap"},
            "Tree": {"shape": "Node"},
        },
    },
}


def odd_service() -> Service:
    model = {
        "metadata": {
            "apiVersion": "2020-01-01",
            "protocol": "query",
            "protocols": ["query", "json", "smithy-rpc-v2-cbor"],
            "jsonVersion": "1.0",
            "targetPrefix": "Odd_2020",
            "xmlNamespace": "http://odd/",
            "serviceId": "Odd",
        },
        "operations": {
            "Echo": {
                "name": "Echo",
                "http": {"method": "POST", "requestUri": "/"},
                "input": {"shape": "Everything"},
                "output": {"shape": "Everything", "resultWrapper": "EchoResult"},
            }
        },
        "shapes": _SHAPES,
    }
    return Service("odd", "2020-01-01", "http://odd/", ServiceModel(model, "odd"))
