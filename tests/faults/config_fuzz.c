/* Feeds inputs to names.c: each is a pattern and a name. Under libFuzzer as it is; with -DALONE a program that makes its own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"

static unsigned long chosen;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of its own and of its size, so that not a byte can be read beside it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);
    if (!text) return 0;
    memcpy(text, data, size);
    int readable = config_is_readable(text, size), pattern = config_is_pattern(text, size);
    if (readable && pattern) abort();
    if (config_is_settable(text, size) && !readable) abort();
    unsigned long found = 0;
    for (size_t i = 0; i < config_count(); i++) found += config_matches(text, size, config_name(i)) != 0;
    if (!pattern && found != (unsigned long)readable) abort(); /* a plain name chooses itself or nothing */
    chosen += found;
    free(text);
    return 0;
}

#ifdef ALONE
int main(int count, char **words) {
    static const char letters[] = "**??[[]]^^\\\\--aaeemorsxyMS\0\xff";
    unsigned long runs = count > 1 ? strtoul(words[1], NULL, 10) : 0, state = 88172645463325252UL;
    uint8_t text[64];
    for (unsigned long run = 0; run < runs; run++) {
        size_t size = 0;
        do {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if (!size && state % 4 == 0) { /* one that begins as a name does */
                const char *name = config_name((state >> 8) % config_count());
                size = strlen(name) < 40 ? strlen(name) : 40;
                memcpy(text, name, size);
            } else {
                text[size++] = (uint8_t)letters[(state >> 16) % (sizeof(letters) - 1)];
            }
        } while (size < sizeof(text) && (state >> 40) % 12);
        LLVMFuzzerTestOneInput(text, size);
    }
    printf("%lu inputs, %lu chosen\n", runs, chosen);
    return 0;
}
#endif
