"""Nodes that do not let in whom they shall are told. Pure.

Read back on the next look, so that it is known to hold. Called by planning.group.
"""

from __future__ import annotations

from cachefleet.model.access import fingerprint
from cachefleet.model.plan import Admit
from cachefleet.planning.draft import Draft


def admit(draft: Draft) -> None:
    wanted = fingerprint(draft.observed.users)
    for name in draft.memory.nodes:
        view = draft.live(name)
        if view is None or view.access in (None, wanted):
            continue
        draft.act(Admit(node=name, users=draft.observed.users))
        draft.waiting = True
