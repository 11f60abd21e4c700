"""A request as OpenTelemetry's conventions for AWS describe it. Pure; called by the gateway when it is answered."""

from __future__ import annotations

from collections.abc import Mapping

from cachefleet.model.span import Attribute, Span


def request_span(
    attributes: Mapping[str, Attribute], headers: Mapping[str, str], status: int, began_at: float, took_s: float
) -> Span:
    """attributes: those that are empty are left out. headers: of the request; they may name the caller's trace."""
    told = {name: value for name, value in attributes.items() if value} | {"http.response.status_code": status}
    return Span(
        name=f"{told.get('rpc.service')}/{told.get('rpc.method')}",
        began_at=began_at,
        took_s=took_s,
        attributes={"rpc.system": "aws-api", **told},
        error=str(told.get("error.type", status)) if status >= 500 else "",  # whom a client's mistake belongs to is the client
        caller=headers,
    )
