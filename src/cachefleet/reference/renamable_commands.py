"""The parameter rename-commands: which commands may get another name, or none, and how that is written (reference 5.6). Pure.

Says nothing about how an engine does it. Without AUTH, which clients and nodes need to say who they are. Called where values of
parameters are checked.
"""

from __future__ import annotations

import re

BLOCKED = "blocked"  # the new name of a command that nobody can use

_KEYS = (
    "DEL DUMP EXISTS EXPIRE EXPIREAT EXPIRETIME KEYS MOVE OBJECT PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PTTL RANDOMKEY RENAME "
    "RENAMENX RESTORE SCAN SORT SORT_RO TOUCH TTL TYPE UNLINK"
)
_STRINGS = (
    "APPEND BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS DECR DECRBY GET GETBIT GETDEL GETEX GETRANGE GETSET INCR INCRBY "
    "INCRBYFLOAT LCS MGET MSET MSETNX PSETEX SET SETBIT SETEX SETNX SETRANGE STRALGO STRLEN SUBSTR"
)
_HASHES = (
    "HDEL HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST "
    "HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS"
)
_LISTS = (
    "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH LINDEX LINSERT LLEN LMOVE LMPOP LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM RPOP "
    "RPOPLPUSH RPUSH RPUSHX"
)
_SETS = (
    "SADD SCARD SDIFF SDIFFSTORE SINTER SINTERCARD SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SPOP SRANDMEMBER SREM SSCAN "
    "SUNION SUNIONSTORE"
)
_SORTED_SETS = (
    "BZMPOP BZPOPMAX BZPOPMIN ZADD ZCARD ZCOUNT ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE "
    "ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK "
    "ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE"
)
_STREAMS = "XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN XPENDING XRANGE XREAD XREADGROUP XREVRANGE XSETID XTRIM"
_OTHER_TYPES = (
    "GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GEOSEARCHSTORE "
    "PFADD PFCOUNT PFDEBUG PFMERGE PFSELFTEST"
)
_OTHERS = (
    "ACL CLIENT CLUSTER COMMAND DBSIZE DISCARD ECHO EVAL EVALSHA EXEC FLUSHALL FLUSHDB INFO LASTSAVE LATENCY LOLWUT "
    "MEMORY MONITOR MULTI PING PSUBSCRIBE PUBLISH PUBSUB PUNSUBSCRIBE READONLY READWRITE ROLE SCRIPT SELECT SLOWLOG SUBSCRIBE "
    "SWAPDB TIME UNSUBSCRIBE UNWATCH WAIT WATCH"
)
RENAMABLE = frozenset(
    " ".join((_KEYS, _STRINGS, _HASHES, _LISTS, _SETS, _SORTED_SETS, _STREAMS, _OTHER_TYPES, _OTHERS)).split()
)
# Names that engines have, too, which nothing else may get.
_NOT_RENAMABLE = (
    "ASKING AUTH BGREWRITEAOF BGSAVE COMMANDLOG CONFIG COPY DEBUG EVALSHA_RO EVAL_RO FAILOVER FCALL FCALL_RO FUNCTION HELLO "
    "MIGRATE MODULE PSYNC QUIT REPLCONF REPLICAOF RESET SAVE SHUTDOWN SLAVEOF SPUBLISH SSUBSCRIBE SUNSUBSCRIBE SYNC WAITAOF"
)
_TAKEN = RENAMABLE | frozenset(_NOT_RENAMABLE.split())
_ONLY_BLOCKED = frozenset({"PING"})
_NEW_NAME = re.compile(r"[a-zA-Z0-9]{1,20}", re.ASCII)


def renames(value: str) -> dict[str, str]:
    """New names by command, commands in capitals, of "old new old new"; BLOCKED is as any other. Raises ValueError with the
    rule that is broken."""
    words = value.split(" ") if value else []
    if "" in words or len(words) % 2:
        raise ValueError("it must be pairs of a command and its new name, with one space between all words")
    found: dict[str, str] = {}
    for old, new in zip(words[::2], words[1::2], strict=True):
        command = old.upper()
        if not old.isascii() or command not in RENAMABLE:
            raise ValueError(f"{old!r} is no command that can be renamed")
        if command in found:
            raise ValueError(f"{command} is renamed twice")
        if not _NEW_NAME.fullmatch(new):
            raise ValueError(f"{new!r} is no new name: it must have 1 to 20 ASCII letters and digits, or be {BLOCKED}")
        if new.upper() in _TAKEN:
            raise ValueError(f"{new!r} is the name of a command already")
        if new.lower() == BLOCKED:
            new = BLOCKED
        elif command in _ONLY_BLOCKED:
            raise ValueError(f"{command} can be {BLOCKED}, but have no new name: replicas send it before they say who they are")
        elif new.upper() in (other.upper() for other in found.values()):
            raise ValueError(f"{new!r} is the new name of two commands")
        found[command] = new
    return found
