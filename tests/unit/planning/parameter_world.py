"""The model world with engines that have parameters."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cachefleet.model import plan as actions
from cachefleet.model.observed import Observed, ParameterDifference, ParameterView
from tests.unit.planning.world import World


class ParameterWorld(World):
    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.parameters: dict[str, str] = {}  # what the parameter group says
        self.at_launch: set[str] = set()  # of those, what engines are not told while they run
        self._has: dict[str, dict[str, str]] = {}  # by incarnation

    def has(self, node: str) -> dict[str, str]:
        """What the node's engine has."""
        return self._has[self.of(node).incarnation]

    def observe(self) -> Observed:
        found = super().observe()
        known = [name for name, view in found.views.items() if view.reachable and self.memory.nodes[name].ready]
        views = {name: self._differences(name) for name in known if self.of(name).incarnation in self._has}
        return replace(found, parameters=self.parameters, parameter_views=views)

    def _differences(self, node: str) -> ParameterView:
        has = self.has(node)
        names = sorted(name for name in {*has, *self.parameters} if has.get(name) != self.parameters.get(name))
        told = [name for name in names if name not in self.at_launch]
        live = (ParameterDifference(name, self.parameters.get(name, ""), (name,)) for name in told)
        return ParameterView(tuple(live), tuple(name for name in names if name in self.at_launch))

    def _launch(self, action: actions.Launch) -> None:
        super()._launch(action)
        self._has[action.incarnation] = dict(self.parameters)

    def _setparameters(self, action: actions.SetParameters) -> None:
        for name, value in action.values.items():
            self.has(action.node)[name] = value
            if name not in self.parameters:
                del self.has(action.node)[name]
