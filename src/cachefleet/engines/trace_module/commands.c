/* See commands.h. Commands that do not count as a use of the key (TTL, TYPE, EXISTS, OBJECT) are not here, nor those whose keys are
 * counted by another word (EVAL, XREAD, ZUNION): what a script does with keys is seen as commands of its own. */
#include "commands.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LONGEST_NAME = 24 };

static const known_command commands[] = { /* in the order of their names */
    {"append", KEY_CHANGED, 0},
    {"bitcount", KEY_READ, 0},
    {"bitfield", KEY_CHANGED, 0},
    {"bitfield_ro", KEY_READ, 0},
    {"bitpos", KEY_READ, 0},
    {"decr", KEY_CHANGED, 0},
    {"decrby", KEY_CHANGED, 0},
    {"del", KEY_ERASED, 1},
    {"geoadd", KEY_CHANGED, 0},
    {"geodist", KEY_READ, 0},
    {"geohash", KEY_READ, 0},
    {"geopos", KEY_READ, 0},
    {"georadius", KEY_CHANGED, 0},
    {"georadius_ro", KEY_READ, 0},
    {"geosearch", KEY_READ, 0},
    {"get", KEY_READ, 0},
    {"getbit", KEY_READ, 0},
    {"getdel", KEY_ERASED, 0},
    {"getex", KEY_READ, 0},
    {"getrange", KEY_READ, 0},
    {"getset", KEY_STORED, 0},
    {"hdel", KEY_CHANGED, 0},
    {"hexists", KEY_READ, 0},
    {"hget", KEY_READ, 0},
    {"hgetall", KEY_READ, 0},
    {"hincrby", KEY_CHANGED, 0},
    {"hincrbyfloat", KEY_CHANGED, 0},
    {"hkeys", KEY_READ, 0},
    {"hlen", KEY_READ, 0},
    {"hmget", KEY_READ, 0},
    {"hmset", KEY_CHANGED, 0},
    {"hrandfield", KEY_READ, 0},
    {"hscan", KEY_READ, 0},
    {"hset", KEY_CHANGED, 0},
    {"hsetnx", KEY_CHANGED, 0},
    {"hstrlen", KEY_READ, 0},
    {"hvals", KEY_READ, 0},
    {"incr", KEY_CHANGED, 0},
    {"incrby", KEY_CHANGED, 0},
    {"incrbyfloat", KEY_CHANGED, 0},
    {"lindex", KEY_READ, 0},
    {"linsert", KEY_CHANGED, 0},
    {"llen", KEY_READ, 0},
    {"lpop", KEY_CHANGED, 0},
    {"lpos", KEY_READ, 0},
    {"lpush", KEY_CHANGED, 0},
    {"lpushx", KEY_CHANGED, 0},
    {"lrange", KEY_READ, 0},
    {"lrem", KEY_CHANGED, 0},
    {"lset", KEY_CHANGED, 0},
    {"ltrim", KEY_CHANGED, 0},
    {"mget", KEY_READ, 1},
    {"mset", KEY_STORED, 2},
    {"msetnx", KEY_STORED, 2},
    {"pfadd", KEY_CHANGED, 0},
    {"psetex", KEY_STORED, 0},
    {"rpop", KEY_CHANGED, 0},
    {"rpush", KEY_CHANGED, 0},
    {"rpushx", KEY_CHANGED, 0},
    {"sadd", KEY_CHANGED, 0},
    {"scard", KEY_READ, 0},
    {"set", KEY_STORED, 0},
    {"setbit", KEY_CHANGED, 0},
    {"setex", KEY_STORED, 0},
    {"setnx", KEY_STORED, 0},
    {"setrange", KEY_CHANGED, 0},
    {"sismember", KEY_READ, 0},
    {"smembers", KEY_READ, 0},
    {"smismember", KEY_READ, 0},
    {"spop", KEY_CHANGED, 0},
    {"srandmember", KEY_READ, 0},
    {"srem", KEY_CHANGED, 0},
    {"sscan", KEY_READ, 0},
    {"strlen", KEY_READ, 0},
    {"substr", KEY_READ, 0},
    {"unlink", KEY_ERASED, 1},
    {"xadd", KEY_CHANGED, 0},
    {"xdel", KEY_CHANGED, 0},
    {"xlen", KEY_READ, 0},
    {"xrange", KEY_READ, 0},
    {"xrevrange", KEY_READ, 0},
    {"xtrim", KEY_CHANGED, 0},
    {"zadd", KEY_CHANGED, 0},
    {"zcard", KEY_READ, 0},
    {"zcount", KEY_READ, 0},
    {"zincrby", KEY_CHANGED, 0},
    {"zlexcount", KEY_READ, 0},
    {"zmscore", KEY_READ, 0},
    {"zpopmax", KEY_CHANGED, 0},
    {"zpopmin", KEY_CHANGED, 0},
    {"zrandmember", KEY_READ, 0},
    {"zrange", KEY_READ, 0},
    {"zrangebylex", KEY_READ, 0},
    {"zrangebyscore", KEY_READ, 0},
    {"zrank", KEY_READ, 0},
    {"zrem", KEY_CHANGED, 0},
    {"zremrangebylex", KEY_CHANGED, 0},
    {"zremrangebyrank", KEY_CHANGED, 0},
    {"zremrangebyscore", KEY_CHANGED, 0},
    {"zrevrange", KEY_READ, 0},
    {"zrevrangebylex", KEY_READ, 0},
    {"zrevrangebyscore", KEY_READ, 0},
    {"zrevrank", KEY_READ, 0},
    {"zscan", KEY_READ, 0},
    {"zscore", KEY_READ, 0},
};

static int by_name(const void *name, const void *other) {
    return strcasecmp(name, ((const known_command *)other)->name);
}

const known_command *command_named(const char *name, size_t size) {
    char text[LONGEST_NAME];
    if (size == 0 || size >= sizeof(text)) return NULL;
    memcpy(text, name, size);
    text[size] = 0;
    if (strlen(text) != size) return NULL;
    return bsearch(text, commands, sizeof(commands) / sizeof(*commands), sizeof(*commands), by_name);
}

int may_have_more_keys(char first) {
    char lower = (char)(first | 32);
    return lower == 'm' || lower == 'd' || lower == 'u';
}
