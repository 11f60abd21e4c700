/* Which words of a command are keys, and what it does with them. */
#ifndef CACHEFLEET_COMMANDS_H
#define CACHEFLEET_COMMANDS_H

#include <stddef.h>

typedef enum { KEY_READ = 0, KEY_CHANGED = 1, KEY_STORED = 2, KEY_ERASED = 3 } key_use; /* stored: the whole value is in the command */

typedef struct {
    const char *name; /* lower case */
    key_use use;
    int step; /* 0: the first word is the only key; 1: every word is one; 2: every other word is one */
} known_command;

/* NULL for one whose keys are not traced. */
const known_command *command_named(const char *name, size_t size);

/* Whether a command whose name begins so may have several keys: cheap, for every command of every client. */
int may_have_more_keys(char first);

#endif
