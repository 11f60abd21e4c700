/* What is kept of the keys that are used: a sample of all keys with every use of them, and which keys are used most.
 *
 * Of the sampled keys, those whose hash is below a threshold, each use is an entry in a ring, without the name. Of all uses, one
 * in HOT_EVERY on average is counted for its key by name: the most frequent names stay (Metwally, Agrawal, El Abbadi: Efficient
 * computation of frequent and top-k elements in data streams, 2005). Nothing is allocated between trace_begin and trace_end. */
#ifndef CACHEFLEET_TRACE_H
#define CACHEFLEET_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_HASH_BITS 24       /* thresholds are out of 1 << 24 */
#define TRACE_RING_ENTRIES 65536
#define TRACE_HOT_NAMES 128
#define TRACE_NAME_BYTES 128     /* of a name; more is cut off */
#define TRACE_HOT_EVERY 64

typedef struct { /* as it is sent: little-endian on every machine that we know */
    uint64_t hash;
    uint32_t size; /* bytes of the key and of its whole value, where the command has that; else 0 */
    uint32_t use;  /* key_use */
} trace_entry;

typedef struct {
    uint64_t hash, count, over; /* over: by how much count may be too high */
    size_t size;                /* of the whole name */
    char name[TRACE_NAME_BYTES];
} hot_name;

typedef struct {
    uint32_t threshold;
    uint64_t seed, chance;
    uint64_t dropped;                            /* entries for which the ring had no room */
    uint64_t looked, looked_reads, looked_keys;  /* of the commands of which one in HOT_EVERY is looked at */
    uint32_t until_look;
    size_t first, count, names;
    trace_entry ring[TRACE_RING_ENTRIES];
    hot_name hot[TRACE_HOT_NAMES];
} trace;

trace *trace_begin(uint32_t threshold, uint64_t seed); /* NULL without memory */
void trace_end(trace *ended);

uint64_t trace_hash(const trace *one, const char *text, size_t size);

static inline int trace_samples(const trace *one, uint64_t hash) {
    return (hash & ((1u << TRACE_HASH_BITS) - 1)) < one->threshold;
}

/* Whether this command is one of those that are looked at. */
static inline int trace_looks(trace *one) {
    return --one->until_look == 0;
}

/* After trace_looks said so: which is the next. */
void trace_next_look(trace *one);

void trace_put(trace *one, uint64_t hash, uint32_t size, uint32_t use);
void trace_count(trace *one, uint64_t hash, const char *name, size_t size);

/* So many of the oldest entries, which are gone then; how many there were. */
size_t trace_take(trace *one, trace_entry *into, size_t most);

#endif
