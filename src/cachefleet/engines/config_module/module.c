/* The module that gives clients the harmless part of CONFIG: a command filter and two commands, for Valkey and Redis from 7.0.
 *
 * CONFIG itself stays withheld from clients. What is harmless of it, by names.c, the filter turns into a command of its own,
 * which rules of users (ACL) give or withhold as any other; all else stays as it is, and the engine refuses it:
 *
 *     CONFIG GET pattern...             is   CACHEFLEET.CONFIG-GET pattern...      every name is readable, or is a pattern
 *     CONFIG SET name value ...         is   CACHEFLEET.CONFIG-SET name value ...  every name is settable
 *
 * It knows nobody and asks for no rights: for anybody, it asks the engine for whole names of the lists in names.c and for nothing
 * else. So no other value passes through it, whoever calls it and in whatever way. */
#include "names.h"

#define NEEDED(F) \
    F(IsModuleNameBusy) F(SetModuleAttribs) F(SetModuleOptions) F(CreateCommand) F(RegisterCommandFilter) \
    F(CommandFilterArgsCount) F(CommandFilterArgGet) F(CommandFilterArgReplace) F(CommandFilterArgDelete) \
    F(CreateString) F(StringPtrLen) F(Call) F(CallReplyType) F(CallReplyLength) F(CallReplyArrayElement) \
    F(CallReplyStringPtr) F(FreeCallReply) F(ReplyWithMap) F(ReplyWithStringBuffer) F(ReplyWithCallReply) \
    F(ReplyWithError) F(WrongArity)
#include "engine.h"

#define MODULE "cachefleet-config" /* engines/replies.py */
#define GET_COMMAND "cachefleet.config-get" /* engines/access.py */
#define SET_COMMAND "cachefleet.config-set"
#define REFUSED "NOPERM this cache does not give clients parameters of that name"

enum { MOST_WORDS = 128 };                       /* of a command; more are left to the engine */

/* --- what is harmless --- */

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
    if (count < 3 || count > MOST_WORDS || !is_word(CommandFilterArgGet(command, 0), "config")) return;
    const engine_string *part = CommandFilterArgGet(command, 1);
    int gets = is_word(part, "get"), sets = is_word(part, "set") && count % 2 == 0;
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

static int load(engine_context *context, engine_string **words, int count) {
    static const char flags[] = "admin deny-script allow-loading allow-stale"; /* those of CONFIG */
    (void)words;
    if (count != 0 || engine_find_functions(context) != DONE || IsModuleNameBusy(MODULE)) return FAILED;
    SetModuleAttribs(context, MODULE, OUR_VERSION, API_VERSION);
    SetModuleOptions(context, HAS_NO_DATA);
    if (CreateCommand(context, GET_COMMAND, get, flags, 0, 0, 0) != DONE) return FAILED;
    if (CreateCommand(context, SET_COMMAND, set, flags, 0, 0, 0) != DONE) return FAILED;
    return RegisterCommandFilter(context, filter, NOT_FOR_OWN_CALLS) ? DONE : FAILED;
}

/* It cannot be unloaded: rules of users name its commands, which would be of no engine any more. */
ENGINE_MODULE(load)
