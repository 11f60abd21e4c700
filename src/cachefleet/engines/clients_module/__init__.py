"""The loadable module that renames commands for clients, and closes connections that write to replicas (C)."""

from pathlib import Path

from cachefleet.engines.module_compiling import ModuleSource

CLIENTS_SOURCE = ModuleSource(
    "clients",
    "the module that renames commands and closes connections that write to replicas",
    Path(__file__).parent,
    ("words.c", "module.c"),
    ("words.h",),
)
