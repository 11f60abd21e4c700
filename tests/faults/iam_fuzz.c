/* Throws altered rules and tokens at the checker: an input is rules, a zero byte, and a token of the user anna.
 *
 * With libFuzzer it is called with what that finds. Alone (-DALONE) it alters one file's content itself, in a way that is the
 * same every time: fuzz FILE COUNT. Each part is copied to memory of its very size, so that a sanitizer sees a step beyond. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token.h"

#define NOW_S 1795401000

static long right, read_rules;

static char *copied(const uint8_t *from, size_t size) {
    char *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size > 0) memcpy(copy, from, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    size_t rules_size = end ? (size_t)(end - data) : size;
    size_t token_size = end ? size - rules_size - 1 : 0;
    const char *why = NULL;
    char *text = copied(data, rules_size), *token = copied(end ? end + 1 : data, token_size);
    iam_rules *rules = iam_rules_read(text, rules_size, &why);
    free(text);
    if (!rules && !why) abort();
    if (rules) read_rules++;
    iam_verdict verdict = iam_check(rules, "anna", 4, token, token_size, NOW_S);
    if (!rules && verdict != IAM_NO_IAM_USER) abort();
    if (verdict == IAM_RIGHT) right++;
    if (strlen(iam_in_words(verdict)) == 0) abort();
    iam_rules_free(rules);
    free(token);
    return 0;
}

#ifdef ALONE
static uint64_t state = 88172645463325252ULL;

static size_t below(size_t limit) { /* xorshift */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % limit);
}

int main(int count, char **words) {
    static uint8_t seed[1 << 16], input[1 << 16];
    FILE *file = count == 3 ? fopen(words[1], "rb") : NULL;
    if (!file) return 2;
    size_t seed_size = fread(seed, 1, sizeof(seed) / 2, file);
    fclose(file);
    long inputs = atol(words[2]);
    for (long i = 0; i < inputs; i++) {
        size_t size = seed_size;
        memcpy(input, seed, size);
        for (size_t change = i == 0 ? 0 : 1 + below(4); change > 0 && size > 1; change--) {
            size_t at = below(size), length = 1 + below(16);
            if (length > size - at) length = size - at;
            switch (below(5)) {
            case 0: input[at] = (uint8_t)below(256); break;
            case 1: input[at] = (uint8_t)"\0\n =&%/?,-*~0AfFT"[below(17)]; break;
            case 2: memmove(input + at, input + at + length, size - at - length); size -= length; break;
            case 3: memmove(input + at + length, input + at, size - at); size += length; break;
            default: size = at + 1; break;
            }
        }
        LLVMFuzzerTestOneInput(input, size);
    }
    printf("%ld inputs, %ld right, %ld rules read\n", inputs, right, read_rules);
    return 0;
}
#endif
