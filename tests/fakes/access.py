"""access_interfaces.AccessStrings without an engine: what nobody may write is refused as it really is, and of the rest what
`unknown` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachefleet.access_interfaces import AccessRefused
from cachefleet.engine_interfaces import Build
from cachefleet.engines.access_strings import read_words


@dataclass
class FakeAccessStrings:
    """unknown: rules that no engine takes. asked: (string, versions) of every call."""

    unknown: tuple[str, ...] = ("+nosuch",)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def read(self, access_string: str, builds: Sequence[Build]) -> str:
        self.asked.append((access_string, tuple(build.version for build in builds)))
        words = read_words(access_string)
        for rule in words.rules:
            if rule in self.unknown:
                raise AccessRefused(f"{builds[0].engine} {builds[0].version} does not take it: '{rule}'")
            if rule.startswith("(") and any(build.version.startswith("6.") for build in builds):
                raise AccessRefused(f"{builds[-1].engine} {builds[-1].version} does not take it: '{rule}'")
        return words.text
