"""The module for IAM tokens in the data folder, compiled when it is wanted for the first time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from cachefleet.engines.build_tools import ToolsMissing
from cachefleet.engines.iam_module.compiling import NotCompiled, module_file

FOLDER = "modules"

log = structlog.get_logger()


class IamModule:
    """file is control.seams.Seams.iam_module, refuses is api.context.Context.refuses_tokens."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        self._said = ""

    async def file(self) -> str:
        """Its path; "" where it cannot be made."""
        return (await self._look())[0]

    async def refuses(self) -> str:
        """Why it cannot be made, "" when it can."""
        return (await self._look())[1]

    async def _look(self) -> tuple[str, str]:
        try:
            return str(await asyncio.to_thread(module_file, self._folder)), ""
        except (ToolsMissing, NotCompiled) as error:
            why = str(error)
        except OSError as error:
            why = f"the module for IAM authentication cannot be written to {self._folder}: {error.strerror}"
        if why != self._said:
            log.warning("engines cannot check IAM tokens", why=why)
            self._said = why
        return "", why
