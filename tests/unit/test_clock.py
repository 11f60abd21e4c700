"""What is drawn by chance."""

from __future__ import annotations

import uuid

from cachefleet.clock import SystemEntropy, new_uuid


def test_uuids_are_of_version_4_and_differ() -> None:
    made = {new_uuid(SystemEntropy()) for _ in range(100)}
    assert len(made) == 100
    for one in made:
        read = uuid.UUID(one)
        assert (str(read), read.version, read.variant) == (one, 4, uuid.RFC_4122)
