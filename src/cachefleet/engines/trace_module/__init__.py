"""The loadable module that samples which keys are used, while somebody looks (C); its entries are read by insight_verbs."""

from pathlib import Path

from cachefleet.engines.module_compiling import ModuleSource

TRACE_SOURCE = ModuleSource(
    "trace",
    "the module that samples keys",
    Path(__file__).parent,
    ("commands.c", "trace.c", "module.c"),
    ("commands.h", "trace.h"),
)
