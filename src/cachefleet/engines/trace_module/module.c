/* The module that tells the service which keys are used: a command filter over trace.c, for Valkey and Redis from 6.2.
 *
 * It does nothing until it is told to, by a command that no other user can run, and the filter is there only so long. It changes no
 * command, and never calls the engine from the filter. When nobody has fetched anything for some seconds, it ends by itself. Where more
 * commands come than it can look at in 0.6 % of the time, it rests in between, and says so.
 *
 *     CACHEFLEET.TRACE START threshold seed   begin anew: keys whose hash is below threshold of 1 << 24
 *     CACHEFLEET.TRACE RATE threshold         from now on fewer keys
 *     CACHEFLEET.TRACE FETCH                  [commands, looked at, of them reads, and keys in them, dropped, ms in all, ms at rest,
 *                                              entries as trace.h has them]
 *     CACHEFLEET.TRACE HOT                    [name, size of the whole name, count, by how much that may be too high] for each
 *     CACHEFLEET.TRACE STOP */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "trace.h"

#define NEEDED(F) \
    F(SetModuleAttribs) F(SetModuleOptions) F(CreateCommand) F(RegisterCommandFilter) F(UnregisterCommandFilter) \
    F(CommandFilterArgsCount) F(CommandFilterArgGet) F(GetClientId) F(GetClientUserNameById) F(CreateTimer) \
    F(StringPtrLen) F(StringToLongLong) F(FreeString) F(ReplyWithArray) F(ReplyWithLongLong) F(ReplyWithStringBuffer) \
    F(ReplyWithSimpleString) F(ReplyWithError)
#include "engine.h"
#include "controller.h"

#define MODULE "cachefleet-trace"
#define COMMAND "cachefleet.trace"

enum {
    LOOK_EVERY_MS = 100,
    GIVE_UP_MS = 5000,       /* without a FETCH */
    MOST_COMMANDS = 10000,   /* in LOOK_EVERY_MS: at some 60 ns each 0.6 % of it */
    MOST_ENTRIES = 4096,     /* of a reply */
    MOST_KEYS = 1024         /* of one command that are looked at */
};

static trace *running; /* NULL while nobody looks */
static engine_filter *filter;
static int has_timer;
static long long commands, commands_before, rests; /* all of them; at the last look of the timer; looks for which it rests */
static int64_t begun_ms, fetched_ms, rested_ms, rest_began_ms, timed_ms; /* the last: when the timer looked */

static int64_t now_ms(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) abort(); /* it is always there on Linux */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- the filter: runs for every command of every client --- */

static const char *word(filtered_command *command, int position, size_t *size) {
    const engine_string *string = CommandFilterArgGet(command, position);
    *size = 0;
    return string ? StringPtrLen(string, size) : "";
}

static uint32_t value_bytes(filtered_command *command, const known_command *known, int key, int count) {
    uint64_t sum = 0;
    int until = known->step == 2 ? key + 2 : count;
    if (known->use != KEY_STORED) return 0;
    for (int i = key; i < until && i < count && i < key + MOST_KEYS; i++) {
        size_t size = 0;
        word(command, i, &size);
        sum += size;
    }
    return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

/* With the command's name: what it does, and to which keys. */
static void look_closer(filtered_command *command, int count, int counts_it) {
    size_t size = 0;
    const char *name = word(command, 0, &size);
    const known_command *known = command_named(name, size);
    if (counts_it) running->looked++;
    if (!known) return;
    for (int i = 1, keys = 0; i < count && keys < MOST_KEYS; i += known->step, keys++) {
        const char *key = word(command, i, &size);
        uint64_t hash = trace_hash(running, key, size);
        if (counts_it) {
            running->looked_keys++;
            running->looked_reads += known->use == KEY_READ;
            trace_count(running, hash, key, size);
        }
        if (trace_samples(running, hash)) trace_put(running, hash, value_bytes(command, known, i, count), known->use);
        if (known->step == 0) break;
    }
}

static void watch(filtered_command *command) {
    int count = CommandFilterArgsCount(command);
    size_t size = 0;
    commands++;
    if (trace_looks(running)) {
        trace_next_look(running);
        look_closer(command, count, 1);
    } else if (count == 2) {
        const char *key = word(command, 1, &size);
        if (trace_samples(running, trace_hash(running, key, size))) look_closer(command, count, 0);
    } else if (count > 2) {
        const char *name = word(command, 0, &size);
        int several = size > 0 && may_have_more_keys(*name);
        const char *key = several ? name : word(command, 1, &size);
        if (several || trace_samples(running, trace_hash(running, key, size))) look_closer(command, count, 0);
    }
}

/* --- how long it is there --- */

static void rest(engine_context *context) {
    if (!filter) return;
    UnregisterCommandFilter(context, filter);
    filter = NULL;
    rest_began_ms = now_ms();
}

static void go_on(engine_context *context) {
    if (filter) return;
    filter = RegisterCommandFilter(context, watch, NO_FLAGS);
    rested_ms += now_ms() - rest_began_ms;
}

static void stop(engine_context *context) {
    rest(context);
    trace_end(running);
    running = NULL;
}

static void look_after(engine_context *context, void *data) {
    int64_t now = now_ms();
    long long most = MOST_COMMANDS * (now - timed_ms) / LOOK_EVERY_MS; /* a timer may come late */
    (void)data;
    has_timer = 0;
    if (!running) return;
    if (now - fetched_ms > GIVE_UP_MS) {
        stop(context);
        return;
    }
    if (rests > 0) {
        if (--rests == 0) go_on(context);
    } else if (commands - commands_before > most) {
        rests = 1 + (commands - commands_before) / MOST_COMMANDS;
        rest(context);
    }
    commands_before = commands;
    timed_ms = now;
    CreateTimer(context, LOOK_EVERY_MS, look_after, NULL);
    has_timer = 1;
}

static int start(engine_context *context, uint32_t threshold, uint64_t seed) {
    if (running) stop(context);
    running = trace_begin(threshold, seed);
    if (!running) return ReplyWithError(context, "ERR no memory to keep what is seen");
    commands = commands_before = rests = 0;
    rested_ms = 0;
    begun_ms = fetched_ms = rest_began_ms = timed_ms = now_ms();
    go_on(context);
    rested_ms = 0;
    if (!has_timer) CreateTimer(context, LOOK_EVERY_MS, look_after, NULL);
    has_timer = 1;
    return ReplyWithSimpleString(context, "OK");
}

/* --- what the controller says --- */

static int read_threshold(const engine_string *string, uint32_t *threshold) {
    long long number = 0;
    if (StringToLongLong(string, &number) != DONE || number < 0 || number > 1 << TRACE_HASH_BITS) return 0;
    *threshold = (uint32_t)number;
    return 1;
}

static int fetch(engine_context *context) {
    static trace_entry entries[MOST_ENTRIES];
    size_t count = trace_take(running, entries, MOST_ENTRIES);
    int64_t now = now_ms();
    fetched_ms = now;
    ReplyWithArray(context, 8);
    ReplyWithLongLong(context, commands);
    ReplyWithLongLong(context, (long long)running->looked);
    ReplyWithLongLong(context, (long long)running->looked_reads);
    ReplyWithLongLong(context, (long long)running->looked_keys);
    ReplyWithLongLong(context, (long long)running->dropped);
    ReplyWithLongLong(context, now - begun_ms);
    ReplyWithLongLong(context, rested_ms + (filter ? 0 : now - rest_began_ms));
    return ReplyWithStringBuffer(context, (const char *)entries, count * sizeof(*entries));
}

static int tell_hot(engine_context *context) {
    ReplyWithArray(context, (long)running->names);
    for (size_t i = 0; i < running->names; i++) {
        const hot_name *one = &running->hot[i];
        ReplyWithArray(context, 4);
        ReplyWithStringBuffer(context, one->name, one->size < TRACE_NAME_BYTES ? one->size : TRACE_NAME_BYTES);
        ReplyWithLongLong(context, (long long)one->size);
        ReplyWithLongLong(context, (long long)one->count);
        ReplyWithLongLong(context, (long long)one->over);
    }
    return DONE;
}

static int run_command(engine_context *context, engine_string **words, int count) {
    uint32_t threshold = 0;
    long long seed = 0;
    if (!is_controller(context)) return ReplyWithError(context, "NOPERM only the controller may run this command");
    if (count == 4 && is_word(words[1], "start") && read_threshold(words[2], &threshold) &&
        StringToLongLong(words[3], &seed) == DONE)
        return start(context, threshold, (uint64_t)seed);
    if (count == 2 && is_word(words[1], "stop")) {
        if (running) stop(context);
        return ReplyWithSimpleString(context, "OK");
    }
    if (!running) return ReplyWithError(context, "ERR nothing is traced");
    if (count == 3 && is_word(words[1], "rate") && read_threshold(words[2], &threshold)) {
        running->threshold = threshold;
        return ReplyWithSimpleString(context, "OK");
    }
    if (count == 2 && is_word(words[1], "fetch")) return fetch(context);
    if (count == 2 && is_word(words[1], "hot")) return tell_hot(context);
    return ReplyWithError(context, "ERR it is CACHEFLEET.TRACE START threshold seed, RATE threshold, FETCH, HOT or STOP");
}

/* --- start --- */

/* An engine that does not let it have all that it needs starts all the same, and has no such command. */
static int load(engine_context *context, engine_string **words, int count) {
    (void)words;
    (void)count;
    int every = engine_find_functions(context);
    SetModuleAttribs(context, MODULE, OUR_VERSION, API_VERSION);
    if (every != DONE) return DONE;
    SetModuleOptions(context, HAS_NO_DATA);
    CreateCommand(context, COMMAND, run_command, CONTROLLER_COMMAND_FLAGS, 0, 0, 0);
    return DONE;
}

/* It cannot be unloaded: a timer and a filter may be there, and other nodes of the group have it as well. */
ENGINE_MODULE(load)
