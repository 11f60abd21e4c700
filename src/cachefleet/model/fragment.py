"""A part of a reply that need not be built again and again. Made by the views, kept in encoded form by the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


class Fragment(msgspec.Struct, frozen=True):
    """A structure in a reply that is built only when its encoded form is not at hand. key: everything that its content
    depends on (row key and version, flags)."""

    key: tuple[object, ...]
    build: Callable[[], Mapping[str, Any]]
