"""The simulation finds what it is made to find: each deliberately broken control plane is caught, by the right checker."""

from __future__ import annotations

import pytest

from tests.fixtures.long import long
from tests.simulation.mutants import MUTANTS, hunt

SEEDS = range(80)
# Half a minute each; their invariants catch others as well.
SLOW = {"keeps tags of users", "moves slots while nodes are launched anew"}


@pytest.mark.parametrize("name", [long(name) if name in SLOW else name for name in MUTANTS])
def test_a_broken_control_plane_is_caught(name: str) -> None:
    assert hunt(name, SEEDS) is not None, f"nobody noticed that the control plane {name}"
