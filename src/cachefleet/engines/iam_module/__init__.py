"""The loadable module by which engines check IAM tokens themselves (C); what it is told: model.iam_rules."""

from pathlib import Path

from cachefleet.engines.module_compiling import ModuleSource

IAM_SOURCE = ModuleSource(
    "iam",
    "the module for IAM authentication",
    Path(__file__).parent,
    ("sha256.c", "token.c", "module.c"),
    ("sha256.h", "token.h"),
)
