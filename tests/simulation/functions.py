"""Function libraries of a simulated engine. A library's code is its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.replication import Change

if TYPE_CHECKING:
    from tests.simulation.engine import Engine


def asked(engine: Engine, by: str, words: list[str]) -> Any:
    """FUNCTION LIST [WITHCODE], FUNCTION LOAD code."""
    libraries = engine.replication.functions
    if words[0] == "LIST":
        return [["library_name", name, "engine", "LUA", "functions", [], "library_code", name] for name in sorted(libraries)]
    if words[0] != "LOAD":
        engine.witness.unknown(engine, ["FUNCTION", *words])
        return "-ERR unknown subcommand"
    if not engine.replication.primary:
        return "-READONLY You can't write against a read only replica."
    if words[1] in libraries:
        return f"-ERR Library '{words[1]}' already exists"
    engine.replication.append(Change(functions=(words[1],)))
    return words[1]
