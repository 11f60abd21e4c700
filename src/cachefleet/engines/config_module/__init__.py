"""The loadable module by which clients get the harmless part of CONFIG (C)."""

from pathlib import Path

from cachefleet.engines.module_compiling import ModuleSource

CONFIG_SOURCE = ModuleSource("config", "the module for CONFIG", Path(__file__).parent, ("names.c", "module.c"), ("names.h",))
