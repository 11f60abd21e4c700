"""The one error tree: what the API answers when it refuses.

Operations raise AwsError (through the constructors below, where a code is common); the gateway turns it into the wire
form. Codes and HTTP statuses are those of reference section 1.7, irregular suffixes included.
"""

from __future__ import annotations

_NOT_400 = {
    "AuthorizationNotFound": 404,
    "CacheClusterNotFound": 404,
    "CacheParameterGroupNotFound": 404,
    "CacheSecurityGroupNotFound": 404,
    "GlobalReplicationGroupNotFoundFault": 404,
    "NodeGroupNotFoundFault": 404,
    "ReplicationGroupNotFoundFault": 404,
    "ReservedCacheNodeAlreadyExists": 404,
    "ReservedCacheNodeNotFound": 404,
    "ReservedCacheNodesOfferingNotFound": 404,
    "ServerlessCacheNotFoundFault": 404,
    "ServerlessCacheSnapshotNotFoundFault": 404,
    "ServiceUpdateNotFoundFault": 404,
    "SnapshotNotFoundFault": 404,
    "TagNotFound": 404,
    "UserGroupNotFound": 404,
    "UserNotFound": 404,
    "InvalidCredentialsException": 408,
    "SignatureDoesNotMatch": 403,
    "InvalidClientTokenId": 403,
    "MissingAuthenticationToken": 403,
    "IncompleteSignature": 400,
    "RequestExpired": 400,
    "AccessDenied": 403,
    "UnauthorizedOperation": 403,
    "DryRunOperation": 412,
    "NoSuchEntity": 404,
    "EntityAlreadyExists": 409,
    "DeleteConflict": 409,
    "LimitExceeded": 409,
    "RequestTimeout": 408,
    "RequestEntityTooLarge": 413,
    "ServiceUnavailable": 503,
    "InternalFailure": 500,
}


class AwsError(Exception):
    """A refusal with the AWS error code, and a message that names the field, the rule and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        return _NOT_400.get(self.code, 400)


def invalid_value(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def invalid_combination(message: str) -> AwsError:
    return AwsError("InvalidParameterCombination", message)
