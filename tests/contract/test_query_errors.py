"""Every error of the models reaches clients as the exception and with the HTTP status that the model gives it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import StructureShape
from botocore.parsers import QueryParser

from cachefleet.model.errors import AwsError
from cachefleet.protocol.query import QueryCodec
from cachefleet.protocol.service import SERVED, Service, service

CODEC = QueryCodec()
QUERY = [name for name in SERVED if "query" in service(name).protocols]
ERRORS = [(name, shape.name) for name in QUERY for shape in service(name).model.error_shapes]


NAMESAKES = ("DashboardNotFoundError",)  # CloudWatch has two errors of this one's code


def read(body: bytes, status: int) -> dict[str, Any]:
    parsed: dict[str, Any] = QueryParser().parse({"status_code": status, "headers": {}, "body": body}, None)
    return parsed


def error_trait(of: Service, shape_name: str) -> dict[str, Any]:
    shape = of.model.shape_for(shape_name)
    assert isinstance(shape, StructureShape)
    return {"code": shape_name, **(shape.metadata.get("error") or {})}  # of some the model says no more


@pytest.mark.parametrize(("signing_name", "shape_name"), ERRORS)
def test_every_modelled_error_is_recognised(signing_name: str, shape_name: str) -> None:
    served = service(signing_name)
    error = AwsError(error_trait(served, shape_name)["code"], "Because <of> & 'this'.")
    status = CODEC.error_status(served, error)
    parsed = read(CODEC.encode_error(served, error, "r-1"), status)
    blame = "Sender" if status < 500 else "Receiver"
    assert parsed["Error"] == {"Type": blame, "Code": error.code, "Message": error.message}
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"
    assert status == error_trait(served, shape_name).get("httpStatusCode", error.http_status)
    assert CODEC.encode_error(served, AwsError(shape_name, error.message), "r-1") == CODEC.encode_error(served, error, "r-1")
    if shape_name not in NAMESAKES:
        assert served.model.shape_for_error_code(error.code).name == shape_name


@pytest.mark.parametrize("shape_name", [shape for name, shape in ERRORS if name == "elasticache"])
def test_every_modelled_error_has_its_status(shape_name: str) -> None:
    trait = error_trait(service("elasticache"), shape_name)
    assert AwsError(trait["code"], "").http_status == trait["httpStatusCode"]


def test_our_own_failures_are_the_receivers() -> None:
    for code, status in (("InternalFailure", 500), ("ServiceUnavailable", 503)):
        parsed = read(CODEC.encode_error(service("sts"), AwsError(code, "x"), "r"), status)
        assert parsed["Error"]["Type"] == "Receiver"


def test_each_service_answers_in_its_own_namespace() -> None:
    error = AwsError("AccessDenied", "no")
    assert b'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"' in CODEC.encode_error(service("sts"), error, "r")
    body = CODEC.encode_error(service("elasticache"), error, "r")
    assert b'xmlns="http://elasticache.amazonaws.com/doc/2015-02-02/"' in body
