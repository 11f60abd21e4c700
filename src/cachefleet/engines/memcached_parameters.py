"""What a Memcached process was started with, told by its own settings, and which parameters another launch would change. Pure.

Memcached changes none of them while it runs, but its memory, which planning.sizes sees to. Called by MemcachedDriver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cachefleet.engine_interfaces import NodeSpec
from cachefleet.engines.memcached_config import KIB, item_bytes
from cachefleet.model.observed import ParameterView

Words = Callable[[str], str]


def _switch(on: str, off: str) -> Words:
    return lambda value: on if value == "1" else off


def _kib(value: str) -> str:
    return str(int(value) * KIB)


# Parameter -> the name in `stats settings`, and what stands there for a value. A switch that is "0" says nothing to an engine
# with its modern defaults, which has most of them on.
_TOLD: Mapping[str, tuple[str, Words]] = {
    "binding_protocol": ("binding_protocol", lambda value: {"auto": "auto-negotiate"}.get(value, value)),
    "cas_disabled": ("cas_enabled", _switch("no", "yes")),
    "chunk_size": ("chunk_size", str),
    "chunk_size_growth_factor": ("growth_factor", lambda value: f"{float(value):.2f}"),
    "disable_flush_all": ("flush_enabled", _switch("no", "yes")),
    "error_on_memory_exhausted": ("evictions", _switch("off", "on")),
    "hash_algorithm": ("hash_algorithm", str),
    "idle_timeout": ("idle_timeout", str),
    "slab_automove": ("slab_automove", str),
    "track_sizes": ("track_sizes", _switch("yes", "no")),
    "watch": ("watch", str),
    "watcher_logbuf_size": ("watcher_logbuf_size", _kib),
}
_MODERN_SWITCHES: Mapping[str, str] = {
    "lru_crawler": "lru_crawler",
    "lru_maintainer": "lru_maintainer_thread",
    "maxconns_fast": "maxconns_fast",
    "slab_reassign": "slab_reassign",
}


def compared(spec: NodeSpec, told: Mapping[str, str]) -> ParameterView:
    """told: `stats settings`, and `watch`: enabled or disabled. Names that it does not tell are not compared."""
    parameters = spec.parameters
    expected: dict[str, tuple[str, str]] = {}  # parameter -> setting, its value
    for name, (setting, words) in _TOLD.items():
        if parameters.get(name):
            expected[name] = setting, words(parameters[name])
    for name, setting in _MODERN_SWITCHES.items():
        if parameters.get(name) == "1" or parameters.get("no_modern") == "1":
            expected[name] = setting, "yes" if parameters.get(name) == "1" else "no"
    largest, piece = item_bytes(spec)
    expected |= {"max_item_size": ("item_size_max", str(largest)), "slab_chunk_max": ("slab_chunk_max", str(piece))}
    at_launch = [name for name, (setting, value) in expected.items() if setting in told and told[setting] != value]
    return ParameterView(at_launch=tuple(sorted(at_launch)))
