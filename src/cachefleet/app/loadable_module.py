"""A module for engines in the data folder, compiled when it is wanted for the first time."""

from __future__ import annotations

import asyncio
import ctypes
from pathlib import Path

import structlog

from cachefleet.engines.build_tools import ToolsMissing
from cachefleet.engines.module_compiling import ModuleSource, NotCompiled, compiled_module

FOLDER = "modules"

log = structlog.get_logger()


class LoadableModule:
    """file and is_there are functions of control.seams.Seams (iam_module, has_iam_module, config_module), refuses is one of
    api.context.Context (refuses_tokens, refuses_config).

    without: what engines cannot do where it cannot be made, for the log."""

    def __init__(self, data_dir: Path, source: ModuleSource, without: str) -> None:
        self._folder = data_dir / FOLDER
        self._source = source
        self._without = without
        self._said = ""
        self._found: Path | None = None  # made or found earlier, and known to load
        self._look_once = asyncio.Lock()  # a compiler takes a second, and many may ask

    async def file(self) -> str:
        """Its path; "" where it cannot be made."""
        return (await self._look())[0]

    def is_there(self) -> bool:
        """Whether it was made, and still is there. Cheap; makes nothing."""
        return self._found is not None and self._found.exists()

    async def refuses(self) -> str:
        """Why it cannot be made, "" when it can."""
        return (await self._look())[1]

    async def _look(self) -> tuple[str, str]:
        async with self._look_once:
            if self.is_there():
                return str(self._found), ""
            try:
                self._found = await asyncio.to_thread(self._make)
                return str(self._found), ""
            except (ToolsMissing, NotCompiled) as error:
                why = str(error)
            except OSError as error:
                why = f"{self._source.called} cannot be kept in {self._folder}: {error.strerror or error}"
            if why != self._said:
                log.warning(self._without, why=why)
                self._said = why
            return "", why

    def _make(self) -> Path:
        """An engine that cannot load it would not start at all, so we try first. Raises ToolsMissing, NotCompiled, OSError."""
        made = compiled_module(self._source, self._folder)
        ctypes.CDLL(str(made))
        return made
