"""How much memory a node's data take, kept so that operations, which ask no engine, can tell what fits. Pure."""

from __future__ import annotations

from cachefleet.planning.draft import Draft

_MB = 1024 * 1024
_STEPS = 64  # of the memory for data at least; every write of a group's row costs something
_LEAST_STEP_BYTES = 4 * _MB
_SHARE_BITS = 4  # and a sixteenth of what is used


def note_use(draft: Draft) -> None:
    """Rounded up to a whole step; a change of less than one step is none."""
    for name, known in draft.memory.nodes.items():
        view = draft.live(name)
        if view is None or view.used_bytes < 0:
            continue
        step_bytes = _step_bytes(view.used_bytes, draft.observed.data_bytes)
        if not known.used_bytes - 2 * step_bytes <= view.used_bytes <= known.used_bytes:
            known.used_bytes = -(-view.used_bytes // step_bytes) * step_bytes


def _step_bytes(used_bytes: int, data_bytes: int) -> int:
    """Fine enough where little is used of much: it may have to fit into a node type that is a thousandth of this one."""
    share = 1 << max(0, used_bytes.bit_length() - 1 - _SHARE_BITS)
    return max(1, min(data_bytes // _STEPS, max(_LEAST_STEP_BYTES, share)))
