"""How much memory a node's data take, kept so that operations, which ask no engine, can tell what fits. Pure."""

from __future__ import annotations

from cachefleet.planning.draft import Draft

STEPS = 64  # of the memory for data; every write of a group's row costs something


def note_use(draft: Draft) -> None:
    """Rounded up to a whole step; a change of less than one step is none."""
    step_bytes = max(1, draft.observed.data_bytes // STEPS)
    for name, known in draft.memory.nodes.items():
        view = draft.live(name)
        if view is None or view.used_bytes < 0:
            continue
        if not known.used_bytes - 2 * step_bytes <= view.used_bytes <= known.used_bytes:
            known.used_bytes = -(-view.used_bytes // step_bytes) * step_bytes
