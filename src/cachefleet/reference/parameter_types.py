"""The shape of a parameter and of a family. Pure data; the tables beside fill it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

IMMEDIATE = "immediate"
REBOOT = "requires-reboot"


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a family as DescribeEngineDefaultParameters shows it.

    default: "" for one whose value depends on the node type (per_node_type). allowed: "1-100", "0-" (no upper bound),
    "yes,no", or "" where nothing is listed. minimum_version: first engine version that has it, three numbers.
    """

    name: str
    default: str
    data_type: str  # integer | string | boolean | float
    allowed: str
    modifiable: bool
    change_type: str  # immediate | requires-reboot
    minimum_version: str
    description: str
    source: str = "system"
    per_node_type: bool = False


class Family(msgspec.Struct, frozen=True):
    """parameters: by name, in the order of names."""

    name: str
    engine: str
    parameters: Mapping[str, Parameter]
