"""All 77 operations of the model answer: those that are not built say so, whatever else is wrong with the request."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel

from cachefleet.api import operations
from cachefleet.api.registry import OPERATIONS
from tests.fixtures.service import Service

assert operations  # importing it registers them


def test_what_is_not_built_says_so_and_what_is_built_does_not(service: Service) -> None:
    model = ServiceModel(Loader().load_service_model("elasticache", "service-2"))
    assert len(model.operation_names) >= 77
    client = service.client(parameter_validation=False)
    for name in model.operation_names:
        code, message = answer(client, name)
        if ("elasticache", name) in OPERATIONS:
            assert code != "InvalidAction", name
        else:
            assert code == "InvalidAction", (name, code)
            assert "not implemented yet" in message


def answer(client: Any, operation: str) -> tuple[str, str]:
    """Code and message; empty when the call succeeded."""
    try:
        client._make_api_call(operation, {})
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "", ""
