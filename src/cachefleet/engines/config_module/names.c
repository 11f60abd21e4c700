/* Names that are harmless, of all versions from 7.0 on; whatever is not here is withheld, so also what a new version brings.
 *
 * Not here: passwords and users (masterauth, requirepass, masteruser), what makes hashes guessable (hash-seed), paths
 * (dir, logfile, tls-key-file), addresses and ports (bind, port, replica-announce-ip), the machine (server-cpulist), and
 * switches that open what is closed (enable-debug-command). To be set: what belongs to the application (its events, its logs of
 * slow commands, how values are packed and freed); not what the service relies on or sets itself. */
#include "names.h"

#include <string.h>
#include <strings.h>

typedef struct {
    const char *name;
    int settable;
} parameter;

enum { READ = 0, SET = 1 };

static const parameter parameters[] = {
    {"acl-pubsub-default", READ},
    {"acllog-max-len", READ},
    {"active-defrag-cycle-max", SET},
    {"active-defrag-cycle-min", SET},
    {"active-defrag-cycle-us", SET},
    {"active-defrag-ignore-bytes", SET},
    {"active-defrag-max-scan-fields", SET},
    {"active-defrag-threshold-lower", SET},
    {"active-defrag-threshold-upper", SET},
    {"active-expire-effort", SET},
    {"activedefrag", SET},
    {"activerehashing", READ},
    {"aof-use-rdb-preamble", READ},
    {"appendfsync", READ},
    {"appendonly", READ},
    {"auto-aof-rewrite-min-size", READ},
    {"auto-aof-rewrite-percentage", READ},
    {"availability-zone", READ},
    {"busy-reply-threshold", READ},
    {"client-output-buffer-limit", READ},
    {"client-query-buffer-limit", READ},
    {"cluster-allow-pubsubshard-when-down", READ},
    {"cluster-allow-reads-when-down", READ},
    {"cluster-allow-replica-migration", READ},
    {"cluster-databases", READ},
    {"cluster-enabled", READ},
    {"cluster-migration-barrier", READ},
    {"cluster-node-timeout", READ},
    {"cluster-preferred-endpoint-type", READ},
    {"cluster-require-full-coverage", READ},
    {"cluster-slot-stats-enabled", READ},
    {"commandlog-execution-slower-than", SET},
    {"commandlog-large-reply-max-len", SET},
    {"commandlog-large-request-max-len", SET},
    {"commandlog-reply-larger-than", SET},
    {"commandlog-request-larger-than", SET},
    {"commandlog-slow-execution-max-len", SET},
    {"databases", READ},
    {"dual-channel-replication-enabled", READ},
    {"dynamic-hz", READ},
    {"extended-redis-compatibility", READ},
    {"hash-max-listpack-entries", SET},
    {"hash-max-listpack-value", SET},
    {"hash-max-ziplist-entries", SET},
    {"hash-max-ziplist-value", SET},
    {"hll-sparse-max-bytes", SET},
    {"hz", READ},
    {"io-threads", READ},
    {"latency-monitor-threshold", SET},
    {"latency-tracking", SET},
    {"latency-tracking-info-percentiles", SET},
    {"lazyfree-lazy-eviction", SET},
    {"lazyfree-lazy-expire", SET},
    {"lazyfree-lazy-server-del", SET},
    {"lazyfree-lazy-user-del", SET},
    {"lazyfree-lazy-user-flush", SET},
    {"lfu-decay-time", SET},
    {"lfu-log-factor", SET},
    {"list-compress-depth", SET},
    {"list-max-listpack-size", SET},
    {"list-max-ziplist-size", SET},
    {"loglevel", READ},
    {"lua-time-limit", READ},
    {"maxclients", READ},
    {"maxmemory", READ},
    {"maxmemory-clients", READ},
    {"maxmemory-eviction-tenacity", READ},
    {"maxmemory-policy", READ},
    {"maxmemory-samples", SET},
    {"min-replicas-max-lag", READ},
    {"min-replicas-to-write", READ},
    {"min-slaves-max-lag", READ},
    {"min-slaves-to-write", READ},
    {"no-appendfsync-on-rewrite", READ},
    {"notify-keyspace-events", SET},
    {"proto-max-bulk-len", READ},
    {"rdbchecksum", READ},
    {"rdbcompression", READ},
    {"repl-backlog-size", READ},
    {"repl-backlog-ttl", READ},
    {"repl-diskless-load", READ},
    {"repl-diskless-sync", READ},
    {"repl-timeout", READ},
    {"replica-ignore-maxmemory", READ},
    {"replica-lazy-flush", READ},
    {"replica-priority", READ},
    {"replica-read-only", READ},
    {"replica-serve-stale-data", READ},
    {"save", READ},
    {"set-max-intset-entries", SET},
    {"set-max-listpack-entries", SET},
    {"set-max-listpack-value", SET},
    {"slave-ignore-maxmemory", READ},
    {"slave-lazy-flush", READ},
    {"slave-priority", READ},
    {"slave-read-only", READ},
    {"slave-serve-stale-data", READ},
    {"slowlog-log-slower-than", SET},
    {"slowlog-max-len", SET},
    {"stop-writes-on-bgsave-error", READ},
    {"stream-node-max-bytes", SET},
    {"stream-node-max-entries", SET},
    {"tcp-keepalive", READ},
    {"timeout", READ},
    {"tracking-table-max-keys", SET},
    {"zset-max-listpack-entries", SET},
    {"zset-max-listpack-value", SET},
    {"zset-max-ziplist-entries", SET},
    {"zset-max-ziplist-value", SET},
};

#define COUNT (sizeof(parameters) / sizeof(*parameters))
_Static_assert(COUNT <= CONFIG_MOST_NAMES, "room for all of them");

size_t config_count(void) {
    return COUNT;
}

const char *config_name(size_t which) {
    return which < COUNT ? parameters[which].name : "";
}

static const parameter *find(const char *name, size_t size) {
    for (size_t i = 0; i < COUNT; i++)
        if (strlen(parameters[i].name) == size && strncasecmp(parameters[i].name, name, size) == 0) return &parameters[i];
    return NULL;
}

int config_is_readable(const char *name, size_t size) {
    return find(name, size) != NULL;
}

int config_is_settable(const char *name, size_t size) {
    const parameter *found = find(name, size);
    return found && found->settable;
}

int config_is_pattern(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] == '*' || text[i] == '?' || text[i] == '[' || text[i] == '\\') return 1;
    return 0;
}

/* --- patterns --- */

static unsigned char lower(char letter) {
    return (unsigned char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
}

/* What follows a [ : whether the letter is in it. at: behind the [, and after it behind the ] (or the end, where that lacks). */
static int in_brackets(const char *pattern, size_t size, size_t *at, unsigned char letter) {
    int opposite = *at < size && pattern[*at] == '^', found = 0;
    size_t i = *at + (size_t)opposite;
    while (i < size && pattern[i] != ']') {
        if (pattern[i] == '\\' && size - i >= 2) {
            found |= lower(pattern[i + 1]) == letter;
            i += 2;
        } else if (size - i >= 3 && pattern[i + 1] == '-') {
            unsigned char one = lower(pattern[i]), other = lower(pattern[i + 2]);
            found |= one <= other ? one <= letter && letter <= other : other <= letter && letter <= one;
            i += 3;
        } else {
            found |= lower(pattern[i]) == letter;
            i++;
        }
    }
    *at = i < size ? i + 1 : i;
    return found != opposite;
}

/* One letter against what stands at that place, which is no * and not the end. */
static int one_matches(const char *pattern, size_t size, size_t *at, unsigned char letter) {
    char sign = pattern[(*at)++];
    if (sign == '?') return 1;
    if (sign == '[') return in_brackets(pattern, size, at, letter);
    if (sign == '\\' && *at < size) sign = pattern[(*at)++];
    return lower(sign) == letter;
}

/* Goes back to the last * alone: what an earlier one could take, that one can. So the time is bounded by both sizes. */
int config_matches(const char *pattern, size_t size, const char *name) {
    size_t at = 0, star = 0, taken = 0, i = 0;
    int has_star = 0;
    while (name[i]) {
        if (at < size && pattern[at] == '*') {
            has_star = 1;
            star = ++at;
            taken = i;
        } else if (at < size && one_matches(pattern, size, &at, (unsigned char)name[i])) {
            i++;
        } else if (has_star) {
            at = star;
            i = ++taken;
        } else {
            return 0;
        }
    }
    while (at < size && pattern[at] == '*') at++;
    return at == size;
}
