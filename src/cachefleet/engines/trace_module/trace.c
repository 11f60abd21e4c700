/* See trace.h. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_HASHED 128 /* of a longer name its ends: a whole script may stand where a key does */

static uint64_t mixed(uint64_t hash) {
    hash ^= hash >> 33;
    hash *= 0xff51afd7ed558ccdULL;
    hash ^= hash >> 33;
    hash *= 0xc4ceb9fe1a85ec53ULL;
    return hash ^ hash >> 33;
}

static uint64_t added(uint64_t hash, const char *text, size_t size) {
    uint64_t word;
    for (; size >= sizeof(word); text += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, text, size);
    return (hash ^ word) * 0x9e3779b97f4a7c15ULL;
}

uint64_t trace_hash(const trace *one, const char *text, size_t size) {
    uint64_t hash = one->seed ^ size * 0xc4ceb9fe1a85ec53ULL;
    if (size <= LONGEST_HASHED) return mixed(added(hash, text, size));
    hash = added(hash, text, LONGEST_HASHED / 2);
    return mixed(added(hash, text + size - LONGEST_HASHED / 2, LONGEST_HASHED / 2));
}

trace *trace_begin(uint32_t threshold, uint64_t seed) {
    trace *fresh = calloc(1, sizeof(*fresh));
    if (!fresh) return NULL;
    fresh->threshold = threshold;
    fresh->seed = seed;
    fresh->chance = mixed(seed) | 1;
    trace_next_look(fresh);
    return fresh;
}

void trace_end(trace *ended) {
    free(ended);
}

void trace_next_look(trace *one) {
    one->chance ^= one->chance << 13;
    one->chance ^= one->chance >> 7;
    one->chance ^= one->chance << 17;
    /* Not every 64th: clients that go round in circles would show always the same keys. */
    one->until_look = 1 + (uint32_t)(one->chance % (2 * TRACE_HOT_EVERY - 1));
}

void trace_put(trace *one, uint64_t hash, uint32_t size, uint32_t use) {
    if (one->count == TRACE_RING_ENTRIES) {
        one->dropped++;
        return;
    }
    trace_entry *at = &one->ring[(one->first + one->count) % TRACE_RING_ENTRIES];
    at->hash = hash;
    at->size = size;
    at->use = use;
    one->count++;
}

void trace_count(trace *one, uint64_t hash, const char *name, size_t size) {
    hot_name *least = one->hot;
    for (size_t i = 0; i < one->names; i++) {
        if (one->hot[i].hash == hash) {
            one->hot[i].count++;
            return;
        }
        if (one->hot[i].count < least->count) least = &one->hot[i];
    }
    if (one->names < TRACE_HOT_NAMES) {
        least = &one->hot[one->names++];
        least->count = 0;
    }
    least->hash = hash;
    least->over = least->count++;
    least->size = size;
    memcpy(least->name, name, size < TRACE_NAME_BYTES ? size : TRACE_NAME_BYTES);
}

size_t trace_take(trace *one, trace_entry *into, size_t most) {
    size_t taken = one->count < most ? one->count : most;
    for (size_t i = 0; i < taken; i++) into[i] = one->ring[(one->first + i) % TRACE_RING_ENTRIES];
    one->first = (one->first + taken) % TRACE_RING_ENTRIES;
    one->count -= taken;
    return taken;
}
