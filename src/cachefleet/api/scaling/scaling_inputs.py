"""What the operations of Application Auto Scaling have in common: which target is meant, numbers, pages, refusals. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from cachefleet.api.names import folded, quoted
from cachefleet.api.paging import page_from, place_of
from cachefleet.model.errors import AwsError
from cachefleet.model.scaling import NAMESPACE, Dimension

T = TypeVar("T")

SERVICE = "application-autoscaling"
MAX_RESULTS = 50
LARGEST = 2**31 - 1
TARGET = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_NAME = re.compile(r"[!-~]{1,256}", re.ASCII)
_RESOURCE = re.compile(r"(replication-group|cache-cluster)/([^/]+)")


class TargetName(msgspec.Struct, frozen=True):
    """resource: the id of a group or cluster in lower case."""

    dimension: Dimension
    resource: str

    @property
    def resource_id(self) -> str:
        return f"{self.dimension.resource_type}/{self.resource}"


def refused(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def read_target_name(request: Mapping[str, Any]) -> TargetName:
    """Raises ValidationException."""
    check_namespace(request)
    dimension = read_dimension(request["ScalableDimension"])
    return TargetName(dimension, read_resource(request["ResourceId"], dimension))


def check_namespace(request: Mapping[str, Any]) -> None:
    if request["ServiceNamespace"] != NAMESPACE:
        raise refused(f"ServiceNamespace: {quoted(request['ServiceNamespace'])} is not served here; it must be {NAMESPACE}.")


def read_dimension(text: str) -> Dimension:
    try:
        return Dimension(text)
    except ValueError:
        raise refused(f"ScalableDimension: {quoted(text)} must be one of {', '.join(Dimension)}.") from None


def read_resource(text: str, dimension: Dimension | None = None) -> str:
    """The id in it. dimension: that its type has to fit. Raises ValidationException."""
    form = _RESOURCE.fullmatch(text)
    if form is None or (dimension is not None and form[1] != dimension.resource_type):
        forms = [dimension.resource_type] if dimension is not None else ["replication-group", "cache-cluster"]
        wanted = " or ".join(f"{form}/ID" for form in forms)
        raise refused(f"Unsupported service namespace, resource type or scalable dimension: ResourceId must be {wanted}.")
    return folded(form[2])


def read_name(text: str, field: str, *, without: str = "") -> str:
    """without: characters that it must not have."""
    if not _NAME.fullmatch(text) or set(text) & set(without):
        rule = f", none of {' '.join(without)}" if without else ""
        raise refused(f"{field}: {quoted(text)} must have 1 to 256 printable ASCII characters without spaces{rule}.")
    return text


def read_number(value: Any, field: str, least: int = 0, most: int = LARGEST) -> int:
    if not least <= value <= most:
        raise refused(f"{field}: {value} must be from {least} to {most}.")
    return int(value)


def one_of(text: str, choices: Sequence[str], field: str) -> str:
    if text not in choices:
        raise refused(f"{field}: {quoted(text)} must be one of {', '.join(choices)}.")
    return text


def read_filter(request: Mapping[str, Any]) -> tuple[str | None, Dimension | None]:
    """(resource, dimension) that are asked for; a dimension alone says too little. Raises ValidationException."""
    check_namespace(request)
    named = request.get("ScalableDimension")
    dimension = read_dimension(named) if named else None
    if not request.get("ResourceId"):
        if dimension is not None:
            raise refused("ScalableDimension: give a ResourceId as well.")
        return None, None
    return read_resource(request["ResourceId"], dimension), dimension


def page(request: Mapping[str, Any], items: Sequence[T], kind: str) -> tuple[list[T], str | None]:
    """(what the request gets of them, NextToken). Raises ValidationException, InvalidNextTokenException."""
    size = request.get("MaxResults")
    size = MAX_RESULTS if size is None else read_number(size, "MaxResults", 1, MAX_RESULTS)
    wrong = AwsError("InvalidNextTokenException", "NextToken is not one that this operation has given.")
    return page_from(place_of(kind, request.get("NextToken"), wrong), items, size, kind)
