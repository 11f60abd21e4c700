"""The simulation finds what it is made to find: each deliberately broken control plane is caught, by the right checker."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, hunt

SEEDS = range(80)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_control_plane_is_caught(name: str) -> None:
    assert hunt(name, SEEDS) is not None, f"nobody noticed that the control plane {name}"
