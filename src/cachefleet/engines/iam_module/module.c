/* The module that lets IAM users in: an authentication callback for Valkey and Redis from 7.2, over token.c.
 *
 * It answers for the users that its rules name, and leaves all others to the engine's own passwords. Rules come from the
 * controller alone, by a command that no other user can run; they are in memory only, so a node that starts knows none and lets
 * no IAM user in: those that its arguments name are told to come again in a moment. A connection ends when its time is over,
 * unless it has shown another token until then.
 *
 *     CACHEFLEET.IAM RULES text       all rules anew, as token.h says; what cannot be read changes nothing
 *     CACHEFLEET.IAM STATE            [SHA-256 of the rules or "", connections, let in, refused, ended for their time] */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sha256.h"
#include "token.h"

#define NEEDED(F) \
    F(IsModuleNameBusy) F(SetModuleAttribs) F(SetModuleOptions) F(CreateCommand) F(GetContextFlags) F(CreateTimer) F(Log) \
    F(RegisterAuthCallback) F(AuthenticateClientWithACLUser) F(DeauthenticateAndCloseClient) F(RedactClientCommandArgument) \
    F(GetClientId) F(GetClientUserNameById) F(ACLAddLogEntryByUserName) F(CreateString) F(FreeString) F(StringPtrLen) \
    F(ReplyWithArray) F(ReplyWithLongLong) F(ReplyWithStringBuffer) F(ReplyWithSimpleString) F(ReplyWithError)
#include "engine.h"
#include "controller.h"

#define MODULE "cachefleet-iam"
#define COMMAND "cachefleet.iam"
#define LOOK_EVERY_MS 500

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
    if (verdict == IAM_RIGHT && (GetContextFlags(context) & INSIDE_EXEC)) verdict = IAM_NOT_PERMITTED;
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

static int load(engine_context *context, engine_string **words, int count) {
    if (engine_find_functions(context) != DONE || IsModuleNameBusy(MODULE) || keep_names(words, count) != DONE) return FAILED;
    SetModuleAttribs(context, MODULE, OUR_VERSION, API_VERSION);
    SetModuleOptions(context, HAS_NO_DATA);
    if (CreateCommand(context, COMMAND, run_command, CONTROLLER_COMMAND_FLAGS, 0, 0, 0) != DONE) return FAILED;
    RegisterAuthCallback(context, authenticate);
    CreateTimer(context, LOOK_EVERY_MS, end_old_sessions, NULL);
    return DONE;
}

/* It cannot be unloaded: IAM users would be let in by nobody, or by password rules that are not meant for them. */
ENGINE_MODULE(load)
