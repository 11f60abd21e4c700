"""The service models that requests are decoded and replies are encoded by: botocore's, loaded once when first needed.

Knows which services are served and at which version; knows no operation by name. Called by the gateway and the codecs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from botocore.loaders import Loader
from botocore.model import OperationModel, OperationNotFoundError, ServiceModel

from cachefleet.model.errors import AwsError

# Signing name -> API version.
SERVED = {"elasticache": "2015-02-02", "sts": "2011-06-15", "iam": "2010-05-08", "ec2": "2016-11-15"}
DEFAULT = "elasticache"  # whose error form is used while the service is not known


class Service(msgspec.Struct, frozen=True):
    """name: the signing name. namespace: of the XML replies."""

    name: str
    api_version: str
    namespace: str
    model: ServiceModel

    def operation(self, name: str) -> OperationModel:
        """Raises AwsError InvalidAction for a name that the model does not have."""
        try:
            return self.model.operation_model(name)
        except OperationNotFoundError:
            raise AwsError("InvalidAction", f"The action {clip(name)} is not valid for this web service.") from None


@cache
def service(name: str) -> Service:
    """The model of a served service (a key of SERVED). The first call reads it from disk: about 15 ms, of EC2's 130."""
    version = SERVED[name]
    document = _without_documentation(Loader().load_service_model(name, "service-2", version))
    model = ServiceModel(document, name)
    return Service(name, version, model.metadata["xmlNamespace"], model)


def clip(text: str, limit: int = 120) -> str:
    """What a client sent, short enough to be repeated in a message."""
    return text if len(text) <= limit else text[:limit] + "..."


def _without_documentation(node: Any) -> Any:
    """Texts of the model are two thirds of its memory and nobody reads them here."""
    if isinstance(node, dict):
        return {
            key: _without_documentation(value)
            for key, value in node.items()
            if key != "documentation" or not isinstance(value, str)
        }
    return [_without_documentation(item) for item in node] if isinstance(node, list) else node
