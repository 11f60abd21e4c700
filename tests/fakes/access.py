"""access_interfaces.AccessStrings without an engine: what nobody may write is refused as it really is, and of the rest what
`unknown` names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachefleet.access_interfaces import AccessReading, AccessRefused
from cachefleet.engine_interfaces import Build
from cachefleet.engines.access_strings import read_words
from cachefleet.model.group import Engine

REDIS_ONLY = "+redisonly"  # no Valkey takes it


@dataclass
class FakeAccessStrings:
    """unknown: rules that no engine takes. asked: (string, versions) of every call."""

    unknown: tuple[str, ...] = ("+nosuch",)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def read(self, access_strings: Sequence[str], builds: Sequence[Build]) -> list[AccessReading]:
        self.asked += [(text, tuple(build.version for build in builds)) for text in access_strings]
        found = []
        for text in access_strings:
            try:
                found.append(AccessReading(self._text(text, builds)))
            except AccessRefused as error:
                found.append(AccessReading(refusal=str(error)))
        return found

    def _text(self, access_string: str, builds: Sequence[Build]) -> str:
        words = read_words(access_string)
        for rule in words.rules:
            if rule in self.unknown:
                raise AccessRefused(f"{builds[0].engine} {builds[0].version} does not take it: '{rule}'")
            for build in builds:
                selector = rule.startswith("(") and build.version.startswith("6.")
                if selector or (rule == REDIS_ONLY and build.engine is Engine.VALKEY):
                    raise AccessRefused(f"{build.engine} {build.version} does not take it: '{rule}'")
        return words.text
