/* The module that lets IAM users in: an authentication callback for Valkey and Redis from 7.2, over token.c.
 *
 * It answers for the users that its rules name, and leaves all others to the engine's own passwords. Rules come from the
 * controller alone, by a command that no other user can run; they are in memory only, so a node that starts knows none and lets
 * no IAM user in: those that its arguments name are told to come again in a moment. A connection ends when its time is over,
 * unless it has shown another token until then.
 *
 *     CACHEFLEET.IAM RULES text       all rules anew, as token.h says; what cannot be read changes nothing
 *     CACHEFLEET.IAM STATE            [SHA-256 of the rules or "", connections, let in, refused, ended for their time]
 *
 * The engine's interface is declared here as far as it is used; functions are found by their names at the start. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "sha256.h"
#include "token.h"

#define CONTROLLER "cachefleet" /* engines/access.py */
#define COMMAND "cachefleet.iam"
#define LOOK_EVERY_MS 500

enum { DONE = 0, FAILED = 1 };                   /* what functions of the interface return */
enum { HANDLED = 0, NOT_HANDLED = 1 };           /* what an authentication callback returns */
/* It has no data: nothing that engines do with data can disturb it, and without these they would refuse to. */
enum { HANDLES_READ_ERRORS = 1 << 0, HANDLES_ASYNC_LOADS = 1 << 2, HANDLES_SLOT_MIGRATION = 1 << 5 };
enum { INSIDE_MULTI = 1 << 1 };                  /* of GetContextFlags */
enum { LOG_OF_AUTHENTICATION = 0, API_VERSION = 1, OUR_VERSION = 1 };

typedef struct engine_context engine_context;
typedef struct engine_string engine_string;
typedef int (*command_function)(engine_context *context, engine_string **words, int count);
typedef void (*user_changed_function)(uint64_t client, void *session);
typedef void (*timer_function)(engine_context *context, void *data);
typedef int (*authentication_function)(engine_context *context, engine_string *user, engine_string *password,
                                       engine_string **error);

static int (*IsModuleNameBusy)(const char *name);
static void (*SetModuleAttribs)(engine_context *context, const char *name, int version, int api_version);
static int (*CreateCommand)(engine_context *context, const char *name, command_function function, const char *flags,
                            int first_key, int last_key, int key_step);
static void (*RegisterAuthCallback)(engine_context *context, authentication_function function);
static int (*AuthenticateClientWithACLUser)(engine_context *context, const char *name, size_t size, user_changed_function changed,
                                            void *session, uint64_t *client);
static int (*DeauthenticateAndCloseClient)(engine_context *context, uint64_t client);
static int (*RedactClientCommandArgument)(engine_context *context, int position);
static void (*SetModuleOptions)(engine_context *context, int options);
static engine_string *(*GetCurrentUserName)(engine_context *context);
static int (*GetContextFlags)(engine_context *context);
static uint64_t (*CreateTimer)(engine_context *context, long long period_ms, timer_function function, void *data);
static const char *(*StringPtrLen)(const engine_string *string, size_t *size);
static void (*FreeString)(engine_context *context, engine_string *string);
static engine_string *(*CreateString)(engine_context *context, const char *text, size_t size);
static void (*ACLAddLogEntryByUserName)(engine_context *context, engine_string *user, engine_string *object, int reason);
static int (*ReplyWithArray)(engine_context *context, long count);
static int (*ReplyWithLongLong)(engine_context *context, long long number);
static int (*ReplyWithStringBuffer)(engine_context *context, const char *text, size_t size);
static int (*ReplyWithSimpleString)(engine_context *context, const char *text);
static int (*ReplyWithError)(engine_context *context, const char *text);
static void (*Log)(engine_context *context, const char *level, const char *format, ...);

static const struct {
    const char *name;
    void *place;
} wanted[] = {
    {"IsModuleNameBusy", &IsModuleNameBusy},
    {"SetModuleAttribs", &SetModuleAttribs},
    {"CreateCommand", &CreateCommand},
    {"RegisterAuthCallback", &RegisterAuthCallback},
    {"AuthenticateClientWithACLUser", &AuthenticateClientWithACLUser},
    {"DeauthenticateAndCloseClient", &DeauthenticateAndCloseClient},
    {"RedactClientCommandArgument", &RedactClientCommandArgument},
    {"SetModuleOptions", &SetModuleOptions},
    {"GetCurrentUserName", &GetCurrentUserName},
    {"GetContextFlags", &GetContextFlags},
    {"CreateTimer", &CreateTimer},
    {"StringPtrLen", &StringPtrLen},
    {"FreeString", &FreeString},
    {"CreateString", &CreateString},
    {"ACLAddLogEntryByUserName", &ACLAddLogEntryByUserName},
    {"ReplyWithArray", &ReplyWithArray},
    {"ReplyWithLongLong", &ReplyWithLongLong},
    {"ReplyWithStringBuffer", &ReplyWithStringBuffer},
    {"ReplyWithSimpleString", &ReplyWithSimpleString},
    {"ReplyWithError", &ReplyWithError},
    {"Log", &Log},
};

/* A connection that showed a token, in the order in which their times end. */
typedef struct session {
    struct session *before, *after;
    uint64_t client;
    int64_t until_ms; /* of the clock that is never set */
} session;

static session open_sessions = {&open_sessions, &open_sessions, 0, 0}; /* a ring; this one is no session */
static iam_rules *rules;
static char **names_at_start; /* of users that show tokens, ended by NULL */
static char rules_sum[2 * SHA256_BYTES];
static long long count_open, count_let_in, count_refused, count_ended;

static int64_t clock_ms(clockid_t which) {
    struct timespec now;
    if (clock_gettime(which, &now) != 0) abort(); /* both clocks are always there on Linux */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- how long connections last --- */

static void end_session(session *ended) {
    ended->before->after = ended->after;
    ended->after->before = ended->before;
    count_open--;
    free(ended);
}

/* The engine tells that the client is gone, or is another user from now on. */
static void user_changed(uint64_t client, void *data) {
    (void)client;
    end_session(data);
}

/* After all that end before it: the lifetime may have been changed. */
static void keep_session(session *fresh, int64_t until_ms) {
    session *at = open_sessions.before;
    while (at != &open_sessions && at->until_ms > until_ms) at = at->before;
    fresh->until_ms = until_ms;
    fresh->before = at;
    fresh->after = at->after;
    at->after->before = fresh;
    at->after = fresh;
    count_open++;
}

static void end_old_sessions(engine_context *context, void *data) {
    (void)data;
    int64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    while (open_sessions.after != &open_sessions && open_sessions.after->until_ms <= now_ms) {
        session *oldest = open_sessions.after;
        count_ended++;
        /* Ends the session by user_changed; only for a client that is no longer there it is left to us. */
        if (DeauthenticateAndCloseClient(context, oldest->client) != DONE) end_session(oldest);
    }
    CreateTimer(context, LOOK_EVERY_MS, end_old_sessions, NULL);
}

/* --- who is let in --- */

static void refuse(engine_context *context, engine_string *user, iam_verdict verdict) {
    static const char object[] = "IAM";
    engine_string *name = CreateString(context, object, sizeof(object) - 1);
    ACLAddLogEntryByUserName(context, user, name, LOG_OF_AUTHENTICATION);
    FreeString(context, name);
    count_refused++;
    Log(context, "notice", "IAM authentication refused: %s", iam_in_words(verdict));
}

static int is_named_at_start(const char *name, size_t size) {
    for (char **each = names_at_start; each && *each; each++) {
        if (strlen(*each) == size && memcmp(*each, name, size) == 0) return 1;
    }
    return 0;
}

/* The engine's own message for wrong passwords is what a refused client gets: it learns nothing of the reason. */
static int authenticate(engine_context *context, engine_string *user, engine_string *password, engine_string **error) {
    /* Clients try that again by themselves, and a wrong password they do not. */
    static const char not_yet[] = "-LOADING the node is about to be told who may connect with IAM tokens";
    size_t user_size = 0, token_size = 0;
    const char *name = StringPtrLen(user, &user_size), *token = StringPtrLen(password, &token_size);
    if (!rules && is_named_at_start(name, user_size)) {
        *error = CreateString(context, not_yet, sizeof(not_yet) - 1);
        return HANDLED;
    }
    iam_verdict verdict = iam_check(rules, name, user_size, token, token_size, clock_ms(CLOCK_REALTIME) / 1000);
    if (verdict == IAM_NO_IAM_USER) return NOT_HANDLED;
    if (verdict == IAM_RIGHT && (GetContextFlags(context) & INSIDE_MULTI)) verdict = IAM_NOT_PERMITTED;
    if (verdict != IAM_RIGHT) {
        refuse(context, user, verdict);
        return HANDLED;
    }
    session *fresh = calloc(1, sizeof(*fresh));
    if (!fresh) return HANDLED;
    if (AuthenticateClientWithACLUser(context, name, user_size, user_changed, fresh, &fresh->client) != DONE) {
        free(fresh); /* the engine has no such user, or it is off */
        refuse(context, user, IAM_NOT_PERMITTED);
        return HANDLED;
    }
    keep_session(fresh, clock_ms(CLOCK_MONOTONIC) + iam_lifetime_s(rules) * 1000);
    count_let_in++;
    return HANDLED;
}

/* --- what the controller says --- */

static int is_controller(engine_context *context) {
    size_t size = 0;
    engine_string *name = GetCurrentUserName(context);
    if (!name) return 0;
    const char *text = StringPtrLen(name, &size);
    int it_is = size == strlen(CONTROLLER) && memcmp(text, CONTROLLER, size) == 0;
    FreeString(context, name);
    return it_is;
}

static int is_word(const engine_string *string, const char *word) {
    size_t size = 0;
    const char *text = StringPtrLen(string, &size);
    return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

static int take_rules(engine_context *context, const engine_string *string) {
    const char *why = NULL;
    size_t size = 0;
    const char *text = StringPtrLen(string, &size);
    unsigned char digest[SHA256_BYTES];
    sha256_context sum;
    iam_rules *fresh = iam_rules_read(text, size, &why);
    if (!fresh) {
        Log(context, "warning", "IAM rules cannot be read: %s", why);
        return ReplyWithError(context, "ERR the rules cannot be read; the log says why");
    }
    iam_rules_free(rules);
    rules = fresh;
    sha256_begin(&sum);
    sha256_add(&sum, text, size);
    sha256_end(&sum, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        rules_sum[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        rules_sum[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    return ReplyWithSimpleString(context, "OK");
}

static int run_command(engine_context *context, engine_string **words, int count) {
    if (!is_controller(context)) return ReplyWithError(context, "NOPERM only the controller may run this command");
    if (count == 3 && is_word(words[1], "rules")) {
        int done = take_rules(context, words[2]);
        RedactClientCommandArgument(context, 2); /* not before: some engines put another string in its place */
        return done;
    }
    if (count == 2 && is_word(words[1], "state")) {
        ReplyWithArray(context, 5);
        ReplyWithStringBuffer(context, rules_sum, rules ? sizeof(rules_sum) : 0);
        ReplyWithLongLong(context, count_open);
        ReplyWithLongLong(context, count_let_in);
        ReplyWithLongLong(context, count_refused);
        return ReplyWithLongLong(context, count_ended);
    }
    return ReplyWithError(context, "ERR it is CACHEFLEET.IAM RULES text, or CACHEFLEET.IAM STATE");
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

/* Kept for the life of the engine. */
static int keep_names(engine_string **words, int count) {
    names_at_start = calloc((size_t)count + 1, sizeof(*names_at_start));
    if (!names_at_start) return FAILED;
    for (int i = 0; i < count; i++) {
        size_t size = 0;
        const char *text = StringPtrLen(words[i], &size);
        names_at_start[i] = calloc(size + 1, 1);
        if (!names_at_start[i]) return FAILED;
        memcpy(names_at_start[i], text, size);
    }
    return DONE;
}

/* Both names: which one an engine looks for depends on its kind and age. */
__attribute__((visibility("default"))) int RedisModule_OnLoad(engine_context *context, engine_string **words, int count) {
    if (find_functions(context) != DONE || IsModuleNameBusy("cachefleet-iam") || keep_names(words, count) != DONE) return FAILED;
    SetModuleAttribs(context, "cachefleet-iam", OUR_VERSION, API_VERSION);
    SetModuleOptions(context, HANDLES_READ_ERRORS | HANDLES_ASYNC_LOADS | HANDLES_SLOT_MIGRATION);
    if (CreateCommand(context, COMMAND, run_command, "admin deny-script no-monitor no-slowlog allow-loading allow-stale fast", 0, 0,
                      0) != DONE)
        return FAILED;
    RegisterAuthCallback(context, authenticate);
    CreateTimer(context, LOOK_EVERY_MS, end_old_sessions, NULL);
    return DONE;
}

__attribute__((visibility("default"))) int ValkeyModule_OnLoad(engine_context *context, engine_string **words, int count) {
    return RedisModule_OnLoad(context, words, count);
}

/* Sessions are the engine's to end before it calls this; what is left goes with the keys. */
__attribute__((visibility("default"))) int RedisModule_OnUnload(engine_context *context) {
    (void)context;
    return FAILED; /* IAM users would be let in by nobody, or by password rules that are not meant for them */
}

__attribute__((visibility("default"))) int ValkeyModule_OnUnload(engine_context *context) {
    return RedisModule_OnUnload(context);
}
