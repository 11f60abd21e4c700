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
SERVED = {
    "elasticache": "2015-02-02",
    "sts": "2011-06-15",
    "iam": "2010-05-08",
    "ec2": "2016-11-15",
    "monitoring": "2010-08-01",
    "logs": "2014-03-28",
    "sns": "2010-03-31",
    "application-autoscaling": "2016-02-06",
    "tagging": "2017-01-26",
}
DEFAULT = "elasticache"  # whose error form is used while the service is not known
# Where botocore keeps a model under another name than the signing name.
_FOLDERS = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi"}


class Service(msgspec.Struct, frozen=True):
    """name: the signing name. namespace: of the XML replies, "" where there are none."""

    name: str
    api_version: str
    namespace: str
    model: ServiceModel

    @property
    def protocols(self) -> tuple[str, ...]:
        """The wire forms that the model offers, in botocore's words: query, ec2, json, smithy-rpc-v2-cbor."""
        metadata = self.model.metadata
        return tuple(metadata.get("protocols") or (metadata["protocol"],))

    @property
    def target_prefix(self) -> str:
        """What JSON and CBOR clients call the service, such as Logs_20140328."""
        return str(self.model.metadata.get("targetPrefix", ""))

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
    document = _without_documentation(Loader().load_service_model(_FOLDERS.get(name, name), "service-2", version))
    model = ServiceModel(document, name)
    return Service(name, version, model.metadata.get("xmlNamespace", ""), model)


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
