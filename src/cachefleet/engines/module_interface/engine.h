/* The interface of engines for loadable modules, as far as ours use it, and how each of them begins. Of Valkey and Redis.
 *
 * A module says which functions it needs, in a list, and then includes this: exactly those are declared, as pointers that are found
 * by their names at the start. What is not on its list does not compile.
 *
 *     #define NEEDED(F) F(CreateCommand) F(StringPtrLen)
 *     #include "engine.h"
 *     static int load(engine_context *context, engine_string **words, int count) { ... engine_find_functions(context) ... }
 *     ENGINE_MODULE(load) */
#ifndef CACHEFLEET_ENGINE_H
#define CACHEFLEET_ENGINE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { DONE = 0, FAILED = 1 };                   /* what functions of the interface return */
enum { HANDLED = 0, NOT_HANDLED = 1 };           /* what an authentication callback returns */
enum { REPLY_STRING = 0, REPLY_ARRAY = 3 };      /* of CallReplyType */
enum { NOT_FOR_OWN_CALLS = 1 << 0 };             /* of RegisterCommandFilter */
enum { INSIDE_EXEC = 1 << 1, IS_REPLICA = 1 << 3, IS_CLUSTER = 1 << 5 }; /* of GetContextFlags */
enum { IN_MULTI = 1 << 5 };                      /* of client_info */
enum { BECAME_REPLICA = 1 };                     /* of the event ROLE_CHANGED */
enum { LOG_OF_AUTHENTICATION = 0 };              /* of ACLAddLogEntryByUserName */
/* For SetModuleOptions. Nothing that engines do with data can disturb a module without data, and unless told so they refuse to:
 * it handles read errors (1 << 0), asynchronous loads (1 << 2) and slots that move (1 << 5). */
enum { HAS_NO_DATA = 1 << 0 | 1 << 2 | 1 << 5 };
enum { API_VERSION = 1, OUR_VERSION = 1, NO_FLAGS = 0 };

typedef struct engine_context engine_context;
typedef struct engine_string engine_string;
typedef struct engine_reply engine_reply;
typedef struct engine_filter engine_filter;
typedef struct engine_info engine_info;
typedef struct filtered_command filtered_command;
typedef struct {
    uint64_t id, version;
} engine_event;
typedef struct {
    uint64_t version, flags, id;
    char address[46];
    uint16_t port, database;
} client_info;

typedef int (*command_function)(engine_context *context, engine_string **words, int count);
typedef void (*filter_function)(filtered_command *command);
typedef void (*timer_function)(engine_context *context, void *data);
typedef void (*event_function)(engine_context *context, engine_event event, uint64_t part, void *data);
typedef void (*user_changed_function)(uint64_t client, void *data);
typedef int (*authentication_function)(engine_context *context, engine_string *user, engine_string *password,
                                       engine_string **error);
typedef engine_string *(*get_text)(const char *name, void *data);
typedef int (*set_text)(const char *name, engine_string *text, void *data, engine_string **wrong);
typedef int (*get_switch)(const char *name, void *data);
typedef int (*set_switch)(const char *name, int value, void *data, engine_string **wrong);
typedef int (*apply_function)(engine_context *context, void *data, engine_string **wrong);

/* --- every function that one of our modules needs --- */

typedef int IsModuleNameBusy_type(const char *name);
typedef void SetModuleAttribs_type(engine_context *context, const char *name, int version, int api_version);
typedef void SetModuleOptions_type(engine_context *context, int options);
typedef int CreateCommand_type(engine_context *context, const char *name, command_function function, const char *flags,
                               int first_key, int last_key, int key_step);
typedef int RegisterStringConfig_type(engine_context *context, const char *name, const char *initial, unsigned flags, get_text get,
                                      set_text set, apply_function apply, void *data);
typedef int RegisterBoolConfig_type(engine_context *context, const char *name, int initial, unsigned flags, get_switch get,
                                    set_switch set, apply_function apply, void *data);
typedef int LoadConfigs_type(engine_context *context);
typedef engine_context *GetDetachedThreadSafeContext_type(engine_context *context);
typedef int GetContextFlags_type(engine_context *context);
typedef int SubscribeToServerEvent_type(engine_context *context, engine_event event, event_function function);
typedef uint64_t CreateTimer_type(engine_context *context, long long period_ms, timer_function function, void *data);
typedef void Log_type(engine_context *context, const char *level, const char *format, ...);

typedef engine_filter *RegisterCommandFilter_type(engine_context *context, filter_function function, int flags);
typedef int UnregisterCommandFilter_type(engine_context *context, engine_filter *filter);
typedef int CommandFilterArgsCount_type(filtered_command *command);
typedef const engine_string *CommandFilterArgGet_type(filtered_command *command, int position);
typedef int CommandFilterArgReplace_type(filtered_command *command, int position, engine_string *string);
typedef int CommandFilterArgDelete_type(filtered_command *command, int position);
typedef unsigned long long CommandFilterGetClientId_type(filtered_command *command);

typedef unsigned long long GetClientId_type(engine_context *context);
typedef engine_string *GetClientUserNameById_type(engine_context *context, uint64_t client);
typedef int GetClientInfoById_type(void *info, uint64_t client);
typedef void RegisterAuthCallback_type(engine_context *context, authentication_function function);
typedef int AuthenticateClientWithACLUser_type(engine_context *context, const char *name, size_t size,
                                               user_changed_function changed, void *data, uint64_t *client);
typedef int DeauthenticateAndCloseClient_type(engine_context *context, uint64_t client);
typedef int RedactClientCommandArgument_type(engine_context *context, int position);
typedef void ACLAddLogEntryByUserName_type(engine_context *context, engine_string *user, engine_string *object, int reason);

typedef engine_string *CreateString_type(engine_context *context, const char *text, size_t size);
typedef void FreeString_type(engine_context *context, engine_string *string);
typedef const char *StringPtrLen_type(const engine_string *string, size_t *size);
typedef int StringToLongLong_type(const engine_string *string, long long *number);

typedef engine_reply *Call_type(engine_context *context, const char *command, const char *format, ...);
typedef int CallReplyType_type(engine_reply *reply);
typedef size_t CallReplyLength_type(engine_reply *reply);
typedef engine_reply *CallReplyArrayElement_type(engine_reply *reply, size_t which);
typedef const char *CallReplyStringPtr_type(engine_reply *reply, size_t *size);
typedef void FreeCallReply_type(engine_reply *reply);
typedef engine_info *GetServerInfo_type(engine_context *context, const char *section);
typedef const char *ServerInfoGetFieldC_type(engine_info *info, const char *field);
typedef void FreeServerInfo_type(engine_context *context, engine_info *info);

typedef int ReplyWithArray_type(engine_context *context, long count);
typedef int ReplyWithMap_type(engine_context *context, long count);
typedef int ReplyWithLongLong_type(engine_context *context, long long number);
typedef int ReplyWithStringBuffer_type(engine_context *context, const char *text, size_t size);
typedef int ReplyWithSimpleString_type(engine_context *context, const char *text);
typedef int ReplyWithCallReply_type(engine_context *context, engine_reply *reply);
typedef int ReplyWithError_type(engine_context *context, const char *text);
typedef int WrongArity_type(engine_context *context);

/* --- those that this module needs --- */

#define ENGINE_DECLARED(function) static function##_type *function;
#define ENGINE_LISTED(function) {"RedisModule_" #function, &function},

NEEDED(ENGINE_DECLARED)

/* The first word of a context is the function that gives all others; Valkey knows the names of Redis, too. */
static inline int engine_find(engine_context *context, const char *name, void *place) {
    int (*find)(const char *name, void *place);
    memcpy(&find, context, sizeof(find));
    return find(name, place);
}

/* DONE when all are there. Those that are there work in either case. */
static inline int engine_find_functions(engine_context *context) {
    static const struct {
        const char *name;
        void *place;
    } needed[] = {NEEDED(ENGINE_LISTED)};
    int every = DONE;
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
        if (engine_find(context, needed[i].name, needed[i].place) != DONE) every = FAILED;
    }
    return every;
}

/* --- what several of them do --- */

/* In any case of its letters. */
static inline int is_word(const engine_string *string, const char *expected) {
    size_t size = 0;
    const char *text = StringPtrLen(string, &size);
    return size == strlen(expected) && strncasecmp(text, expected, size) == 0;
}

/* Both names: which one an engine looks for depends on its kind and age. None of our modules can be unloaded; each says why. */
#define ENGINE_VISIBLE __attribute__((visibility("default")))
#define ENGINE_MODULE(load)                                                                                     \
    ENGINE_VISIBLE int RedisModule_OnLoad(engine_context *context, engine_string **words, int count) {         \
        return load(context, words, count);                                                                     \
    }                                                                                                           \
    ENGINE_VISIBLE int ValkeyModule_OnLoad(engine_context *context, engine_string **words, int count) {        \
        return load(context, words, count);                                                                     \
    }                                                                                                           \
    ENGINE_VISIBLE int RedisModule_OnUnload(engine_context *context) { return (void)context, FAILED; }         \
    ENGINE_VISIBLE int ValkeyModule_OnUnload(engine_context *context) { return (void)context, FAILED; }

#endif
