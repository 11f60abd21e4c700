"""Parameters of the family memcached1.6 (reference 5.3). Facts only."""

from __future__ import annotations

from cachefleet.reference.parameter_types import IMMEDIATE, REBOOT, Family, Parameter

_BITS = "0,1"

# name, default, type, allowed, flags (m modifiable, i at once, t depends on the node type), what it does
# fmt: off
_TABLE: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("backlog_queue_limit", "1024", "integer", "1-10000", "", "Connections that may wait to be accepted."),
    ("binding_protocol", "auto", "string", "auto,ascii", "m", "Protocols that clients may speak."),
    ("cas_disabled", "0", "boolean", _BITS, "m", "No CAS numbers; saves 8 bytes an item."),
    ("chunk_size", "48", "integer", "1-1024", "m", "Smallest space of an item in bytes."),
    ("chunk_size_growth_factor", "1.25", "float", "1-1024", "m", "Ratio of one slab class to the next."),
    ("config_max", "16", "integer", "16", "", "Most configuration entries."),
    ("config_size_max", "65536", "integer", "65536", "", "Largest configuration entry in bytes."),
    ("disable_flush_all", "0", "boolean", _BITS, "m", "Refuses flush_all."),
    ("error_on_memory_exhausted", "0", "boolean", _BITS, "m", "Answers with an error instead of evicting."),
    ("hash_algorithm", "jenkins", "string", "murmur3,jenkins", "m", "Hash function of the table."),
    ("hashpower_init", "16", "integer", "16", "", "First size of the hash table as a power of two."),
    ("idle_timeout", "0", "integer", "0-86400", "m", "Seconds after which an idle client is cut; 0: never."),
    ("inline_ascii_resp", "0", "boolean", _BITS, "m", "Keeps parts of the ASCII reply with the item."),
    ("large_memory_pages", "0", "boolean", "0", "", "Large memory pages."),
    ("lock_down_paged_memory", "0", "boolean", "0", "", "Locks memory against being paged out."),
    ("lru_crawler", "0", "boolean", _BITS, "m", "Background removal of expired items."),
    ("lru_crawler metadump", "disabled", "boolean", "enabled,disabled", "mi", "The command that lists the keys."),
    ("lru_maintainer", "0", "boolean", _BITS, "m", "Background thread that keeps segments in balance."),
    ("max_cache_memory", "", "integer", "1-", "t", "Memory of the node type in MB."),
    ("max_item_size", "1048576", "integer", "1024-1073741824", "m", "Largest item in bytes."),
    ("max_simultaneous_connections", "65000", "integer", "3-65000", "", "Most connections at a time."),
    ("maxconns_fast", "0", "boolean", _BITS, "m", "Closes connections over the limit at once."),
    ("maximize_core_file_limit", "0", "boolean", _BITS, "", "Raises the limit of core files."),
    ("memcached_connections_overhead", "", "integer", "0-", "mt", "MB kept for connections, taken from the items' memory."),
    ("no_modern", "1", "boolean", _BITS, "m", "Turns off the newer defaults of slabs, LRU and hashing."),
    ("num_threads", "", "integer", "1-", "t", "Worker threads."),
    ("requests_per_event", "20", "integer", "20", "", "Requests of one connection before others get their turn."),
    ("slab_automove", "0", "integer", "0,1,2", "m", "How eagerly pages move between slab classes."),
    ("slab_chunk_max", "524288", "integer", "1-", "m", "Largest piece of a split item in bytes."),
    ("slab_reassign", "0", "boolean", _BITS, "m", "Pages may move between slab classes."),
    ("track_sizes", "0", "boolean", _BITS, "m", "Counts items by size."),
    ("watch", "enabled", "boolean", "enabled,disabled", "mi", "The command that follows logs."),
    ("watcher_logbuf_size", "256", "integer", "1-65536", "m", "Write buffer of each watcher in KB."),
    ("worker_logbuf_size", "64", "integer", "1-65536", "m", "Log buffer of each thread in KB."),
)
# fmt: on

MEMCACHED_FAMILY = Family(
    "memcached1.6",
    "memcached",
    {
        name: Parameter(
            name,
            default,
            data_type,
            allowed,
            "m" in flags,
            IMMEDIATE if "i" in flags else REBOOT,
            "1.6.6",
            description,
            per_node_type="t" in flags,
        )
        for name, default, data_type, allowed, flags, description in sorted(_TABLE)
    },
)
