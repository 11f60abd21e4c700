/* See engine.h. */
#include "engine.h"

#include <string.h>

int (*IsModuleNameBusy)(const char *name);
void (*SetModuleAttribs)(engine_context *context, const char *name, int version, int api_version);
void (*SetModuleOptions)(engine_context *context, int options);
int (*CreateCommand)(engine_context *context, const char *name, command_function function, const char *flags,
                     int first_key, int last_key, int key_step);
int (*RegisterStringConfig)(engine_context *context, const char *name, const char *initial, unsigned flags, get_text get,
                            set_text set, apply_function apply, void *data);
int (*RegisterBoolConfig)(engine_context *context, const char *name, int initial, unsigned flags, get_switch get,
                          set_switch set, apply_function apply, void *data);
int (*LoadConfigs)(engine_context *context);
engine_context *(*GetDetachedThreadSafeContext)(engine_context *context);
int (*GetContextFlags)(engine_context *context);
int (*SubscribeToServerEvent)(engine_context *context, engine_event event, event_function function);
engine_filter *(*RegisterCommandFilter)(engine_context *context, filter_function function, int flags);
int (*UnregisterCommandFilter)(engine_context *context, engine_filter *filter);
int (*CommandFilterArgsCount)(filtered_command *command);
const engine_string *(*CommandFilterArgGet)(filtered_command *command, int position);
int (*CommandFilterArgReplace)(filtered_command *command, int position, engine_string *string);
unsigned long long (*CommandFilterGetClientId)(filtered_command *command);
unsigned long long (*GetClientId)(engine_context *context);
engine_string *(*GetClientUserNameById)(engine_context *context, uint64_t client);
int (*GetClientInfoById)(void *info, uint64_t client);
int (*DeauthenticateAndCloseClient)(engine_context *context, uint64_t client);
uint64_t (*CreateTimer)(engine_context *context, long long period_ms, timer_function function, void *data);
engine_string *(*CreateString)(engine_context *context, const char *text, size_t size);
void (*FreeString)(engine_context *context, engine_string *string);
const char *(*StringPtrLen)(const engine_string *string, size_t *size);
engine_reply *(*Call)(engine_context *context, const char *command, const char *format, ...);
int (*CallReplyType)(engine_reply *reply);
size_t (*CallReplyLength)(engine_reply *reply);
engine_reply *(*CallReplyArrayElement)(engine_reply *reply, size_t which);
const char *(*CallReplyStringPtr)(engine_reply *reply, size_t *size);
void (*FreeCallReply)(engine_reply *reply);
int (*ReplyWithError)(engine_context *context, const char *text);
engine_info *(*GetServerInfo)(engine_context *context, const char *section);
const char *(*ServerInfoGetFieldC)(engine_info *info, const char *field);
void (*FreeServerInfo)(engine_context *context, engine_info *info);

static const struct {
    const char *name;
    void *place;
} wanted[] = {
    {"IsModuleNameBusy", &IsModuleNameBusy},
    {"SetModuleAttribs", &SetModuleAttribs},
    {"SetModuleOptions", &SetModuleOptions},
    {"CreateCommand", &CreateCommand},
    {"RegisterStringConfig", &RegisterStringConfig},
    {"RegisterBoolConfig", &RegisterBoolConfig},
    {"LoadConfigs", &LoadConfigs},
    {"GetDetachedThreadSafeContext", &GetDetachedThreadSafeContext},
    {"GetContextFlags", &GetContextFlags},
    {"SubscribeToServerEvent", &SubscribeToServerEvent},
    {"RegisterCommandFilter", &RegisterCommandFilter},
    {"UnregisterCommandFilter", &UnregisterCommandFilter},
    {"CommandFilterArgsCount", &CommandFilterArgsCount},
    {"CommandFilterArgGet", &CommandFilterArgGet},
    {"CommandFilterArgReplace", &CommandFilterArgReplace},
    {"GetClientId", &GetClientId},
    {"GetClientUserNameById", &GetClientUserNameById},
    {"GetClientInfoById", &GetClientInfoById},
    {"DeauthenticateAndCloseClient", &DeauthenticateAndCloseClient},
    {"CreateTimer", &CreateTimer},
    {"CreateString", &CreateString},
    {"FreeString", &FreeString},
    {"StringPtrLen", &StringPtrLen},
    {"Call", &Call},
    {"CallReplyType", &CallReplyType},
    {"CallReplyLength", &CallReplyLength},
    {"CallReplyArrayElement", &CallReplyArrayElement},
    {"CallReplyStringPtr", &CallReplyStringPtr},
    {"FreeCallReply", &FreeCallReply},
    {"ReplyWithError", &ReplyWithError},
    {"GetServerInfo", &GetServerInfo},
    {"ServerInfoGetFieldC", &ServerInfoGetFieldC},
    {"FreeServerInfo", &FreeServerInfo},
};

int engine_find_functions(engine_context *context) {
    /* The first word of a context is the function that gives all others; Valkey knows the names of Redis, too. */
    int (*find)(const char *name, void *place);
    memcpy(&find, context, sizeof(find));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        char name[64] = "RedisModule_";
        strncat(name, wanted[i].name, sizeof(name) - strlen(name) - 1);
        if (find(name, wanted[i].place) != DONE) return FAILED;
    }
    if (find("RedisModule_CommandFilterGetClientId", &CommandFilterGetClientId) != DONE) CommandFilterGetClientId = NULL;
    return DONE;
}
