/* The module for two parameters of ElastiCache that engines do not have, about what clients send: Valkey, and Redis from 7.0.
 *
 *     CONFIG SET cachefleet-clients.rename-commands "old new old new"
 *     CONFIG SET cachefleet-clients.close-on-replica-write yes|no
 *
 * Both are done by a filter, which is there only while it has something to do: on a primary without renamed commands there is none.
 * It is for clients alone. Left as they are: what the service and nodes send (users whose names begin as ours do), the stream
 * of a primary, scripts and functions (they have the engine's names), and other modules.
 *
 * Renamed: the new name becomes the old one before the engine looks it up, so that rules of users (ACL), keys and logs are about the
 * old name; the old one becomes a name that no engine has.
 *
 * Closed: a command that writes, sent to a replica without cluster mode (with it, clients are redirected), becomes a command of ours,
 * which answers nothing and has the connection closed. Inside of MULTI the engine refuses it, and then the connection is closed.
 *
 * Redis before 7.2 does not tell a filter who sends a command, so there is none: nothing is renamed, and a replica looks every 100 ms
 * whether it has refused a write. Then it closes those clients whose last command was one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

#define NEEDED(F) \
    F(IsModuleNameBusy) F(SetModuleAttribs) F(SetModuleOptions) F(CreateCommand) F(RegisterStringConfig) \
    F(RegisterBoolConfig) F(LoadConfigs) F(GetDetachedThreadSafeContext) F(GetContextFlags) F(SubscribeToServerEvent) \
    F(RegisterCommandFilter) F(UnregisterCommandFilter) F(CommandFilterArgsCount) F(CommandFilterArgGet) \
    F(CommandFilterArgReplace) F(GetClientId) F(GetClientUserNameById) F(GetClientInfoById) \
    F(DeauthenticateAndCloseClient) F(CreateTimer) F(CreateString) F(FreeString) F(StringPtrLen) F(Call) \
    F(CallReplyType) F(CallReplyLength) F(CallReplyArrayElement) F(CallReplyStringPtr) F(FreeCallReply) \
    F(ReplyWithError) F(GetServerInfo) F(ServerInfoGetFieldC) F(FreeServerInfo)
#include "engine.h"

#define MODULE "cachefleet-clients" /* engines/clients_parameters.py */
#define RENAMES "rename-commands"
#define CLOSES "close-on-replica-write"
#define CLOSE_COMMAND "cachefleet.close"
#define OURS "cachefleet" /* engines/access.py; what users of clients may not begin with */

enum { AT_ONCE_MS = 0, LOOK_EVERY_MS = 100, LONGEST_COUNT = 64 };

static const engine_event ROLE_CHANGED = {0, 1};

static CommandFilterGetClientId_type *CommandFilterGetClientId; /* NULL in Redis before 7.2 */
static engine_context *own;      /* ours for as long as the engine runs */
static engine_string *renames_text; /* as it was set */
static word_table renames, writes;
static int closes, closes_now, is_replica, is_cluster; /* closes_now: here, and as things are */
static engine_filter *filter;
static int looks;                    /* where there can be no filter: a timer runs */
static char refused[LONGEST_COUNT]; /* what the engine told at its last look of writes that it has refused */
static uint64_t writer;       /* the client whose command last became CLOSE_COMMAND */
static uint64_t primary_link; /* the client as which the primary's stream last came: ids are never used again */

/* --- who sends it --- */

/* The stream of a primary, what scripts call and what modules call have no user, or no connection. */
static int is_client(filtered_command *command, uint64_t *id) {
    *id = CommandFilterGetClientId(command);
    if (*id == primary_link) return 0;
    engine_string *name = GetClientUserNameById(own, *id);
    if (!name) {
        if (is_replica) primary_link = *id;
        return 0;
    }
    size_t size = 0;
    const char *text = StringPtrLen(name, &size);
    int is_ours = size >= strlen(OURS) && memcmp(text, OURS, strlen(OURS)) == 0;
    FreeString(NULL, name);
    return !is_ours;
}

/* --- the filter: runs for every command of every client, while there is one --- */

static void end_connection(engine_context *context, void *id) {
    DeauthenticateAndCloseClient(context, (uint64_t)(uintptr_t)id);
}

static void replace_name(filtered_command *command, const char *name, size_t size) {
    CommandFilterArgReplace(command, 0, CreateString(NULL, name, size));
}

/* Whether the command writes: as a whole, or this part of it. */
static int does_write(filtered_command *command, const char *name, size_t size) {
    const word *found = words_find(&writes, name, size);
    if (found && found->flags & WORD_WRITES) return 1;
    if (!found || CommandFilterArgsCount(command) < 2) return 0;
    size_t part_size = 0;
    const char *part = StringPtrLen(CommandFilterArgGet(command, 1), &part_size);
    char both[WORDS_LONGEST_NAME];
    if (size + 1 + part_size > sizeof(both)) return 0;
    memcpy(both, name, size);
    both[size] = '|';
    memcpy(both + size + 1, part, part_size);
    found = words_find(&writes, both, size + 1 + part_size);
    return found && found->flags & WORD_WRITES;
}

static void close_writer(filtered_command *command, uint64_t id) {
    client_info info = {.version = 1};
    if (GetClientInfoById(&info, id) != DONE) return;
    if (info.flags & IN_MULTI) {
        CreateTimer(own, AT_ONCE_MS, end_connection, (void *)(uintptr_t)id);
    } else {
        writer = id;
        replace_name(command, CLOSE_COMMAND, strlen(CLOSE_COMMAND));
    }
}

static void look(filtered_command *command) {
    size_t size = 0;
    uint64_t id = 0;
    const char *name = StringPtrLen(CommandFilterArgGet(command, 0), &size);
    const word *renamed = renames.count ? words_find(&renames, name, size) : NULL;
    if (renamed && is_client(command, &id)) {
        if (!(renamed->flags & WORD_IS_NEW)) {
            char gone[WORDS_LONGEST_NAME + 1];
            memcpy(gone, name, size);
            gone[size] = ' '; /* no command has a space in its name */
            replace_name(command, gone, size + 1);
            return;
        }
        name = renamed->old;
        size = strlen(renamed->old);
        replace_name(command, name, size);
    }
    if (closes_now && does_write(command, name, size) && is_client(command, &id)) close_writer(command, id);
}

/* The command that a write becomes. Nothing more of this client is read once it ran, and nothing is answered; but the engine would
 * close it only after an answer, so that is done as soon as the engine does not work for it any more.
 *
 * Whoever is closed is the default user until then: never in a transaction, whose other commands would be run as that. */
static int close_caller(engine_context *context, engine_string **words, int count) {
    uint64_t id = GetClientId(context);
    (void)words;
    (void)count;
    if (id != writer || GetContextFlags(context) & INSIDE_EXEC) return ReplyWithError(context, "ERR it is not to be called");
    writer = 0;
    DeauthenticateAndCloseClient(context, id);
    CreateTimer(context, AT_ONCE_MS, end_connection, (void *)(uintptr_t)id);
    return DONE;
}

/* --- where there can be no filter --- */

/* The value of a field in a line of CLIENT LIST, "name=value name=value": of no size when it is not there. */
static const char *field(const char *line, size_t size, const char *name, size_t *value_size) {
    size_t name_size = strlen(name);
    *value_size = 0;
    for (size_t at = 0; at + name_size < size; at++) {
        if ((at && line[at - 1] != ' ') || memcmp(line + at, name, name_size) != 0 || line[at + name_size] != '=') continue;
        const char *value = line + at + name_size + 1;
        while (at + name_size + 1 + *value_size < size && value[*value_size] != ' ') ++*value_size;
        return value;
    }
    return line;
}

/* Links between nodes, and the service's own, are left alone. */
static void close_if_writer(const char *line, size_t size) {
    size_t command_size, user_size, flags_size, id_size;
    const char *command = field(line, size, "cmd", &command_size), *user = field(line, size, "user", &user_size);
    const char *flags = field(line, size, "flags", &flags_size), *id = field(line, size, "id", &id_size);
    const word *found = words_find(&writes, command, command_size);
    if (!found || !(found->flags & WORD_WRITES) || id_size == 0) return;
    if (memchr(flags, 'M', flags_size) || memchr(flags, 'S', flags_size)) return;
    if (user_size >= strlen(OURS) && memcmp(user, OURS, strlen(OURS)) == 0) return;
    DeauthenticateAndCloseClient(own, strtoull(id, NULL, 10));
}

static void close_writers(engine_context *context) {
    engine_reply *reply = Call(context, "CLIENT", "c", "LIST");
    size_t size = 0;
    const char *rest = reply && CallReplyType(reply) == REPLY_STRING ? CallReplyStringPtr(reply, &size) : NULL;
    while (rest && size) {
        const char *end = memchr(rest, '\n', size);
        size_t line_size = end ? (size_t)(end - rest) : size, taken = end ? line_size + 1 : line_size;
        close_if_writer(rest, line_size);
        rest += taken;
        size -= taken;
    }
    if (reply) FreeCallReply(reply);
}

/* How many writes it has refused, as it tells it. */
static void read_refused(engine_context *context, char *told) {
    engine_info *info = GetServerInfo(context, "errorstats");
    const char *count = info ? ServerInfoGetFieldC(info, "errorstat_READONLY") : NULL;
    snprintf(told, LONGEST_COUNT, "%s", count ? count : "");
    if (info) FreeServerInfo(context, info);
}

static void look_again(engine_context *context, void *data) {
    char told[LONGEST_COUNT];
    (void)data;
    looks = closes_now;
    if (!looks) return;
    read_refused(context, told);
    if (strcmp(told, refused) != 0) close_writers(context);
    memcpy(refused, told, sizeof(refused));
    CreateTimer(context, LOOK_EVERY_MS, look_again, NULL);
}

/* --- when it does something --- */

static void settle(void) {
    closes_now = closes && is_replica && !is_cluster;
    if (!CommandFilterGetClientId) {
        if (closes_now && !looks) {
            looks = 1;
            read_refused(own, refused);
            CreateTimer(own, LOOK_EVERY_MS, look_again, NULL);
        }
        return;
    }
    int needed = closes_now || renames.count;
    if (needed && !filter) filter = RegisterCommandFilter(own, look, NOT_FOR_OWN_CALLS);
    if (!needed && filter) {
        UnregisterCommandFilter(own, filter);
        filter = NULL;
    }
}

static void change_role(engine_context *context, engine_event event, uint64_t part, void *data) {
    (void)context;
    (void)event;
    (void)data;
    is_replica = part == BECAME_REPLICA;
    settle();
}

/* A container, as XGROUP, is there as well, with no flag that says that all of it writes. */
static int learn_write(const char *name, size_t size) {
    const char *part = memchr(name, '|', size);
    if (part && !words_add(&writes, name, (size_t)(part - name), WORD_IS_NEW)) return 0;
    return words_add(&writes, name, size, WORD_WRITES);
}

static int learn_writes(engine_context *context) {
    engine_reply *reply = Call(context, "COMMAND", "cccc", "LIST", "FILTERBY", "ACLCAT", "write");
    int learned = reply && CallReplyType(reply) == REPLY_ARRAY && CallReplyLength(reply) > 0;
    for (size_t i = 0; learned && i < CallReplyLength(reply); i++) {
        size_t size = 0;
        const char *name = CallReplyStringPtr(CallReplyArrayElement(reply, i), &size);
        learned = name && learn_write(name, size);
    }
    if (reply) FreeCallReply(reply);
    return learned;
}

/* --- parameters --- */

static engine_string *told_renames(const char *name, void *data) {
    (void)name;
    (void)data;
    return renames_text;
}

static int take_renames(const char *name, engine_string *text, void *data, engine_string **wrong) {
    size_t size = 0;
    const char *line = StringPtrLen(text, &size);
    word_table fresh = {0};
    const char *why = words_read_renames(&fresh, line, size);
    (void)name;
    (void)data;
    if (why) {
        words_free(&fresh);
        *wrong = CreateString(NULL, why, strlen(why));
        return FAILED;
    }
    words_free(&renames);
    renames = fresh;
    if (renames_text) FreeString(NULL, renames_text);
    renames_text = CreateString(NULL, line, size);
    settle();
    return DONE;
}

static int told_closes(const char *name, void *data) {
    (void)name;
    (void)data;
    return closes;
}

static int take_closes(const char *name, int value, void *data, engine_string **wrong) {
    (void)name;
    (void)data;
    (void)wrong;
    closes = value;
    settle();
    return DONE;
}

/* --- start --- */

/* "no-auth": whoever may send a write may have it closed; rules of users need not know of it. */
static int load(engine_context *context, engine_string **words, int count) {
    static const char flags[] = "deny-script no-monitor no-slowlog allow-loading allow-stale fast no-auth";
    (void)words;
    if (count != 0 || engine_find_functions(context) != DONE || IsModuleNameBusy(MODULE)) return FAILED;
    if (engine_find(context, "RedisModule_CommandFilterGetClientId", &CommandFilterGetClientId) != DONE)
        CommandFilterGetClientId = NULL;
    SetModuleAttribs(context, MODULE, OUR_VERSION, API_VERSION);
    SetModuleOptions(context, HAS_NO_DATA);
    own = GetDetachedThreadSafeContext(context);
    is_replica = (GetContextFlags(context) & IS_REPLICA) != 0;
    is_cluster = (GetContextFlags(context) & IS_CLUSTER) != 0;
    if (!learn_writes(context)) return FAILED;
    if (CreateCommand(context, CLOSE_COMMAND, close_caller, flags, 0, 0, 0) != DONE) return FAILED;
    if (SubscribeToServerEvent(context, ROLE_CHANGED, change_role) != DONE) return FAILED;
    if (CommandFilterGetClientId &&
        RegisterStringConfig(context, RENAMES, "", NO_FLAGS, told_renames, take_renames, NULL, NULL) != DONE)
        return FAILED;
    if (RegisterBoolConfig(context, CLOSES, 0, NO_FLAGS, told_closes, take_closes, NULL, NULL) != DONE) return FAILED;
    return LoadConfigs(context);
}

/* It cannot be unloaded: a filter and timers may be there. */
ENGINE_MODULE(load)
