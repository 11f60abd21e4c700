/* Feeds inputs to words.c: each is a line of renames. Under libFuzzer as it is; with -DALONE a program that makes its own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

static unsigned long taken, renamed;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const word_table *table) {
    size_t found = 0;
    for (size_t i = 0; i < table->room; i++) {
        const word *one = &table->words[i];
        if (!one->flags) continue;
        found++;
        if (words_find(table, one->name, strlen(one->name)) != one) abort();
        if (one->flags & WORD_IS_NEW) {
            const word *old = words_find(table, one->old, strlen(one->old));
            if (!old || !(old->flags & WORD_IS_GONE) || strlen(one->name) > WORDS_LONGEST_NEW_NAME) abort();
            renamed++;
        }
    }
    if (found != table->count || 2 * table->count > table->room) abort();
}

/* In memory of its own and of its size, so that not a byte can be read beside it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);
    word_table table = {0};
    if (!text) return 0;
    memcpy(text, data, size);
    taken += words_read_renames(&table, text, size) == NULL;
    look(&table);
    words_find(&table, text, size);
    words_add(&table, text, size, WORD_WRITES);
    look(&table);
    words_free(&table);
    free(text);
    return 0;
}

#ifdef ALONE
int main(int count, char **words) {
    static const char letters[] = "abkBLOCKED019   \0\xff|-";
    unsigned long runs = count > 1 ? strtoul(words[1], NULL, 10) : 0, state = 88172645463325252UL;
    uint8_t text[1024];
    for (unsigned long run = 0; run < runs; run++) {
        size_t size = 0, spread = run % 4 ? 13 : sizeof(letters) - 1; /* most are names and spaces only */
        do {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text[size++] = (uint8_t)((state >> 30) % 5 ? letters[(state >> 16) % spread] : ' ');
        } while (size < sizeof(text) && (state >> 40) % (run % 50 ? 20 : 2000));
        LLVMFuzzerTestOneInput(text, size);
    }
    printf("%lu inputs, %lu taken, %lu renamed\n", runs, taken, renamed);
    return 0;
}
#endif
