"""Which commands count for which of CloudWatch's command metrics (reference 7.3), by the names of INFO commandstats.

Made from the command tables of Redis 7.0, Valkey 8.1 and 9.1: types by their ACL categories, GetTypeCmds and SetTypeCmds by
whether a command reads or writes one of the types. Commands that are in no list (of modules) count nowhere.
"""

from __future__ import annotations

FAMILIES: dict[str, frozenset[str]] = {
    family: frozenset(names.split())
    for family, names in {
        "ClusterBasedCmds": (
            "asking cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|cancelslotmigrations "
            "cluster|count-failure-reports cluster|countkeysinslot cluster|delslots cluster|delslotsrange "
            "cluster|failover cluster|flushslot cluster|flushslots cluster|forget cluster|getkeysinslot "
            "cluster|getslotmigrations cluster|help cluster|info cluster|keyslot cluster|links cluster|meet "
            "cluster|migrateslots cluster|myid cluster|myshardid cluster|nodes cluster|replicas cluster|replicate "
            "cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot cluster|shards "
            "cluster|slaves cluster|slot-stats cluster|slots cluster|syncslots readonly readwrite"
        ),
        "EvalBasedCmds": ("eval eval_ro evalsha evalsha_ro fcall fcall_ro"),
        "GeoSpatialBasedCmds": (
            "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro "
            "geosearch geosearchstore"
        ),
        "GetTypeCmds": (
            "bitcount bitfield_ro bitpos geodist geohash geopos georadius_ro georadiusbymember_ro geosearch get "
            "getbit getrange hexists hexpiretime hget hgetall hkeys hlen hmget hpexpiretime hpttl hrandfield "
            "hscan hstrlen httl hvals lcs lindex llen lpos lrange mget pfcount scard sdiff sinter sintercard "
            "sismember smembers smismember sort_ro srandmember sscan strlen substr sunion xinfo|consumers "
            "xinfo|groups xinfo|stream xlen xpending xrange xread xrevrange zcard zcount zdiff zinter zintercard "
            "zlexcount zmscore zrandmember zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex "
            "zrevrangebyscore zrevrank zscan zscore zunion"
        ),
        "HashBasedCmds": (
            "hdel hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby hincrbyfloat hkeys "
            "hlen hmget hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan hset hsetex hsetnx "
            "hstrlen httl hvals"
        ),
        "HyperLogLogBasedCmds": ("pfadd pfcount pfdebug pfmerge pfselftest"),
        "KeyBasedCmds": (
            "clusterscan copy del dump exists expire expireat expiretime keys migrate move object|encoding "
            "object|freq object|idletime object|refcount persist pexpire pexpireat pexpiretime pttl randomkey "
            "rename renamenx restore restore-asking scan sort sort_ro touch ttl type unlink"
        ),
        "ListBasedCmds": (
            "blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange "
            "lrem lset ltrim rpop rpoplpush rpush rpushx sort sort_ro"
        ),
        "NonKeyTypeCmds": (
            "acl|cat acl|deluser acl|dryrun acl|genpass acl|getuser acl|help acl|list acl|load acl|log acl|save "
            "acl|setuser acl|users acl|whoami auth bgrewriteaof bgsave client|caching client|capa client|getname "
            "client|getredir client|help client|id client|import-source client|info client|kill client|list "
            "client|no-evict client|no-touch client|pause client|reply client|setinfo client|setname "
            "client|tracking client|trackinginfo client|unblock client|unpause commandlog|get commandlog|help "
            "commandlog|len commandlog|reset command|count command|docs command|getkeys command|getkeysandflags "
            "command|help command|info command|list config|get config|help config|resetstat config|rewrite "
            "config|set dbsize debug discard echo exec failover flushall flushdb function|delete function|dump "
            "function|flush function|help function|kill function|list function|load function|restore "
            "function|stats hello info lastsave latency|doctor latency|graph latency|help latency|histogram "
            "latency|history latency|latest latency|reset lolwut memory|doctor memory|help memory|malloc-stats "
            "memory|purge memory|stats memory|usage module|help module|list module|load module|loadex "
            "module|unload monitor multi object|help ping psync pubsub|help quit replconf replicaof reset role "
            "save script|debug script|exists script|flush script|help script|kill script|load script|show select "
            "shutdown slaveof slowlog|get slowlog|help slowlog|len slowlog|reset swapdb sync time unwatch wait "
            "waitaof watch"
        ),
        "PubSubBasedCmds": (
            "psubscribe publish pubsub|channels pubsub|numpat pubsub|numsub pubsub|shardchannels "
            "pubsub|shardnumsub punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe"
        ),
        "SetBasedCmds": (
            "sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove sort "
            "sort_ro spop srandmember srem sscan sunion sunionstore"
        ),
        "SetTypeCmds": (
            "append bitfield bitop blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin decr decrby "
            "delifeq geoadd georadius georadiusbymember geosearchstore getdel getex getset hdel hexpire hexpireat "
            "hgetdel hgetex hincrby hincrbyfloat hmset hpersist hpexpire hpexpireat hset hsetex hsetnx incr "
            "incrby incrbyfloat linsert lmove lmpop lpop lpush lpushx lrem lset ltrim mset msetex msetnx pfadd "
            "pfdebug pfmerge psetex rpop rpoplpush rpush rpushx sadd sdiffstore set setbit setex setnx setrange "
            "sinterstore smove sort spop srem sunionstore xack xadd xautoclaim xclaim xdel xgroup|create "
            "xgroup|createconsumer xgroup|delconsumer xgroup|destroy xgroup|setid xreadgroup xsetid xtrim zadd "
            "zdiffstore zincrby zinterstore zmpop zpopmax zpopmin zrangestore zrem zremrangebylex zremrangebyrank "
            "zremrangebyscore zunionstore"
        ),
        "SortedSetBasedCmds": (
            "bzmpop bzpopmax bzpopmin sort sort_ro zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard "
            "zinterstore zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore "
            "zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex "
            "zrevrangebyscore zrevrank zscan zscore zunion zunionstore"
        ),
        "StreamBasedCmds": (
            "xack xadd xautoclaim xclaim xdel xgroup|create xgroup|createconsumer xgroup|delconsumer "
            "xgroup|destroy xgroup|help xgroup|setid xinfo|consumers xinfo|groups xinfo|help xinfo|stream xlen "
            "xpending xrange xread xreadgroup xrevrange xsetid xtrim"
        ),
        "StringBasedCmds": (
            "append bitcount bitfield bitfield_ro bitop bitpos decr decrby delifeq get getbit getdel getex "
            "getrange getset incr incrby incrbyfloat lcs mget mset msetex msetnx psetex set setbit setex setnx "
            "setrange strlen substr"
        ),
    }.items()
}
