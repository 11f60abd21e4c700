"""Node types: processors and memory of every node type name of ElastiCache (reference 6), and those declared in settings.

Facts only: what a node of the type may use, not what this machine has. Called by the API and by whoever renders a node.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cachefleet.settings import NodeTypeSetting

_MB = 1024 * 1024


class NodeType(msgspec.Struct, frozen=True):
    """maxmemory_bytes: before reserved-memory-percent (Valkey, Redis). memcached_mb: before the connections' overhead."""

    name: str
    vcpu: int
    maxmemory_bytes: int
    memcached_mb: int
    memcached_threads: int


# Name without "cache.", vCPU, maxmemory in bytes, Memcached MB and threads (0: the reference names none).
# fmt: off
_TABLE: tuple[tuple[str, int, int, int, int], ...] = (
    ("t4g.micro", 2, 536_870_912, 512, 2),
    ("t4g.small", 2, 1_471_026_299, 1_402, 2),
    ("t4g.medium", 2, 3_317_862_236, 3_164, 2),
    ("t3.micro", 2, 536_870_912, 512, 2),
    ("t3.small", 2, 1_471_026_299, 1_402, 2),
    ("t3.medium", 2, 3_317_862_236, 3_364, 2),
    ("t2.micro", 1, 581_959_680, 555, 1),
    ("t2.small", 1, 1_665_138_688, 1_588, 1),
    ("t2.medium", 2, 3_461_349_376, 3_301, 2),
    ("m8g.large", 2, 7_294_178_820, 6_956, 2),
    ("m8g.xlarge", 4, 15_222_495_510, 14_517, 4),
    ("m8g.2xlarge", 8, 31_866_224_640, 30_390, 8),
    ("m8g.4xlarge", 16, 65_856_864_256, 62_806, 16),
    ("m8g.8xlarge", 32, 133_838_143_488, 127_638, 32),
    ("m8g.12xlarge", 48, 201_819_422_720, 192_470, 48),
    ("m8g.16xlarge", 64, 269_800_701_952, 257_302, 64),
    ("m7g.large", 2, 6_854_542_746, 0, 0),
    ("m7g.xlarge", 4, 13_891_921_715, 0, 0),
    ("m7g.2xlarge", 8, 27_966_669_210, 0, 0),
    ("m7g.4xlarge", 16, 56_116_178_125, 0, 0),
    ("m7g.8xlarge", 32, 111_325_552_312, 0, 0),
    ("m7g.12xlarge", 48, 168_715_971_994, 0, 0),
    ("m7g.16xlarge", 64, 225_000_375_228, 0, 0),
    ("m6g.large", 2, 6_854_542_746, 6_537, 2),
    ("m6g.xlarge", 4, 13_891_921_715, 13_248, 4),
    ("m6g.2xlarge", 8, 27_966_669_210, 26_671, 8),
    ("m6g.4xlarge", 16, 56_116_178_125, 53_516, 16),
    ("m6g.8xlarge", 32, 111_325_552_312, 107_000, 32),
    ("m6g.12xlarge", 48, 168_715_971_994, 160_900, 48),
    ("m6g.16xlarge", 64, 225_000_375_228, 214_577, 64),
    ("m5.large", 2, 6_854_542_746, 6_537, 2),
    ("m5.xlarge", 4, 13_891_921_715, 13_248, 4),
    ("m5.2xlarge", 8, 27_966_669_210, 26_671, 8),
    ("m5.4xlarge", 16, 56_116_178_125, 53_516, 16),
    ("m5.12xlarge", 48, 168_715_971_994, 160_900, 48),
    ("m5.24xlarge", 96, 337_500_562_842, 321_865, 96),
    ("m4.large", 2, 6_892_593_152, 6_573, 2),
    ("m4.xlarge", 4, 15_328_501_760, 11_496, 4),
    ("m4.2xlarge", 8, 31_889_126_359, 30_412, 8),
    ("m4.4xlarge", 16, 65_257_290_629, 62_234, 16),
    ("m4.10xlarge", 40, 166_047_614_239, 158_355, 40),
    ("r8g.large", 2, 15_222_495_510, 0, 0),
    ("r8g.xlarge", 4, 31_866_224_640, 0, 0),
    ("r8g.2xlarge", 8, 65_856_864_256, 0, 0),
    ("r8g.4xlarge", 16, 133_838_143_488, 0, 0),
    ("r8g.8xlarge", 32, 269_800_701_952, 0, 0),
    ("r8g.12xlarge", 48, 405_763_260_416, 0, 0),
    ("r8g.16xlarge", 64, 541_725_818_880, 0, 0),
    ("r7g.large", 2, 14_037_181_030, 0, 0),
    ("r7g.xlarge", 4, 28_261_849_702, 0, 0),
    ("r7g.2xlarge", 8, 56_711_183_565, 0, 0),
    ("r7g.4xlarge", 16, 113_609_865_216, 0, 0),
    ("r7g.8xlarge", 32, 225_000_375_228, 0, 0),
    ("r7g.12xlarge", 48, 341_206_346_547, 0, 0),
    ("r7g.16xlarge", 64, 450_000_750_456, 0, 0),
    ("r6g.large", 2, 14_037_181_030, 13_387, 2),
    ("r6g.xlarge", 4, 28_261_849_702, 26_953, 4),
    ("r6g.2xlarge", 8, 56_711_183_565, 54_084, 8),
    ("r6g.4xlarge", 16, 113_609_865_216, 108_347, 16),
    ("r6g.8xlarge", 32, 225_000_375_228, 214_577, 32),
    ("r6g.12xlarge", 48, 341_206_346_547, 325_400, 48),
    ("r6g.16xlarge", 64, 450_000_750_456, 429_154, 64),
    ("r6gd.xlarge", 4, 28_261_849_702, 0, 0),
    ("r6gd.2xlarge", 8, 56_711_183_565, 0, 0),
    ("r6gd.4xlarge", 16, 113_609_865_216, 0, 0),
    ("r6gd.8xlarge", 32, 225_000_375_228, 0, 0),
    ("r6gd.12xlarge", 48, 341_206_346_547, 0, 0),
    ("r6gd.16xlarge", 64, 450_000_750_456, 0, 0),
    ("r5.large", 2, 14_037_181_030, 13_387, 2),
    ("r5.xlarge", 4, 28_261_849_702, 26_953, 4),
    ("r5.2xlarge", 8, 56_711_183_565, 54_084, 8),
    ("r5.4xlarge", 16, 113_609_865_216, 108_347, 16),
    ("r5.12xlarge", 48, 341_206_346_547, 325_400, 48),
    ("r5.24xlarge", 96, 682_485_973_811, 650_869, 96),
    ("r4.large", 2, 13_201_781_556, 12_590, 2),
    ("r4.xlarge", 4, 26_898_228_839, 25_652, 4),
    ("r4.2xlarge", 8, 54_197_537_997, 51_686, 8),
    ("r4.4xlarge", 16, 108_858_546_586, 103_815, 16),
    ("r4.8xlarge", 32, 218_255_432_090, 208_144, 32),
    ("r4.16xlarge", 64, 437_021_573_120, 416_776, 64),
    ("c8gn.large", 2, 3_330_020_474, 0, 0),
    ("c8gn.xlarge", 4, 7_294_178_820, 0, 0),
    ("c8gn.2xlarge", 8, 15_222_495_510, 0, 0),
    ("c8gn.4xlarge", 16, 31_866_224_640, 0, 0),
    ("c8gn.8xlarge", 32, 65_856_864_256, 0, 0),
    ("c8gn.12xlarge", 48, 99_847_503_872, 0, 0),
    ("c8gn.16xlarge", 64, 133_838_143_488, 0, 0),
    ("c7gn.large", 2, 3_317_862_236, 3_164, 2),
    ("c7gn.xlarge", 4, 6_854_542_746, 6_537, 4),
    ("c7gn.2xlarge", 8, 13_891_921_715, 13_248, 8),
    ("c7gn.4xlarge", 16, 27_966_669_210, 26_671, 16),
    ("c7gn.8xlarge", 32, 56_116_178_125, 53_516, 32),
    ("c7gn.12xlarge", 48, 84_357_985_997, 80_450, 48),
    ("c7gn.16xlarge", 64, 113_609_865_216, 108_347, 64),
    ("m3.medium", 1, 2_988_441_600, 2_850, 1),
    ("m3.large", 2, 6_501_171_200, 6_200, 2),
    ("m3.xlarge", 4, 14_260_633_600, 13_600, 4),
    ("m3.2xlarge", 8, 29_989_273_600, 28_600, 8),
    ("r3.large", 2, 14_470_348_800, 13_800, 2),
    ("r3.xlarge", 4, 30_513_561_600, 29_100, 4),
    ("r3.2xlarge", 8, 62_495_129_600, 59_600, 8),
    ("r3.4xlarge", 16, 126_458_265_600, 120_600, 16),
    ("r3.8xlarge", 32, 254_384_537_600, 120_600, 32),
    ("t1.micro", 1, 142_606_336, 213, 1),
    ("m1.small", 1, 943_718_400, 1_301, 1),
    ("m1.medium", 1, 3_093_299_200, 3_350, 1),
    ("m1.large", 2, 7_025_459_200, 7_100, 2),
    ("m1.xlarge", 4, 14_889_779_200, 14_600, 4),
    ("m2.xlarge", 2, 17_091_788_800, 33_800, 2),
    ("m2.2xlarge", 4, 35_022_438_400, 30_412, 4),
    ("m2.4xlarge", 16, 70_883_737_600, 68_000, 16),
    ("c1.xlarge", 8, 6_501_171_200, 6_600, 8),
)
# fmt: on


def _of_row(name: str, vcpu: int, maxmemory_bytes: int, memcached_mb: int, threads: int) -> NodeType:
    return NodeType(f"cache.{name}", vcpu, maxmemory_bytes, memcached_mb or maxmemory_bytes // _MB, threads or vcpu)


NODE_TYPES: Mapping[str, NodeType] = {f"cache.{row[0]}": _of_row(*row) for row in _TABLE}


def node_type(name: str, declared: Mapping[str, NodeTypeSetting]) -> NodeType | None:
    """The node type of that name, None when there is none. declared: settings.node_types, which win over the table."""
    setting = declared.get(name)
    if setting is None:
        return NODE_TYPES.get(name)
    return NodeType(
        name, setting.vcpu, setting.maxmemory_bytes, setting.memcached_mb or setting.maxmemory_bytes // _MB, setting.vcpu
    )


def all_node_types(declared: Mapping[str, NodeTypeSetting]) -> tuple[NodeType, ...]:
    """Every node type, by name."""
    names = sorted({*NODE_TYPES, *declared})
    return tuple(found for name in names if (found := node_type(name, declared)) is not None)
