/* Which parameters of engines clients may read and set with CONFIG. Plain C: no engine. Called by module.c and by tests. */
#ifndef CACHEFLEET_NAMES_H
#define CACHEFLEET_NAMES_H

#include <stddef.h>

enum { CONFIG_LONGEST_PATTERN = 256, CONFIG_MOST_NAMES = 256 };

/* The names that may be read, in the order of the alphabet and in lower case: count of them, and each. */
size_t config_count(void);
const char *config_name(size_t which);

/* Names in any case, whole. All that may be set may be read. */
int config_is_readable(const char *name, size_t size);
int config_is_settable(const char *name, size_t size);

/* Whether it is a pattern, so that CONFIG GET may name none, one or several by it. */
int config_is_pattern(const char *text, size_t size);

/* As engines match patterns, without regard to case: * ? [a-z] [^a-z] \x. name: in lower case. */
int config_matches(const char *pattern, size_t size, const char *name);

#endif
