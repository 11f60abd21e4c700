"""Puts together who looks at groups' keys, with connections of its own to their engines. Called by service."""

from __future__ import annotations

from contextlib import AsyncExitStack

from cachefleet.app.engine_passwords import DerivedPasswords
from cachefleet.app.parts import Parts
from cachefleet.clock import Clock, Entropy
from cachefleet.engines.connections import Connections
from cachefleet.engines.insight_verbs import InsightVerbs
from cachefleet.engines.trust import Trust
from cachefleet.settings import Settings
from cachefleet.telemetry.insights import Insights


def insights(settings: Settings, parts: Parts, clock: Clock, entropy: Entropy, stack: AsyncExitStack) -> Insights:
    passwords, trust = DerivedPasswords.of(settings.data_dir), Trust(parts.certificates.authorities)
    permit = parts.leadership.permit
    looker = InsightVerbs(Connections(permit, raw=True, passwords=passwords, trust=trust))
    stack.push_async_callback(looker.close)
    return Insights(parts.store, looker, parts.resp.measure, clock, entropy, permit)
