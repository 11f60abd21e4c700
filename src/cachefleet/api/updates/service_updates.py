"""DescribeServiceUpdates: newer versions of engines that are installed here (reference 13.10).

Which there are is planning.service_updates' business. Called by the gateway and the operations on update actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cachefleet.api.context import Context
from cachefleet.api.names import folded, quoted
from cachefleet.api.paging import page_of, page_sequence, reply
from cachefleet.api.registry import operation
from cachefleet.model.errors import AwsError, invalid_value
from cachefleet.planning.service_updates import AVAILABLE, CANCELLED, EXPIRED, ServiceUpdate
from cachefleet.reference.engines import DESCRIPTIONS, version_numbers

if TYPE_CHECKING:
    from types_boto3_elasticache.type_defs import DescribeServiceUpdatesMessageTypeDef, ServiceUpdateTypeDef

NAME, STATUS = "ServiceUpdateName", "ServiceUpdateStatus"
TYPE = "security-update"  # of patches and minor versions alike: the only word that the service model has
NODE_TIME = "1 minute per node"  # a launch, and the time that a full synchronisation of a few GB takes
_STATUSES = (AVAILABLE, CANCELLED, EXPIRED)


@operation("DescribeServiceUpdates", effective=(NAME, STATUS, "MaxRecords", "Marker"))
async def describe_service_updates(context: Context, request: DescribeServiceUpdatesMessageTypeDef) -> dict[str, Any]:
    page = page_of(request, "service-updates")
    name, statuses = request.get("ServiceUpdateName"), asked_choices(request, STATUS, _STATUSES)
    found = [find_update(context, name)] if name else sorted(context.updates, key=lambda update: update.name)
    wanted = [update for update in found if update.status in statuses]
    shown, marker = page_sequence(wanted, page, lambda update: update.name)
    return reply("ServiceUpdates", [_view(update) for update in shown], marker)


# --- for operations on update actions ------------------------------------------------------------------------------


def find_update(context: Context, name: str) -> ServiceUpdate:
    """Raises ServiceUpdateNotFoundFault."""
    for update in context.updates:
        if update.name == folded(name):
            return update
    raise AwsError(
        "ServiceUpdateNotFoundFault",
        f"Service update {quoted(name)} not found; DescribeServiceUpdates lists those that there are.",
    )


def asked_choices(request: Mapping[str, Any], member: str, known: Sequence[str]) -> Sequence[str]:
    """A list of words to filter by; all when it is not given. Raises InvalidParameterValue."""
    asked: Sequence[str] = request.get(member) or known
    for word in asked:
        if word not in known:
            raise invalid_value(f"{member} {quoted(word)} is not valid; it must be one of {', '.join(known)}.")
    return asked


def _view(update: ServiceUpdate) -> ServiceUpdateTypeDef:
    numbers = version_numbers(update.version)
    line = str(numbers[0]) if update.minor else ".".join(map(str, numbers[:2]))
    before = ".".join(map(str, numbers[:2])) if update.minor else update.version
    engine = DESCRIPTIONS[update.engine.value]
    view: ServiceUpdateTypeDef = {
        "ServiceUpdateName": update.name,
        "ServiceUpdateReleaseDate": update.released_at,  # type: ignore[typeddict-item]
        "ServiceUpdateSeverity": update.severity,  # type: ignore[typeddict-item]
        "ServiceUpdateRecommendedApplyByDate": update.apply_by,  # type: ignore[typeddict-item]
        "ServiceUpdateStatus": update.status,  # type: ignore[typeddict-item]
        "ServiceUpdateDescription": f"Brings {engine} {update.version} to caches of {engine} {line} before {before}.",
        "ServiceUpdateType": TYPE,  # type: ignore[typeddict-item]
        "Engine": update.engine.value,
        "EngineVersion": f"{update.engine.value}-{update.version}",
        "AutoUpdateAfterRecommendedApplyByDate": update.automatic,
        "EstimatedUpdateTime": NODE_TIME,
    }
    if update.ended_at:
        view["ServiceUpdateEndDate"] = update.ended_at  # type: ignore[typeddict-item]
    return view
