/* The module that gives clients the harmless part of CONFIG: a command filter and two commands, for Valkey and Redis from 7.0.
 *
 * CONFIG itself stays withheld from clients. What is harmless of it, by names.c, the filter turns into a command of its own,
 * which rules of users (ACL) give or withhold as any other; all else stays as it is, and the engine refuses it:
 *
 *     CONFIG GET pattern...             is   CACHEFLEET.CONFIG-GET pattern...      every name is readable, or is a pattern
 *     CONFIG SET name value ...         is   CACHEFLEET.CONFIG-SET name value ...  every name is settable
 *
 * It knows nobody and asks for no rights: for anybody, it asks the engine for whole names of the lists in names.c and for nothing
 * else. So no other value passes through it, whoever calls it and in whatever way.
 *
 * The engine's interface is declared here as far as it is used; functions are found by their names at the start. */
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "names.h"

#define MODULE "cachefleet-config" /* engines/replies.py */
#define GET_COMMAND "cachefleet.config-get" /* engines/access.py */
#define SET_COMMAND "cachefleet.config-set"
#define REFUSED "NOPERM this cache does not give clients parameters of that name"

enum { DONE = 0, FAILED = 1 };                   /* what functions of the interface return */
enum { REPLY_ARRAY = 3 };                        /* of CallReplyType */
enum { NOT_FOR_OWN_CALLS = 1 << 0 };             /* of RegisterCommandFilter */
/* It has no data: nothing that engines do with data can disturb it, and without these they would refuse to. */
enum { HANDLES_READ_ERRORS = 1 << 0, HANDLES_ASYNC_LOADS = 1 << 2, HANDLES_SLOT_MIGRATION = 1 << 5 };
enum { API_VERSION = 1, OUR_VERSION = 1 };
enum { MOST_WORDS = 128 };                       /* of a command; more are left to the engine */

typedef struct engine_context engine_context;
typedef struct engine_string engine_string;
typedef struct engine_reply engine_reply;
typedef struct engine_filter engine_filter;
typedef struct filtered_command filtered_command;
typedef int (*command_function)(engine_context *context, engine_string **words, int count);
typedef void (*filter_function)(filtered_command *command);

static int (*IsModuleNameBusy)(const char *name);
static void (*SetModuleAttribs)(engine_context *context, const char *name, int version, int api_version);
static void (*SetModuleOptions)(engine_context *context, int options);
static int (*CreateCommand)(engine_context *context, const char *name, command_function function, const char *flags,
                            int first_key, int last_key, int key_step);
static engine_filter *(*RegisterCommandFilter)(engine_context *context, filter_function function, int flags);
static int (*CommandFilterArgsCount)(filtered_command *command);
static const engine_string *(*CommandFilterArgGet)(filtered_command *command, int position);
static int (*CommandFilterArgReplace)(filtered_command *command, int position, engine_string *word);
static int (*CommandFilterArgDelete)(filtered_command *command, int position);
static engine_string *(*CreateString)(engine_context *context, const char *text, size_t size);
static const char *(*StringPtrLen)(const engine_string *string, size_t *size);
static engine_reply *(*Call)(engine_context *context, const char *command, const char *format, ...);
static int (*CallReplyType)(engine_reply *reply);
static size_t (*CallReplyLength)(engine_reply *reply);
static engine_reply *(*CallReplyArrayElement)(engine_reply *reply, size_t which);
static const char *(*CallReplyStringPtr)(engine_reply *reply, size_t *size);
static void (*FreeCallReply)(engine_reply *reply);
static int (*ReplyWithMap)(engine_context *context, long count);
static int (*ReplyWithStringBuffer)(engine_context *context, const char *text, size_t size);
static int (*ReplyWithCallReply)(engine_context *context, engine_reply *reply);
static int (*ReplyWithError)(engine_context *context, const char *text);
static int (*WrongArity)(engine_context *context);

static const struct {
    const char *name;
    void *place;
} wanted[] = {
    {"IsModuleNameBusy", &IsModuleNameBusy},
    {"SetModuleAttribs", &SetModuleAttribs},
    {"SetModuleOptions", &SetModuleOptions},
    {"CreateCommand", &CreateCommand},
    {"RegisterCommandFilter", &RegisterCommandFilter},
    {"CommandFilterArgsCount", &CommandFilterArgsCount},
    {"CommandFilterArgGet", &CommandFilterArgGet},
    {"CommandFilterArgReplace", &CommandFilterArgReplace},
    {"CommandFilterArgDelete", &CommandFilterArgDelete},
    {"CreateString", &CreateString},
    {"StringPtrLen", &StringPtrLen},
    {"Call", &Call},
    {"CallReplyType", &CallReplyType},
    {"CallReplyLength", &CallReplyLength},
    {"CallReplyArrayElement", &CallReplyArrayElement},
    {"CallReplyStringPtr", &CallReplyStringPtr},
    {"FreeCallReply", &FreeCallReply},
    {"ReplyWithMap", &ReplyWithMap},
    {"ReplyWithStringBuffer", &ReplyWithStringBuffer},
    {"ReplyWithCallReply", &ReplyWithCallReply},
    {"ReplyWithError", &ReplyWithError},
    {"WrongArity", &WrongArity},
};

/* --- what is harmless --- */

static int is_word(const engine_string *string, const char *word, size_t word_size) {
    size_t size = 0;
    const char *text = StringPtrLen(string, &size);
    return size == word_size && strncasecmp(text, word, size) == 0;
}

static int may_read(const engine_string *string) {
    size_t size = 0;
    const char *text = StringPtrLen(string, &size);
    return size <= CONFIG_LONGEST_PATTERN && (config_is_pattern(text, size) || config_is_readable(text, size));
}

static int may_set(const engine_string *string) {
    size_t size = 0;
    const char *text = StringPtrLen(string, &size);
    return config_is_settable(text, size);
}

/* --- the filter: runs for every command of every client, so the first lines decide for nearly all --- */

static void filter(filtered_command *command) {
    int count = CommandFilterArgsCount(command), every = 1;
    if (count < 3 || count > MOST_WORDS || !is_word(CommandFilterArgGet(command, 0), "config", 6)) return;
    const engine_string *part = CommandFilterArgGet(command, 1);
    int gets = is_word(part, "get", 3), sets = is_word(part, "set", 3) && count % 2 == 0;
    if (!gets && !sets) return;
    for (int i = 2; i < count && every; i += gets ? 1 : 2) {
        const engine_string *name = CommandFilterArgGet(command, i);
        every = gets ? may_read(name) : may_set(name);
    }
    if (!every) return;
    const char *ours = gets ? GET_COMMAND : SET_COMMAND;
    CommandFilterArgReplace(command, 0, CreateString(NULL, ours, strlen(ours)));
    CommandFilterArgDelete(command, 1);
}

/* --- the commands, which clients may also call by their own names --- */

static int is_named(engine_string **patterns, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        size_t size = 0;
        const char *pattern = StringPtrLen(patterns[i], &size);
        if (config_matches(pattern, size, name)) return 1;
    }
    return 0;
}

/* Its answer has a name and a value, or nothing where this version has no parameter of that name; then it is NULL. */
static engine_reply *ask(engine_context *context, const char *name) {
    engine_reply *reply = Call(context, "CONFIG", "cc", "GET", name);
    if (reply && (CallReplyType(reply) != REPLY_ARRAY || CallReplyLength(reply) != 2)) {
        FreeCallReply(reply);
        reply = NULL;
    }
    return reply;
}

static int get(engine_context *context, engine_string **words, int count) {
    engine_reply *answers[CONFIG_MOST_NAMES];
    long found = 0;
    if (count < 2) return WrongArity(context);
    if (count > MOST_WORDS) return ReplyWithError(context, "ERR too many names for one command");
    for (int i = 1; i < count; i++)
        if (!may_read(words[i])) return ReplyWithError(context, REFUSED);
    for (size_t i = 0; i < config_count(); i++) {
        engine_reply *answer = is_named(words + 1, count - 1, config_name(i)) ? ask(context, config_name(i)) : NULL;
        if (answer) answers[found++] = answer;
    }
    ReplyWithMap(context, found);
    for (long i = 0; i < found; i++) {
        for (size_t which = 0; which < 2; which++) {
            size_t size = 0;
            const char *text = CallReplyStringPtr(CallReplyArrayElement(answers[i], which), &size);
            ReplyWithStringBuffer(context, text ? text : "", text ? size : 0);
        }
        FreeCallReply(answers[i]);
    }
    return DONE;
}

static int set(engine_context *context, engine_string **words, int count) {
    if (count < 3 || count % 2 == 0) return WrongArity(context);
    if (count > MOST_WORDS) return ReplyWithError(context, "ERR too many names for one command");
    for (int i = 1; i < count; i += 2)
        if (!may_set(words[i])) return ReplyWithError(context, REFUSED);
    engine_reply *reply = Call(context, "CONFIG", "cv", "SET", words + 1, (size_t)(count - 1));
    if (!reply) return ReplyWithError(context, "ERR the engine did not take it");
    ReplyWithCallReply(context, reply);
    FreeCallReply(reply);
    return DONE;
}

/* --- start --- */

static int find_functions(engine_context *context) {
    /* The first word of a context is the function that gives all others; Valkey knows the names of Redis, too. */
    int (*find)(const char *name, void *place);
    memcpy(&find, context, sizeof(find));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        char name[64] = "RedisModule_";
        strncat(name, wanted[i].name, sizeof(name) - strlen(name) - 1);
        if (find(name, wanted[i].place) != DONE) return FAILED;
    }
    return DONE;
}

/* Both names: which one an engine looks for depends on its kind and age. */
__attribute__((visibility("default"))) int RedisModule_OnLoad(engine_context *context, engine_string **words, int count) {
    static const char flags[] = "admin deny-script allow-loading allow-stale"; /* those of CONFIG */
    (void)words;
    if (count != 0 || find_functions(context) != DONE || IsModuleNameBusy(MODULE)) return FAILED;
    SetModuleAttribs(context, MODULE, OUR_VERSION, API_VERSION);
    SetModuleOptions(context, HANDLES_READ_ERRORS | HANDLES_ASYNC_LOADS | HANDLES_SLOT_MIGRATION);
    if (CreateCommand(context, GET_COMMAND, get, flags, 0, 0, 0) != DONE) return FAILED;
    if (CreateCommand(context, SET_COMMAND, set, flags, 0, 0, 0) != DONE) return FAILED;
    return RegisterCommandFilter(context, filter, NOT_FOR_OWN_CALLS) ? DONE : FAILED;
}

__attribute__((visibility("default"))) int ValkeyModule_OnLoad(engine_context *context, engine_string **words, int count) {
    return RedisModule_OnLoad(context, words, count);
}

/* Rules of users name its commands: they would be of no engine any more. */
__attribute__((visibility("default"))) int RedisModule_OnUnload(engine_context *context) {
    (void)context;
    return FAILED;
}

__attribute__((visibility("default"))) int ValkeyModule_OnUnload(engine_context *context) {
    return RedisModule_OnUnload(context);
}
