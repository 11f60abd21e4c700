/* The engine's interface as far as it is used here; functions are found by their names at the start. */
#ifndef CACHEFLEET_ENGINE_H
#define CACHEFLEET_ENGINE_H

#include <stddef.h>
#include <stdint.h>

enum { DONE = 0, FAILED = 1 };                   /* what functions of the interface return */
enum { REPLY_STRING = 0, REPLY_ARRAY = 3 };      /* of CallReplyType */
enum { NOT_FOR_OWN_CALLS = 1 << 0 };             /* of RegisterCommandFilter */
enum { INSIDE_EXEC = 1 << 1, IS_REPLICA = 1 << 3, IS_CLUSTER = 1 << 5 }; /* of GetContextFlags */
enum { IN_MULTI = 1 << 5 };                      /* of client_info */
enum { BECAME_REPLICA = 1 };                     /* of the event ROLE_CHANGED */
/* It has no data: nothing that engines do with data can disturb it, and without these they would refuse to. */
enum { HANDLES_READ_ERRORS = 1 << 0, HANDLES_ASYNC_LOADS = 1 << 2, HANDLES_SLOT_MIGRATION = 1 << 5 };
enum { API_VERSION = 1, NO_FLAGS = 0 };

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
typedef engine_string *(*get_text)(const char *name, void *data);
typedef int (*set_text)(const char *name, engine_string *text, void *data, engine_string **wrong);
typedef int (*get_switch)(const char *name, void *data);
typedef int (*set_switch)(const char *name, int value, void *data, engine_string **wrong);
typedef int (*apply_function)(engine_context *context, void *data, engine_string **wrong);

extern int (*IsModuleNameBusy)(const char *name);
extern void (*SetModuleAttribs)(engine_context *context, const char *name, int version, int api_version);
extern void (*SetModuleOptions)(engine_context *context, int options);
extern int (*CreateCommand)(engine_context *context, const char *name, command_function function, const char *flags,
                            int first_key, int last_key, int key_step);
extern int (*RegisterStringConfig)(engine_context *context, const char *name, const char *initial, unsigned flags, get_text get,
                                   set_text set, apply_function apply, void *data);
extern int (*RegisterBoolConfig)(engine_context *context, const char *name, int initial, unsigned flags, get_switch get,
                                 set_switch set, apply_function apply, void *data);
extern int (*LoadConfigs)(engine_context *context);
extern engine_context *(*GetDetachedThreadSafeContext)(engine_context *context);
extern int (*GetContextFlags)(engine_context *context);
extern int (*SubscribeToServerEvent)(engine_context *context, engine_event event, event_function function);
extern engine_filter *(*RegisterCommandFilter)(engine_context *context, filter_function function, int flags);
extern int (*UnregisterCommandFilter)(engine_context *context, engine_filter *filter);
extern int (*CommandFilterArgsCount)(filtered_command *command);
extern const engine_string *(*CommandFilterArgGet)(filtered_command *command, int position);
extern int (*CommandFilterArgReplace)(filtered_command *command, int position, engine_string *string);
extern unsigned long long (*CommandFilterGetClientId)(filtered_command *command);
extern unsigned long long (*GetClientId)(engine_context *context);
extern engine_string *(*GetClientUserNameById)(engine_context *context, uint64_t client);
extern int (*GetClientInfoById)(void *info, uint64_t client);
extern int (*DeauthenticateAndCloseClient)(engine_context *context, uint64_t client);
extern uint64_t (*CreateTimer)(engine_context *context, long long period_ms, timer_function function, void *data);
extern engine_string *(*CreateString)(engine_context *context, const char *text, size_t size);
extern void (*FreeString)(engine_context *context, engine_string *string);
extern const char *(*StringPtrLen)(const engine_string *string, size_t *size);
extern engine_reply *(*Call)(engine_context *context, const char *command, const char *format, ...);
extern int (*CallReplyType)(engine_reply *reply);
extern size_t (*CallReplyLength)(engine_reply *reply);
extern engine_reply *(*CallReplyArrayElement)(engine_reply *reply, size_t which);
extern const char *(*CallReplyStringPtr)(engine_reply *reply, size_t *size);
extern void (*FreeCallReply)(engine_reply *reply);
extern int (*ReplyWithError)(engine_context *context, const char *text);
extern engine_info *(*GetServerInfo)(engine_context *context, const char *section);
extern const char *(*ServerInfoGetFieldC)(engine_info *info, const char *field);
extern void (*FreeServerInfo)(engine_context *context, engine_info *info);

/* DONE when all are there but CommandFilterGetClientId, which Redis has from 7.2. */
int engine_find_functions(engine_context *context);

#endif
