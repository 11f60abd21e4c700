/* Names of commands as a table, and renames read from one line. Plain C: no engine. Called by module.c and by tests. */
#ifndef CACHEFLEET_WORDS_H
#define CACHEFLEET_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum { WORDS_LONGEST_NEW_NAME = 20, WORDS_LONGEST_NAME = 64 };

/* What is said of a command. */
enum { WORD_WRITES = 1 << 0, WORD_IS_GONE = 1 << 1, WORD_IS_NEW = 1 << 2 };

typedef struct {
    char name[WORDS_LONGEST_NAME + 1]; /* in lower case */
    char old[WORDS_LONGEST_NAME + 1];  /* of one that WORD_IS_NEW: what it stands for */
    int flags;
} word;

typedef struct {
    word *words; /* a hash table; its room is a power of two, or 0 */
    size_t room, count;
    uint64_t sizes[32]; /* by the first letter, of any case: which sizes its words have, so that most others are known at once */
} word_table;

/* The word of that name, in any case; NULL when there is none. */
const word *words_find(const word_table *table, const char *name, size_t size);

/* Add what is said of it. 0: there is no memory, or no such name can be kept. */
int words_add(word_table *table, const char *name, size_t size, int flags);

void words_free(word_table *table);

/* text: "old new old new"; those whose new name is "blocked" are left out: rules of users (ACL) take these away.
 * NULL when all went into the table, else what is wrong. */
const char *words_read_renames(word_table *table, const char *text, size_t size);

#endif
