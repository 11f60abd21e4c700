"""Service updates: which installed engine builds are updates of which versions, and what a group is offered (reference 13.10).

Pure. Of each version line the newest patch is available; older ones have expired, and what is not installed any more is
cancelled. Called by the API, which shows them, and by the control loop, which applies them in maintenance windows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec

from cachefleet.engine_interfaces import Build
from cachefleet.model.config_access import COMMAND_FILTERS
from cachefleet.model.group import Engine, GroupDesired
from cachefleet.model.service_update import EngineBuildDesired, OfferedUpdate
from cachefleet.reference.engines import DESCRIPTIONS, family_of, version_numbers
from cachefleet.settings import UpdateSettings

DAY_S = 86_400.0
APPLY_WITHIN_DAYS = {"critical": 14, "important": 30, "medium": 60, "low": 90}  # by severity
AVAILABLE, CANCELLED, EXPIRED = "available", "cancelled", "expired"
_LAST_OPEN_REDIS = (7, 2)  # later data cannot be taken to Valkey: a way that nobody closes but whoever asks for it


class ServiceUpdate(msgspec.Struct, frozen=True):
    """A build as an update. minor: for caches of an older minor version of the same major; else a patch, for caches of the same
    minor version. Times are epoch seconds, 0 there is none."""

    name: str
    engine: Engine
    version: str
    minor: bool
    severity: str
    status: str
    released_at: float  # when it was first seen here
    apply_by: float
    ended_at: float  # when a newer patch took its place
    automatic: bool

    def is_for(self, engine: str, version: str) -> bool:
        """Whether it leads on from there."""
        old, new = version_numbers(version), version_numbers(self.version)
        if engine != self.engine or not old < new or old[:1] != new[:1] or (old[:2] != new[:2]) is not self.minor:
            return False
        return family_of(engine, version) == family_of(self.engine, self.version)


def service_updates(
    seen: Sequence[EngineBuildDesired], builds: Sequence[Build], rules: UpdateSettings
) -> tuple[ServiceUpdate, ...]:
    """By engine, oldest version first. A build is an update when something older of its line was ever seen here."""
    found = [
        _update(build, seen, builds, rules, minor=minor)
        for build in sorted(seen, key=lambda build: (list(Engine).index(Engine(build.engine)), version_numbers(build.version)))
        for minor in (False, True)
    ]
    return tuple(update for update in found if any(update.is_for(other.engine, other.version) for other in seen))


def _update(
    build: EngineBuildDesired,
    seen: Sequence[EngineBuildDesired],
    builds: Sequence[Build],
    rules: UpdateSettings,
    *,
    minor: bool,
) -> ServiceUpdate:
    numbers = version_numbers(build.version)
    installed = {(other.engine.value, other.version) for other in builds}
    newer = [
        other.first_seen_at
        for other in seen
        if other.engine == build.engine
        and version_numbers(other.version)[:2] == numbers[:2]
        and version_numbers(other.version) > numbers
        and (other.engine, other.version) in installed
    ]
    status = AVAILABLE
    if (build.engine, build.version) not in installed:
        status = CANCELLED
    elif newer:
        status = EXPIRED
    name = f"{build.engine}-{build.version.replace('.', '-')}-{'minor' if minor else 'patch'}"
    severity = rules.severities.get(name, rules.minor_severity if minor else rules.patch_severity)
    return ServiceUpdate(
        name=name,
        engine=Engine(build.engine),
        version=build.version,
        minor=minor,
        severity=severity,
        status=status,
        released_at=build.first_seen_at,
        apply_by=build.first_seen_at + APPLY_WITHIN_DAYS[severity] * DAY_S,
        ended_at=max(build.first_seen_at, min(newer)) if status == EXPIRED else 0.0,
        automatic=_is_automatic(build, minor, rules),
    )


def _is_automatic(build: EngineBuildDesired, minor: bool, rules: UpdateSettings) -> bool:
    """Memcached loses what it holds, so that is for its users to decide."""
    if build.engine == Engine.MEMCACHED or rules.automatic == "never" or (minor and rules.automatic == "patch"):
        return False
    return not (minor and build.engine == Engine.REDIS and version_numbers(build.version)[:2] > _LAST_OPEN_REDIS)


# --- for one group -------------------------------------------------------------------------------------------------


def available_at(update: ServiceUpdate, desired: GroupDesired) -> float:
    """Since when the group may have it."""
    return max(update.released_at, desired.created_at)


def due_at(update: ServiceUpdate, desired: GroupDesired, rules: UpdateSettings) -> float:
    """From when on it begins by itself, in the next maintenance window; infinity never."""
    if not (update.automatic and desired.auto_minor_version_upgrade and desired.maintenance_window):
        return math.inf
    days = rules.automatic_after_days if rules.automatic_after_days >= 0 else APPLY_WITHIN_DAYS[update.severity]
    return available_at(update, desired) + days * DAY_S


def beginning(offers: Sequence[OfferedUpdate], failed: Collection[str], now: float) -> OfferedUpdate | None:
    """Which of them begins by itself in the next maintenance window: the newest that is due. offers: the newest version last.
    failed: versions that were tried and taken back."""
    due = [offer for offer in offers if offer.due_at <= now and offer.version not in failed]
    return due[-1] if due else None


def unfit(update: ServiceUpdate, desired: GroupDesired, builds: Sequence[Build]) -> str:
    """Why the group cannot have it, "" when it can."""
    build = next((one for one in builds if (one.engine, one.version) == (update.engine, update.version)), None)
    spoken = f"{DESCRIPTIONS[update.engine.value]} {update.version}"
    if build is None:
        return f"{spoken} is not installed any more"
    needs = {
        "tls": (bool(desired.transit), "was built without TLS"),
        "auth-callback": (bool(desired.user_group) and desired.engine is Engine.VALKEY, "cannot check IAM tokens"),
        COMMAND_FILTERS: (bool(desired.config), "cannot give clients part of CONFIG"),
    }
    return next(
        (f"{spoken} here {why}" for can, (needed, why) in needs.items() if needed and can not in build.capabilities), ""
    )


def offered(
    updates: Sequence[ServiceUpdate], desired: GroupDesired, builds: Sequence[Build], rules: UpdateSettings
) -> tuple[OfferedUpdate, ...]:
    """What the group may have by now, the newest version last."""
    return tuple(
        OfferedUpdate(update.name, update.version, update.released_at, due_at(update, desired, rules))
        for update in updates
        if update.status == AVAILABLE
        and update.is_for(desired.engine, desired.engine_version)
        and not unfit(update, desired, builds)
    )
