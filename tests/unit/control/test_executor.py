"""What the executor knows of the planners' words."""

from __future__ import annotations

from cachefleet.control import executor
from cachefleet.model.plan import Action


def test_every_action_has_a_handler() -> None:
    assert set(executor._HANDLERS) == set(Action.__subclasses__())
