/* See words.h. */
#include "words.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_ROOM = 64 };

static unsigned char lower(char letter) {
    return (unsigned char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
}

/* Where the word is, or would be: there is always room for one more. */
static word *place_of(const word_table *table, const char *name, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ lower(name[i])) * 16777619u;
    for (size_t at = hash & (table->room - 1);; at = (at + 1) & (table->room - 1)) {
        word *one = &table->words[at];
        if (!one->flags || (strncasecmp(one->name, name, size) == 0 && one->name[size] == 0)) return one;
    }
}

static int can_be_kept(const char *name, size_t size) {
    return size > 0 && size <= WORDS_LONGEST_NAME && memchr(name, 0, size) == NULL;
}

const word *words_find(const word_table *table, const char *name, size_t size) {
    if (!size || !(table->sizes[*name & 31] >> (size & 63) & 1) || !can_be_kept(name, size)) return NULL;
    const word *found = place_of(table, name, size);
    return found->flags ? found : NULL;
}

static int grow(word_table *table) {
    word_table larger = *table;
    larger.room = table->room ? 2 * table->room : FIRST_ROOM;
    larger.words = calloc(larger.room, sizeof(word));
    if (!larger.words) return 0;
    for (size_t i = 0; i < table->room; i++)
        if (table->words[i].flags) *place_of(&larger, table->words[i].name, strlen(table->words[i].name)) = table->words[i];
    free(table->words);
    *table = larger;
    return 1;
}

static word *add(word_table *table, const char *name, size_t size, int flags) {
    if (!can_be_kept(name, size)) return NULL;
    if (2 * (table->count + 1) > table->room && !grow(table)) return NULL;
    word *one = place_of(table, name, size);
    if (!one->flags) {
        for (size_t i = 0; i < size; i++) one->name[i] = (char)lower(name[i]);
        table->count++;
        table->sizes[*name & 31] |= (uint64_t)1 << (size & 63);
    }
    one->flags |= flags;
    return one;
}

int words_add(word_table *table, const char *name, size_t size, int flags) {
    return flags != 0 && add(table, name, size, flags) != NULL;
}

void words_free(word_table *table) {
    free(table->words);
    memset(table, 0, sizeof(*table));
}

/* --- renames --- */

typedef struct {
    const char *text;
    size_t size;
} piece;

/* The next word of a line, of no size at its end. */
static piece next(piece *rest) {
    while (rest->size && *rest->text == ' ') rest->text++, rest->size--;
    piece found = {rest->text, 0};
    while (rest->size && *rest->text != ' ') rest->text++, rest->size--, found.size++;
    return found;
}

static int is_a_new_name(piece name) {
    for (size_t i = 0; i < name.size; i++) {
        unsigned char letter = lower(name.text[i]);
        if (!((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9'))) return 0;
    }
    return name.size > 0 && name.size <= WORDS_LONGEST_NEW_NAME;
}

static const char *rename_one(word_table *table, piece old, piece new) {
    const word *known = words_find(table, new.text, new.size);
    if (known && known->flags & WORD_IS_NEW) return "two commands have the same new name";
    known = words_find(table, old.text, old.size);
    if (known && known->flags & WORD_IS_GONE) return "a command is renamed twice";
    word *one = add(table, new.text, new.size, WORD_IS_NEW);
    if (!one) return "there is no memory";
    for (size_t i = 0; i < old.size; i++) one->old[i] = (char)lower(old.text[i]);
    return add(table, old.text, old.size, WORD_IS_GONE) ? NULL : "there is no memory";
}

const char *words_read_renames(word_table *table, const char *text, size_t size) {
    piece rest = {text, size};
    for (piece old = next(&rest); old.size; old = next(&rest)) {
        piece new = next(&rest);
        if (!new.size) return "the last command has no new name";
        if (!can_be_kept(old.text, old.size)) return "no command is called that";
        if (!is_a_new_name(new)) return "a new name has 1 to 20 letters and digits";
        if (new.size == 7 && strncasecmp(new.text, "blocked", 7) == 0) continue;
        const char *wrong = rename_one(table, old, new);
        if (wrong) return wrong;
    }
    return NULL;
}
