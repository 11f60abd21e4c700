"""Renders the command line of one Memcached process. Pure: a NodeSpec in, words out.

Every parameter of family memcached1.6 that Memcached itself has (reference 5.3); config_max, config_size_max and the overheads
are ElastiCache's own. Called by MemcachedDriver.render.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cachefleet.engine_interfaces import Build, EngineRefused, NodeSpec, Rendering
from cachefleet.model.transit import CIPHERS, NodeCertificate

CERTIFIED_KEY = "node.pem"  # one file, replaced in one step: whoever reads it never has a key of another certificate

_MB = 1_048_576
KIB = 1024
_SPARE_FILES = 64  # what Memcached opens besides connections
_CHUNK_MAX_BYTES = 524_288
_SMALLEST_ITEM_BYTES = 1024

# Parameters that are an option with a value, and those that are an option when they are "1".
_VALUES = {
    "backlog_queue_limit": "-b",
    "binding_protocol": "-B",
    "chunk_size": "-n",
    "chunk_size_growth_factor": "-f",
    "requests_per_event": "-R",
}
_SWITCHES = {
    "cas_disabled": "-C",
    "disable_flush_all": "-F",
    "error_on_memory_exhausted": "-M",
    "large_memory_pages": "-L",
    "lock_down_paged_memory": "-k",
    "maximize_core_file_limit": "-r",
}
# The same for the words of -o, without worker_logbuf_size: Memcached 1.6 takes its number for the only size of slabs, too, and
# then nearly every item would fill half a page. "0" says nothing there: 1.6 has most of them on unless no_modern is set.
_EXTENDED_VALUES = {
    "hash_algorithm": "hash_algorithm",
    "hashpower_init": "hashpower",
    "idle_timeout": "idle_timeout",
    "slab_automove": "slab_automove",
    "watcher_logbuf_size": "watcher_logbuf_size",
}
_EXTENDED_SWITCHES = ("lru_crawler", "lru_maintainer", "maxconns_fast", "slab_reassign", "track_sizes")


def render(spec: NodeSpec, build: Build, user: str, open_files: int) -> Rendering:
    """user: whom to become ("" to stay who we are); open_files: the process's limit, below which connections must stay. Raises
    EngineRefused for TLS without a certificate."""
    parameters = spec.parameters
    size_mb = memory_mb(spec)
    largest_bytes, piece_bytes = item_bytes(spec)
    connections = int(parameters.get("max_simultaneous_connections") or 65_000)
    words = ["-l", spec.address.host, "-p", str(spec.address.port), "-U", "0"]
    words += ["-m", str(size_mb), "-t", str(max(1, spec.threads))]
    words += ["-c", str(max(3, min(connections, open_files - _SPARE_FILES))), "-I", str(largest_bytes)]
    words += ["-u", user] if user else []
    for name, option in _VALUES.items():
        if parameters.get(name):
            words += [option, parameters[name]]
    words += [option for name, option in _SWITCHES.items() if parameters.get(name) == "1"]
    words += ["-W"] if parameters.get("watch") == "disabled" else []
    files: Mapping[str, bytes] = {}
    encrypted: list[str] = []
    if spec.address.transit:
        if spec.certificate is None:
            raise EngineRefused(f"{spec.name} has no certificate, so it cannot be started with TLS")
        words += ["-Z"]
        files = certificate_files(spec.certificate)
        # Names without a folder: the user that it becomes can pass the folder that it works in, but none above.
        encrypted = [f"ssl_chain_cert={CERTIFIED_KEY}", f"ssl_key={CERTIFIED_KEY}", f"ssl_ciphers={CIPHERS}"]
    words += ["-o", ",".join([*_extended(parameters), f"slab_chunk_max={piece_bytes}", *encrypted])]
    return Rendering(argv=(build.binary, *words), files=files, owner=user if files else "")


def certificate_files(certificate: NodeCertificate) -> Mapping[str, bytes]:
    """By name in the folder of the launch."""
    return {CERTIFIED_KEY: certificate.certificate + certificate.key}


def memory_mb(spec: NodeSpec) -> int:
    return max(1, spec.maxmemory_bytes // _MB)


def item_bytes(spec: NodeSpec) -> tuple[int, int]:
    """(largest item, largest piece of an item) that it is started with."""
    asked = int(spec.parameters.get("max_item_size") or _MB)
    piece = int(spec.parameters.get("slab_chunk_max") or _CHUNK_MAX_BYTES)
    return item_sizes(asked, piece, memory_mb(spec) * _MB)


def _extended(parameters: Mapping[str, str]) -> Iterator[str]:
    """no_modern comes first: it sets defaults that the others change."""
    if parameters.get("no_modern") == "1":
        yield "no_modern"
    for name, word in _EXTENDED_VALUES.items():
        if parameters.get(name):
            yield f"{word}={parameters[name]}"
    yield from (name for name in _EXTENDED_SWITCHES if parameters.get(name) == "1")


def item_sizes(item_bytes: int, chunk_bytes: int, memory_bytes: int) -> tuple[int, int]:
    """(largest item, largest piece of an item) nearest to what is asked that Memcached starts with: an item is a multiple of a
    piece, a page of 1 MB too, and an item takes at most half of the memory."""
    most = memory_bytes // 2
    if min(item_bytes, most) >= chunk_bytes:
        whole = -(-item_bytes // chunk_bytes) * chunk_bytes
        return min(whole, most // chunk_bytes * chunk_bytes), chunk_bytes
    unit = _SMALLEST_ITEM_BYTES
    item = max(unit, min(-(-item_bytes // unit) * unit, most // unit * unit))
    return item, min(item & -item, _MB)
