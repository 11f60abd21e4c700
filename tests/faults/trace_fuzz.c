/* Feeds inputs to commands.c and trace.c: each is a command's words, one after the other. Under libFuzzer as it is; with -DALONE a
 * program that makes its own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "trace.h"

static trace *kept;
static unsigned long known, entries;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of its own and of its size, so that not a byte can be read beside it. */
static void use(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);
    if (!text) return;
    memcpy(text, data, size);
    const known_command *command = command_named(text, size);
    if (command) {
        known++;
        if (strlen(command->name) != size || command->step < 0 || command->step > 2) abort();
        if (command->step && !may_have_more_keys(*text)) abort();
    }
    uint64_t hash = trace_hash(kept, text, size);
    if (trace_looks(kept)) trace_next_look(kept);
    trace_count(kept, hash, text, size);
    if (trace_samples(kept, hash)) trace_put(kept, hash, (uint32_t)size, KEY_READ);
    free(text);
}

static void look(void) {
    static trace_entry taken[1000];
    size_t before = kept->count, count = trace_take(kept, taken, 1000);
    if (before > TRACE_RING_ENTRIES || kept->count != before - count || kept->names > TRACE_HOT_NAMES) abort();
    for (size_t i = 0; i < count; i++)
        if (!trace_samples(kept, taken[i].hash) || taken[i].use != KEY_READ) abort();
    for (size_t i = 0; i < kept->names; i++)
        if (kept->hot[i].count <= kept->hot[i].over) abort();
    if (kept->until_look == 0 || kept->until_look >= 2 * TRACE_HOT_EVERY) abort();
    entries += count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!kept) kept = trace_begin(1u << (TRACE_HASH_BITS - 1), 7);
    if (!kept) return 0;
    size_t begin = 0;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && data[i] != ' ') continue;
        use(data + begin, i - begin);
        begin = i + 1;
    }
    if (size % 7 == 0) look();
    return 0;
}

#ifdef ALONE
int main(int count, char **words) {
    static const char *const some[] = {"get", "MGET", "mSet", "del", "zscore", "append", "hget", "eval"};
    unsigned long runs = count > 1 ? strtoul(words[1], NULL, 10) : 0, state = 88172645463325252UL;
    uint8_t text[600];
    for (unsigned long run = 0; run < runs; run++) {
        size_t size = 0;
        do {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (!size && state % 2) {
                const char *name = some[(state >> 8) % (sizeof(some) / sizeof(*some))];
                size = strlen(name);
                memcpy(text, name, size);
                text[size++] = ' ';
            } else {
                text[size++] = state % 5 ? (uint8_t)(state >> 16) : ' ';
            }
        } while (size < sizeof(text) && (state >> 40) % 90);
        LLVMFuzzerTestOneInput(text, size);
    }
    look();
    if (kept) trace_end(kept);
    printf("%lu inputs, %lu commands known, %lu entries\n", runs, known, entries);
    return 0;
}
#endif
